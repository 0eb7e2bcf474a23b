"""neomutt in tmux: what a person at a terminal would do.  mutt.py does the same with mutt."""

import re
import time

from demo import message
from terminal import Screen

# Left to itself it takes SCRAM-SHA-256-PLUS for SMTP, has no binding for TLS 1.3, and gives up.
CONFIG = """
set folder = "imap://{host}:{port}/"
set spoolfile = "+INBOX"
set record = "+Sent"
set postponed = "+Drafts"
set imap_user = "{user}"
set imap_pass = "{password}"
set smtp_url = "smtps://{local}@{host}:{submissions}/"
set smtp_pass = "{password}"
set smtp_authenticators = "{authenticator}"
set from = "{user}"
set ssl_starttls = no
set ssl_force_tls = no
set ssl_verify_host = no
set ssl_verify_dates = no
set certificate_file = "{certificate}"
set header_cache = ""
set mail_check = 1
set timeout = 1
set imap_check_subscribed = yes
set confirmappend = no
set confirmcreate = no
set delete = yes
set quit = yes
set move = no
set mark_old = no
set sort = mailbox-order
set editor = "echo Written by hand. >>"
set abort_nosubject = no
set abort_unmodified = no
set wait_key = no
"""

def run(c):
    drive(c, "neomutt", "plain")


def drive(c, program, authenticator):
    if not (c.has(program) & c.has("tmux")):
        return
    ann, bob, _ = c.users
    for n in range(1, 6):
        c.deliver(ann, message("letter %d" % n, "Text of letter %d." % n))
    c.messages(ann, count=5)
    config = c.file("muttrc", CONFIG.format(
        host=c.host, port=c.port("imap"), submissions=c.port("submissions"), user=ann, local=ann.replace("@", "%40"),
        password=c.password(ann), authenticator=authenticator, certificate=certificate(c)))
    send(c, program, config, ann, bob)
    screen = Screen(c, "%s -F %s" % (program, config))
    try:
        read(c, screen, ann)
        write(c, screen, ann, bob)
    finally:
        screen.close()


def certificate(c):
    return c.file("server.pem", c.command(
        ["sh", "-c", "openssl s_client -connect %s:%d </dev/null 2>/dev/null | openssl x509" % (c.host, c.port("imaps"))])[1])


def send(c, program, config, ann, bob):
    attachment = c.file("picture.bin", bytes(range(256)) * 40)
    status, said = c.command([program, "-F", config, "-e", "set copy=no", "-s", "Gr\u00fc\u00dfe", "-a", attachment, "--", bob],
                             stdin="Sch\u00f6ner Text.\n".encode(), env={"LC_ALL": "C.UTF-8", "TERM": "xterm"})
    c.ok("sends by smtps", status == 0, said)
    got = c.messages(bob, count=1)
    c.ok("it arrives", len(got) == 1 and re.search(rb"\r\nSubject: =\?(utf-8|iso-8859-1)\?", got[0]), [text[:2000] for text in got])


def flags(c, user):
    m = c.imap(user)
    if m.select("INBOX", readonly=True)[1] == [b"0"]:
        return {}
    _, data = m.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    m.logout()
    return {part[1].decode().strip()[len("Subject: "):]: set(re.search(rb"FLAGS \(([^)]*)\)", part[0]).group(1).decode().split()) - {"\\Recent"}
            for part in data if isinstance(part, tuple)}


def wait_for_flags(c, note, user, want, seconds=60):
    deadline = time.monotonic() + seconds
    got = flags(c, user)
    while got != want and time.monotonic() < deadline:
        time.sleep(0.1)
        got = flags(c, user)
    c.same(note, got, want)


def read(c, screen, ann):
    screen.shows("the index", r"letter 1\s*\n(.*\n)*.*letter 5")
    screen.keys("1", "Enter", "Enter")
    screen.shows("a message", r"Text of letter 1\.")
    screen.keys("q")
    screen.shows("back in the index", r"letter 5")
    screen.keys("2", "Enter", "F")
    screen.keys("3", "Enter", "d")
    screen.keys("$")
    want = {"letter 1": {"\\Seen"}, "letter 2": {"\\Flagged"}, "letter 4": set(), "letter 5": set()}
    wait_for_flags(c, "read, flagged, deleted", ann, want)

    c.deliver(ann, message("just arrived", "needle in the text"))
    screen.shows("new mail appears", r"just arrived")
    screen.keys("l", "=b needle", "Enter")
    screen.shows("a search by the server", r"(?s)^(?!.*letter 4).*just arrived")
    screen.keys("l", "all", "Enter")
    screen.shows("all again", r"letter 4")

    screen.keys("4", "Enter", "s", "C-u", "+Archive", "Enter")
    screen.keys("$")
    want = {"letter 1": {"\\Seen"}, "letter 2": {"\\Flagged"}, "letter 4": set(), "just arrived": set()}
    wait_for_flags(c, "a message is moved away", ann, want)
    c.same("to where it should be", [b"Text of letter 5" in text for text in c.messages(ann, "Archive")], [True])

    screen.keys("c", "C-u", "+Archive", "Enter")
    screen.shows("another mailbox", r"(?s)^(?!.*letter 1).*letter 5")


def write(c, screen, ann, bob):
    screen.keys("m", bob, "Enter")
    screen.shows("asks for a subject", r"Subject:")
    screen.keys("C-u", "by hand", "Enter")
    screen.shows("ready to be sent", r"y:Send")
    screen.keys("y")
    got = c.messages(bob, count=2)
    c.ok("what was written arrives", len(got) == 2 and got[1].endswith(b"\r\n\r\nWritten by hand.\r\n"), got)
    c.ok("a copy is in Sent", [b"by hand" in text for text in c.messages(ann, "Sent", count=1)] == [True])
