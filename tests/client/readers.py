"""curl and imaplib read, search and change; two sessions see each other's changes."""

import imaplib
import re
import threading
import time

from demo import message


def run(c):
    ann, bob, carol = c.users
    for n in range(1, 6):
        c.deliver(ann, message("number %d" % n, "body of %d\r\nM\u00fcnchen" % n if n == 3 else "body of %d" % n))
    c.messages(ann, count=5)
    curl(c, ann)
    python(c, ann)
    mailboxes(c, bob)
    two_sessions(c, carol)
    idle(c, carol)


# ---- curl ----


def curl(c, user):
    if not c.has("curl"):
        return
    login = "%s:%s" % (user, c.password(user))

    def ask(name, path, *words, scheme="imap", want, options=()):
        url = "%s://%s:%d/%s" % (scheme, c.host, c.port(scheme), path)
        status, said = c.command(["curl", "-sS", "-k", "--user", login, *options, *words, url])
        c.ok("curl: " + name, status == 0 and re.search(want, said), "status %d: %r" % (status, said))

    ask("lists mailboxes", "", want=rb'\* LIST \(.*\\Sent.*\) "/" "?Sent')
    for scheme in ("imap", "imaps"):
        ask(scheme + " fetches", "INBOX;MAILINDEX=2", scheme=scheme, want=rb"Subject: number 2\r\n(.*\r\n)*\r\nbody of 2\r\n$")
    ask("fetches after STARTTLS", "INBOX;MAILINDEX=2", options=["--ssl-reqd"], want=rb"body of 2")
    ask("signs in by LOGIN", "INBOX;MAILINDEX=1", options=["--login-options", "AUTH=LOGIN"], want=rb"body of 1")
    ask("signs in by PLAIN", "INBOX;MAILINDEX=1", options=["--login-options", "AUTH=PLAIN"], want=rb"body of 1")
    ask("fetches by UID", "INBOX;UID=3", want=rb"body of 3")
    ask("fetches a section", "INBOX;MAILINDEX=1;SECTION=TEXT", want=rb"^body of 1\r\n$")
    ask("searches", "INBOX?SUBJECT%20%22number%204%22", want=rb"\* SEARCH 4\r\n")
    ask("asks for status", "", "-X", "STATUS INBOX (MESSAGES UNSEEN)", want=rb"MESSAGES 5")
    path = c.file("append.eml", message("appended by curl"))
    ask("appends", "Drafts", "-T", path, want=rb"")
    ask("and reads it", "Drafts;MAILINDEX=1", want=rb"appended by curl")
    status, said = c.command(["curl", "-sS", "--user", user + ":wrong", "imap://%s:%d/" % (c.host, c.port("imap"))])
    c.ok("curl: wrong password", status == 67, "status %d: %r" % (status, said))


# ---- imaplib ----


def numbers(answer):
    return [int(n) for n in answer[1][0].split()]


def texts(data):
    """The literals of a FETCH; flag updates come between them."""
    return [part[1] for part in data if isinstance(part, tuple)]


def python(c, user):
    m = imaplib.IMAP4(c.host, c.port("imap"), timeout=60)
    m.starttls(c.tls())
    try:
        m.login(user, "wrong")
        c.ok("imaplib: wrong password", False)
    except imaplib.IMAP4.error as refusal:
        c.ok("imaplib: wrong password", "AUTHENTICATIONFAILED" in str(refusal), refusal)
    m.authenticate("PLAIN", lambda _: b"\0%s\0%s" % (user.encode(), c.password(user).encode()))
    _, data = m.capability()
    c.ok("imaplib: capabilities", {"IMAP4REV1", "IDLE", "UIDPLUS", "MOVE", "CONDSTORE", "SPECIAL-USE", "ESEARCH"}
         <= set(data[-1].decode().upper().split()), data)
    c.same("imaplib: select", m.select("INBOX"), ("OK", [b"5"]))
    m.store("1:5", "-FLAGS.SILENT", r"(\Seen)")
    c.same("imaplib: search all", numbers(m.search(None, "ALL")), [1, 2, 3, 4, 5])
    c.same("imaplib: search subject", numbers(m.search(None, "SUBJECT", '"number 3"')), [3])
    c.same("imaplib: search from", numbers(m.search(None, "FROM", "sender@elsewhere")), [1, 2, 3, 4, 5])
    c.same("imaplib: search text", numbers(m.search(None, "TEXT", '"body of 5"')), [5])
    m.literal = "m\u00fcnchen".encode()
    c.same("imaplib: search UTF-8", numbers(m.search("UTF-8", "BODY")), [3])
    c.same("imaplib: search since", numbers(m.search(None, "SENTSINCE", "3-Nov-2026")), [])
    _, data = m.fetch("2", "(FLAGS UID RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE)")
    c.ok("imaplib: fetch", b'"number 2"' in data[0] and b'("TEXT" "PLAIN"' in data[0].upper(), data)
    _, data = m.fetch("2", "(BODY[HEADER.FIELDS (SUBJECT)] BODY[TEXT]<0.4>)")
    c.same("imaplib: parts", texts(data), [b"Subject: number 2\r\n\r\n", b"body"])
    c.same("imaplib: which makes it seen", numbers(m.search(None, "SEEN")), [2])
    m.store("1:3", "+FLAGS", r"(\Flagged keyword)")
    c.same("imaplib: flagged", numbers(m.search(None, "FLAGGED", "KEYWORD", "keyword")), [1, 2, 3])
    c.same("imaplib: copy", m.copy("1:2", "Archive")[0], "OK")
    c.same("imaplib: move", m._simple_command("MOVE", "3", "Archive")[0], "OK")
    m.store("1", "+FLAGS.SILENT", r"\Deleted")
    m.untagged_responses.clear()
    c.same("imaplib: expunge", m.expunge(), ("OK", [b"1"]))
    c.same("imaplib: append", m.append("Archive", r"(\Seen)", imaplib.Time2Internaldate(1790000000), message("appended"))[0], "OK")
    c.same("imaplib: the archive", m.select("Archive"), ("OK", [b"4"]))
    c.same("imaplib: flags were copied", numbers(m.search(None, "FLAGGED")), [1, 2, 3])
    c.same("imaplib: the internal date stays", numbers(m.search(None, "ON", "21-Sep-2026")), [4])
    _, data = m.fetch("4", "(BODY.PEEK[])")
    c.same("imaplib: byte for byte", texts(data), [message("appended")])
    c.same("imaplib: quota root", m.getquotaroot("INBOX"), ("OK", [[b'"INBOX" ""'], [b'"" ()']]))
    c.same("imaplib: quota", m.getquota('""'), ("OK", [b'"" ()']))
    c.ok("imaplib: setting it is for administrators", "NOPERM" in str(m.setquota('""', "(MESSAGE 9)")), "")
    m.unselect()
    c.same("imaplib: what is left", m.select("INBOX"), ("OK", [b"3"]))
    m.logout()


def listed(m, pattern="*"):
    names = []
    for line in m.list('""', pattern)[1]:
        if line is not None:
            names.append(re.search(rb'"/" "?([^"]*)"?$', line).group(1).decode())
    return names


def mailboxes(c, user):
    m = c.imap(user)
    c.same("imaplib: mailboxes of a new account", sorted(listed(m)), ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"])
    for name in ("Lists", "Lists/deep/er", '"two words"', "Entw&APw-rfe"):
        c.same("imaplib: create %s" % name, m.create(name)[0], "OK")
    c.ok("imaplib: created", {"Lists", "Lists/deep", "Lists/deep/er", "two words", "Entw&APw-rfe"} <= set(listed(m)), listed(m))
    c.same("imaplib: %", sorted(listed(m, "Lists/%")), ["Lists/deep"])
    c.same("imaplib: create again", m.create("Lists")[0], "NO")
    c.same("imaplib: rename", m.rename("Lists", "News")[0], "OK")
    c.ok("imaplib: renamed, with what is below", {"News", "News/deep/er"} <= set(listed(m)) and "Lists" not in listed(m), listed(m))
    c.same("imaplib: subscribe", m.subscribe("News")[0], "OK")
    c.ok("imaplib: subscribed", any(b"News" in line for line in m.lsub('""', "*")[1]), m.lsub('""', "*"))
    c.same("imaplib: delete", m.delete("News/deep/er")[0], "OK")
    c.same("imaplib: INBOX stays", m.delete("INBOX")[0], "NO")
    c.same("imaplib: no such mailbox", m.select("nowhere")[0], "NO")
    m.logout()


# ---- two at once ----


def two_sessions(c, user):
    one, two = c.imap(user, "INBOX"), c.imap(user, "INBOX", tls=True)
    for n in (1, 2, 3):
        c.deliver(user, message("shared %d" % n))
    c.wait_for(one, 3)
    c.wait_for(two, 3)
    c.same("two sessions: both see what arrives", (one.untagged_responses["EXISTS"][-1], two.untagged_responses["EXISTS"][-1]), (b"3", b"3"))
    one.store("2", "+FLAGS", r"(\Flagged)")
    two.untagged_responses.clear()
    two.noop()
    c.ok("two sessions: a flag set here is seen there", any(b"\\Flagged" in line for line in two.untagged_responses.get("FETCH", [])),
         two.untagged_responses)
    one.store("1", "+FLAGS.SILENT", r"\Deleted")
    one.expunge()
    _, data = two.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    c.same("two sessions: who was not told of an expunge keeps its numbers", texts(data), [b"Subject: shared 1\r\n\r\n"])
    two.untagged_responses.clear()
    two.noop()
    c.same("two sessions: then it is told", two.untagged_responses.get("EXPUNGE"), [b"1"])
    _, data = two.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    c.same("two sessions: and numbers move", texts(data), [b"Subject: shared 2\r\n\r\n"])
    one.logout()
    two.logout()


def idle(c, user):
    m = c.imap(user, "INBOX")
    m.send(b"i1 IDLE\r\n")
    c.ok("IDLE", m.readline().startswith(b"+"))
    sender = threading.Thread(target=c.deliver, args=(user, message("while idle")))
    sender.start()
    began, line = time.monotonic(), b""
    while b"EXISTS" not in line and time.monotonic() - began < 30:
        line = m.readline()
    c.same("IDLE: told of new mail", line, b"* 3 EXISTS\r\n")
    sender.join()
    m.send(b"DONE\r\n")
    while not line.startswith(b"i1 "):
        line = m.readline()
    c.ok("IDLE: ends with DONE", line.startswith(b"i1 OK"), line)
    m.logout()
