"""posthorn account undelete, restore, purge, recount: what a user at IMAP sees of them, and what is said."""

import json
import os
import poplib
import subprocess
import time

from demo import Demo

MAIL = b"From: Ann <ann@example.org>\r\nSubject: %s\r\nMessage-ID: <%s@example.org>\r\n\r\nA word: %s.\r\n"


def run(c):
    base = c.base
    with Demo(c.server.program, None) as server:
        c.base = server.base
        walk(c, server)
    c.base = base


def walk(c, server):
    t = Traveller(c, server)
    undelete(t, "u50@example.test")
    synchronised(t, "u59@example.test")
    watched(t, "u51@example.test")
    deleted_mailbox(t, "u52@example.test")
    unshared(t, "u60@example.test")
    moved(t, "u53@example.test")
    full(t, "u54@example.test")
    restore(t, "u55@example.test")
    popped(t, "u58@example.test")
    purge(t, "u56@example.test")
    wrong(t, "u57@example.test")


class Traveller:
    def __init__(self, c, server):
        self.c, self.program = c, os.path.abspath(server.program)
        self.config = os.path.join(server.folder, "data", "posthorn.conf")

    def command(self, *words):
        done = subprocess.run([self.program, "account", *words, "--config", self.config], capture_output=True,
                              text=True, timeout=60, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr

    def json(self, *words):
        status, out, err = self.command(*words, "--json")
        return json.loads(out) if status == 0 else {"failed": err}

    def login(self, address):
        return self.c.imap(address)

    def fill(self, m, mailbox, *subjects, flags=None):
        for subject in subjects:
            word = subject.encode()
            m.append(mailbox, flags, '"20-Nov-2026 10:00:00 +0100"', MAIL % (word, word, word))


def subjects(m, mailbox):
    if m.select('"%s"' % mailbox)[1] == [b"0"]:
        return []
    answer, data = m.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    return [row[1].split(b"Subject: ")[1].strip().decode() for row in data if isinstance(row, tuple)]


def expunge(m, mailbox, which):
    m.select('"%s"' % mailbox)
    m.store(which, "+FLAGS", "(\\Deleted)")
    m.expunge()


def tick():
    """Times are kept in seconds: until the next one."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.01)
    return now


def undelete(t, address):
    c, m = t.c, t.login(address)
    t.fill(m, "INBOX", "one", "two", "three", flags="(\\Flagged $Work)")
    m.select("INBOX")
    before = m.fetch("2", "(UID INTERNALDATE EMAILID THREADID)")[1][0].decode()
    status = m.status("INBOX", "(HIGHESTMODSEQ UIDNEXT)")[1][0].decode()
    expunge(m, "INBOX", "2")
    listed = t.json("undelete", address, "--list")
    c.same("the list", [(r["subject"], r["from"], r["mailbox"]) for r in listed["list"]],
           [("two", "ann@example.org", "INBOX")])
    c.ok("a list does nothing", subjects(m, "INBOX") == ["one", "three"])
    c.same("not by another number", t.json("undelete", address, "--message", "99")["messages"], 0)
    code, out, err = t.command("undelete", address, "--message", str(listed["list"][0]["message"]))
    c.ok("undelete", code == 0 and "1 messages" in out, out + err)
    c.same("it is last", subjects(m, "INBOX"), ["one", "three", "two"])
    after = m.fetch("3", "(UID FLAGS INTERNALDATE EMAILID THREADID)")[1][0].decode()
    c.ok("a new UID", "UID 4 " in after, after)
    c.ok("without \\Deleted", "\\Flagged" in after and "$Work" in after and "\\Deleted" not in after, after)
    for name in ("INTERNALDATE", "EMAILID", "THREADID"):
        c.same(name, after[after.index(name):].split(")")[0], before[before.index(name):].split(")")[0])
    c.ok("STATUS has moved on", m.status("INBOX", "(HIGHESTMODSEQ UIDNEXT)")[1][0].decode() != status)
    c.same("it is found", m.search(None, "BODY", "two")[1], [b"3"])
    c.same("nothing more", t.json("undelete", address)["messages"], 0)
    m.logout()


def hear(m, word):
    """The next line with that word, of those that come unasked."""
    line = m.readline()
    while word not in line and line:
        line = m.readline()
    return line


def synchronised(t, address):
    """A client that knew the mailbox before hears of the old UID and the new one (RFC 7162)."""
    c, m = t.c, t.login(address)
    t.fill(m, "INBOX", "one", "two", "three")
    status = m.status("INBOX", "(UIDVALIDITY HIGHESTMODSEQ)")[1][0].decode()
    validity, modseq = (status.split(name + " ")[1].split()[0].strip(")") for name in ("UIDVALIDITY", "HIGHESTMODSEQ"))
    expunge(m, "INBOX", "2")
    t.command("undelete", address)
    m.logout()
    m = t.login(address)
    m.send(b"e ENABLE QRESYNC\r\n")
    hear(m, b"e OK")
    m.send(b"s SELECT INBOX (QRESYNC (%s %s))\r\n" % (validity.encode(), modseq.encode()))
    lines = []
    while not lines or not lines[-1].startswith(b"s "):
        lines.append(m.readline())
    c.ok("VANISHED", b"* VANISHED (EARLIER) 2\r\n" in lines, lines)
    c.ok("and the new one", any(line.startswith(b"* 3 FETCH (UID 4 ") for line in lines), lines)
    m.shutdown()


def watched(t, address):
    c, m, other = t.c, t.login(address), t.login(address)
    t.fill(m, "INBOX", "one", "two")
    other.select("INBOX")
    other.send(b"i IDLE\r\n")
    other.readline()
    expunge(m, "INBOX", "1")
    c.same("the one that idles hears it go", hear(other, b"EXPUNGE"), b"* 1 EXPUNGE\r\n")
    t.command("undelete", address)
    c.same("and come back, at once", hear(other, b"EXISTS"), b"* 2 EXISTS\r\n")
    other.send(b"DONE\r\n")
    other.readline()
    other.shutdown()
    m.logout()


def deleted_mailbox(t, address):
    c, m = t.c, t.login(address)
    m.create("Work")
    m.create("Work/Done")
    t.fill(m, "Work", "a")
    t.fill(m, "Work/Done", "b", "c")
    m.delete("Work/Done")
    m.delete("Work")
    c.same("all of it", t.json("undelete", address, "--mailbox", "Work/", "--list")["messages"], 3)
    done = t.json("undelete", address, "--mailbox", "Work/Done")
    c.same("one mailbox", (done["messages"], done["mailboxes"]), (2, 1))
    c.same("with its mail", subjects(m, "Work/Done"), ["b", "c"])
    c.ok("subscribed", b"Work/Done" in b"".join(m.lsub()[1]))
    c.same("the rest", t.json("undelete", address)["messages"], 1)
    c.same("where it was", subjects(m, "Work"), ["a"])
    m.logout()


def unshared(t, address):
    """What comes back is not shared as the level above is."""
    c, m = t.c, t.login(address)
    m.create("Team")
    m.setacl("Team", "anyone", "lr")
    m.create("Team/Private")
    m.deleteacl("Team/Private", "anyone")
    t.fill(m, "Team/Private", "secret")
    m.delete("Team/Private")
    c.same("of a private mailbox in a shared one", t.json("undelete", address, "--mailbox", "Team/Private")["messages"], 1)
    c.ok("it is private again", b"anyone" not in m.getacl("Team/Private")[1][0] and b"anyone" in m.getacl("Team")[1][0])
    m.delete("Team/Private")
    m.delete("Team")
    m.logout()


def moved(t, address):
    c, m = t.c, t.login(address)
    t.fill(m, "INBOX", "one")
    m.select("INBOX")
    m.uid("MOVE", "1", "Trash")
    c.same("moved is not gone", t.json("undelete", address)["messages"], 0)
    expunge(m, "Trash", "1")
    c.same("where it was last", [r["mailbox"] for r in t.json("undelete", address, "--list")["list"]], ["Trash"])
    c.same("or from INBOX", t.json("undelete", address, "--mailbox", "inbox")["messages"], 1)
    c.same("it is there", (subjects(m, "INBOX"), subjects(m, "Trash")), (["one"], []))
    m.logout()


def full(t, address):
    c, m = t.c, t.login(address)
    t.fill(m, "INBOX", "one", "two", "three")
    expunge(m, "INBOX", "1:3")
    t.command("quota", address, "--messages", "1")
    code, out, err = t.command("undelete", address)
    c.ok("no room", code == 1 and "2 messages are missing" in err, out + err)
    t.command("quota", address, "--messages", "none")
    c.same("with room", t.json("undelete", address)["messages"], 3)
    m.logout()


def restore(t, address):
    c, m = t.c, t.login(address)
    t.fill(m, "INBOX", "one", "two")
    t.fill(m, "Sent", "sent")
    then = tick()
    expunge(m, "INBOX", "1")
    t.fill(m, "INBOX", "three")
    m.delete("Sent")
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(then))
    c.same("as it was", t.json("restore", address, "--at", at, "--list")["messages"], 3)
    code, out, err = t.command("restore", address, "--at", at)
    root = "Restored " + at[:16]
    c.ok("restore", code == 0 and root in out, out + err)
    c.same("INBOX", subjects(m, root + "/INBOX"), ["one", "two"])
    c.same("Sent", subjects(m, root + "/Sent"), ["sent"])
    c.same("what is there now stays", subjects(m, "INBOX"), ["two", "three"])
    again = t.json("restore", address, "--at", at, "--mailbox", "INBOX")
    c.same("beside the first", again["into"], root + " (2)")
    named = t.json("restore", address, "--at", "@%d" % then, "--mailbox", "INBOX", "--into", "Old")
    c.same("by name", (named["into"], subjects(m, "Old/INBOX")), ("Old", ["one", "two"]))
    m.logout()


def popped(t, address):
    """What POP3's QUIT takes away comes back with the unique-id that it had."""
    c, m = t.c, t.login(address)
    t.fill(m, "INBOX", "one", "two")
    first = pop(c, address)
    before = first.uidl()[1]
    first.dele(1)
    first.quit()
    c.same("one is gone", pop(c, address).uidl()[1], [b"1 " + before[1].split()[1]])
    c.same("it is back", t.json("undelete", address)["messages"], 1)
    c.same("by its old name", [line.split()[1] for line in pop(c, address).uidl()[1]],
           [before[1].split()[1], before[0].split()[1]])
    m.logout()


def pop(c, address):
    session = poplib.POP3(c.host, c.base + 110, timeout=60)
    session.user(address)
    session.pass_(c.password(address))
    return session


def purge(t, address):
    c, m = t.c, t.login(address)
    t.fill(m, "INBOX", "one", "two")
    then = tick()
    expunge(m, "INBOX", "1")
    c.same("nothing is due", t.json("purge", address)["messages"], 0)
    code, out, err = t.command("purge", address, "--all-expunged")
    c.ok("asks first", code == 1 and "--yes" in err, err)
    gone = t.json("purge", address, "--all-expunged", "--yes")
    c.same("all of it", (gone["messages"], gone["waiting"]), (1, 0))
    c.ok("with its bytes", gone["bytes"] > 50, gone)
    c.same("for good", t.json("undelete", address)["messages"], 0)
    code, out, err = t.command("restore", address, "--at", "@%d" % then)
    c.ok("how far back it goes", code == 1 and "no longer kept" in err, err)
    c.same("the rest is there", subjects(m, "INBOX"), ["two"])
    counted = t.json("recount", address)
    c.same("counts are right", (counted["accounts"], counted["differences"], counted["list"]), (1, 0, []))
    c.ok("of all accounts", t.json("recount")["accounts"] > 50)
    m.logout()


def wrong(t, address):
    c = t.c
    for what, words in {
            "no such account": ("undelete", "nobody@example.test"),
            "no such mailbox": ("undelete", address, "--mailbox", "Never"),
            "no mailbox name": ("undelete", address, "--mailbox", "a//b"),
            "still to come": ("restore", address, "--at", "2100-01-01"),
    }.items():
        code, out, err = t.command(*words)
        c.ok(what, code == 1 and err.startswith("posthorn: "), (code, out, err))
    for what, words in {
            "no time": ("undelete", address, "--since", "lately"),
            "no number": ("undelete", address, "--message", "1,x"),
            "not without a time": ("restore", address),
            "no day": ("restore", address, "--at", "2026-02-30"),
    }.items():
        code, out, err = t.command(*words)
        c.ok(what, code == 2 and "usage:" in err, (code, out, err))
