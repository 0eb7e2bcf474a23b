"""aerc in tmux: reads, flags, searches, moves, deletes, writes."""

import os

from demo import message
from neomutt import wait_for_flags
from terminal import Screen

ACCOUNT = """
[post]
source = imap+insecure://{login}:{password}@{host}:{imap}
outgoing = /usr/bin/msmtp --file={msmtp} --read-envelope-from
default = INBOX
from = Ann <{user}>
copy-to = Sent
archive = Archive
cache-headers = false
"""

MSMTP = """
account default
host {host}
port {port}
tls on
tls_certcheck off
auth on
user {user}
password {password}
"""

CONFIG = """
[general]
unsafe-accounts-conf = true
[ui]
auto-mark-read = true
timestamp-format = 2006
completion-popovers = false
[filters]
text/plain = cat
[compose]
editor = sh -c 'echo "Written by hand." >>"$0"'
"""


def run(c):
    if not (c.has("aerc") & c.has("msmtp") & c.has("tmux")):
        return
    ann, bob, _ = c.users
    for n in range(1, 6):
        c.deliver(ann, message("letter %d" % n, "Text of letter %d." % n))
    c.messages(ann, count=5)
    os.makedirs(os.path.join(c.folder, ".config/aerc"))
    msmtp = c.file("msmtprc", MSMTP.format(host=c.host, port=c.port("submission"), user=ann, password=c.password(ann)))
    c.file(".config/aerc/accounts.conf", ACCOUNT.format(
        host=c.host, imap=c.port("imap"), msmtp=msmtp, user=ann, login=ann.replace("@", "%40"), password=c.password(ann)))
    c.file(".config/aerc/aerc.conf", CONFIG)
    screen = Screen(c, "aerc", env=("HOME=" + c.folder, "XDG_CONFIG_HOME=%s/.config" % c.folder, "EDITOR=true"))
    try:
        read(c, screen, ann)
        write(c, screen, bob)
    finally:
        screen.close()


def line(screen, text):
    screen.keys(":", text, "Enter")


def read(c, screen, ann):
    screen.shows("the mailboxes and the messages", r"(?s)Archive.*letter 1")
    line(screen, "select 0")
    screen.keys("Enter")
    screen.shows("a message, the newest", r"Text of letter 5\.")
    screen.keys("q")
    line(screen, "select 1")
    line(screen, "flag")
    line(screen, "select 2")
    screen.keys("D")
    want = {"letter 1": set(), "letter 2": set(), "letter 4": {"\\Flagged"}, "letter 5": {"\\Seen"}}
    wait_for_flags(c, "read, flagged, deleted", ann, want)
    line(screen, "select 3")
    line(screen, "archive flat")
    del want["letter 1"]
    wait_for_flags(c, "one is moved away", ann, want)
    c.same("to where it should be", [b"Text of letter 1" in text for text in c.messages(ann, "Archive", count=1)], [True])
    c.deliver(ann, message("just arrived", "needle in the text"))
    screen.shows("new mail appears by IDLE", r"just arrived")
    line(screen, "filter -b needle")
    screen.shows("a search by the server", r"(?s)^(?!.*letter 4).*just arrived")
    line(screen, "clear")
    line(screen, "cf Archive")
    screen.shows("another mailbox", r"(?s)^(?!.*letter 4).*letter 1")


def write(c, screen, bob):
    line(screen, "compose -H 'To: %s' -H 'Subject: by hand'" % bob)
    screen.shows("ready to be sent", r"Send this email\?|:send")
    screen.keys("y")
    got = c.messages(bob, count=1)
    c.ok("what was written arrives", len(got) == 1 and b"Written by hand." in got[0], [text[:2000] for text in got])
    c.ok("a copy is in Sent", [b"by hand" in text for text in c.messages(c.users[0], "Sent", count=1)] == [True])
