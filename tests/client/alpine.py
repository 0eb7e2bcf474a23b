"""alpine in tmux: reads, flags, saves, deletes, expunges, writes."""

from demo import message
from neomutt import wait_for_flags
from terminal import Screen

CONFIG = """
user-domain=example.test
inbox-path={{{host}:{imap}/user={user}/notls}}INBOX
folder-collections=post {{{host}:{imap}/user={user}/notls}}[]
default-fcc={{{host}:{imap}/user={user}/notls}}Sent
smtp-server={host}:{smtp}/notls
feature-list=enable-aggregate-command-set,enable-flag-cmd,quit-without-confirm,save-will-not-delete,
 expunge-without-confirm-everywhere,no-auto-check-for-new-mail,signature-at-bottom,enable-full-header-cmd,
 enable-delete-before-writing,enable-jump-shortcut
mail-check-interval=1
initial-keystroke-list=
last-version-used=9.99
saved-msg-name-rule=default-folder
customized-hdrs=From: Ann <{user}>
"""


def run(c):
    if not (c.has("alpine") & c.has("tmux")):
        return
    ann, bob, _ = c.users
    for n in range(1, 6):
        c.deliver(ann, message("letter %d" % n, "Text of letter %d." % n))
    c.messages(ann, count=5)
    config = c.file("pinerc", CONFIG.format(host=c.host, imap=c.port("imap"), smtp=c.port("smtp"), user=ann))
    screen = Screen(c, "alpine -p %s -i" % config, env=("HOME=" + c.folder,))
    try:
        sign_in(c, screen, ann)
        read(c, screen, ann)
        write(c, screen, bob)
    finally:
        screen.close()


def sign_in(c, screen, ann):
    screen.shows("asks for the password", r"(?i)password")
    screen.keys("-l", c.password(ann))
    screen.keys("Enter")
    screen.shows("offers to keep it", r"(?i)preserve password")
    screen.keys("n")
    screen.shows("the index", r"(?s)letter 1.*letter 5")


def read(c, screen, ann):
    screen.keys("1", "Enter")
    screen.keys("v")
    screen.shows("a message", r"Text of letter 1\.")
    screen.keys("<")
    screen.shows("back in the index", r"letter 5")
    screen.keys("2", "Enter", "*", "Enter")
    screen.keys("3", "Enter", "d")
    screen.keys("4", "Enter", "s")
    screen.shows("asks where to", r"SAVE Msg #4 to folder")
    screen.keys("C-u", "Archive", "Enter")
    c.same("to where it should be", [b"Text of letter 4" in text for text in c.messages(ann, "Archive", count=1)], [True])
    screen.keys("x")
    want = {"letter 1": {"\\Seen"}, "letter 2": {"\\Flagged"}, "letter 4": set(), "letter 5": set()}
    wait_for_flags(c, "read, flagged, expunged", ann, want)


def write(c, screen, bob):
    screen.keys("c")
    screen.shows("a form", r"(?m)^Subject")
    screen.keys(bob, "Enter", "Enter", "Enter", "by hand", "Enter", "Written by hand.", "C-x")
    screen.shows("ready to be sent", r"(?i)send message")
    screen.keys("y")
    got = c.messages(bob, count=1)
    c.ok("what was written arrives", len(got) == 1 and b"Written by hand." in got[0], [text[:2000] for text in got])
    c.ok("a copy is in Sent", [b"by hand" in text for text in c.messages(c.users[0], "Sent", count=1)] == [True])
