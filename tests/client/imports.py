"""posthorn import maildir and eml: UIDs, flags and unique-ids stay; a second run brings only what changed; a kill loses nothing."""

import bz2
import gzip
import json
import lzma
import os
import poplib
import signal
import subprocess
import tempfile
import time

from demo import Demo

UIDVALIDITY = 1275660208
BODY = b"From: Ann <ann@example.org>\nSubject: number %d\nMessage-ID: <%d.%s@example.org>\n\nLine one.\nLine two, %d.\n"


def run(c):
    base = c.base
    with Demo(c.server.program, None) as server, tempfile.TemporaryDirectory(prefix="posthorn-import-") as folder:
        c.base = server.base
        i = Importer(c, server, folder)
        dovecot(i, "u60@example.test")
        again(i, "u60@example.test")
        odd(i, "u61@example.test")
        plain(i, "u62@example.test")
        eml(i, "u63@example.test")
        merged(i, "u64@example.test")
        full(i, "u65@example.test")
        killed(i, "u66@example.test")
        bounded(i, "u67@example.test")
        wrong(i, "u68@example.test")
        links(i, "u70@example.test")
        odd_by_pop3(i, "u71@example.test")
        packed(i, "u72@example.test")
        at_once(i, "u73@example.test")
        corpus(i, "u69@example.test")
    c.base = base


class Importer:
    def __init__(self, c, server, folder):
        self.c, self.server, self.folder, self.program = c, server, folder, os.path.abspath(server.program)
        self.config = os.path.join(server.folder, "data", "posthorn.conf")

    def words(self, *words):
        return [self.program, "import", *words, "--config", self.config]

    def command(self, *words):
        done = subprocess.run(self.words(*words), capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr

    def json(self, *words):
        status, out, err = self.command(*words, "--json")
        return status, json.loads(out) if out else {"failed": err}

    def check(self):
        return subprocess.run([self.program, "check", "--config", self.config], capture_output=True, text=True, timeout=300)


class Maildir:
    """As Dovecot writes it (its wiki, MailboxFormat/Maildir)."""

    def __init__(self, path):
        self.path = path
        self.lists = {}
        self.box("")

    def box(self, name):
        for part in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(self.path, name, part), exist_ok=True)

    def add(self, name, number, flags="", uid=None, uidl=None, body=None, date=1400000000, new=False):
        base = "%d.M%dP77.host,S=100,W=104" % (1500000000 + number, number)
        path = os.path.join(self.path, name, "new" if new else "cur", base + ("" if new else ":2," + flags))
        with open(path, "wb") as out:
            out.write(body or BODY % (number, number, name.encode(), number))
        os.utime(path, (date + number, date + number))
        if uid:
            self.lists.setdefault(name, []).append("%d %sW104 :%s\n" % (uid, "P%s " % uidl if uidl else "", base))
        return path

    def uidlist(self, name, uidnext, uidvalidity=UIDVALIDITY):
        with open(os.path.join(self.path, name, "dovecot-uidlist"), "w") as out:
            out.write("3 V%d N%d G%032x\n" % (uidvalidity, uidnext, uidvalidity) + "".join(self.lists.get(name, [])))

    def file(self, name, text):
        with open(os.path.join(self.path, name), "w") as out:
            out.write(text)


def status_of(m, mailbox):
    answer = m.status('"%s"' % mailbox, "(MESSAGES UIDNEXT UIDVALIDITY)")[1][0].decode()
    words = answer[answer.rindex("(") + 1:-1].split()
    return dict(zip(words[::2], map(int, words[1::2])))


def uids(m, mailbox):
    m.select('"%s"' % mailbox)
    return [int(n) for n in m.uid("search", None, "ALL")[1][0].split()]


def rows(m, what):
    return [r.decode() if isinstance(r, bytes) else r[0].decode() for r in m.uid("fetch", "1:*", what)[1] if r and r != b")"]


def first_maildir(i):
    d = Maildir(os.path.join(i.folder, "Maildir"))
    d.add("", 1, "S", 10)
    d.add("", 2, "RSa", 12, "given-uidl")
    d.add("", 3, "Fb", 15)
    d.add("", 4, new=True)
    d.uidlist("", 20)
    d.file("dovecot-keywords", "0 NonJunk\n1 $Label1\n")
    for name, number in ((".Work", 5), (".Work.2024", 6), (".Entw&APw-rfe", 7)):
        d.box(name)
        d.add(name, number, "DS", 3)
        d.uidlist(name, 9, UIDVALIDITY + number)
    d.file("subscriptions", "V\t2\n\nWork\t2024\nGone\n")
    os.makedirs(os.path.join(d.path, "sieve"))
    d.file("sieve/main.sieve", "keep;\n")
    os.symlink("sieve/main.sieve", os.path.join(d.path, ".dovecot.sieve"))
    return d


def dovecot(i, user):
    c, d = i.c, first_maildir(i)
    i.maildir = d
    status, said = i.json("maildir", d.path, user, "--dry-run")
    c.same("a dry run says what would come", (status, said["messages"], said["mailboxes"]), (0, 7, 4))
    status, said = i.json("maildir", d.path, user)
    c.same("all comes", (status, said["messages"], said["mailboxes"], said["scripts"], said["complete"]), (0, 7, 4, 1, True))
    m = c.imap(user)
    c.same("UIDVALIDITY and UIDNEXT stay", status_of(m, "INBOX"), {"MESSAGES": 4, "UIDNEXT": 21, "UIDVALIDITY": UIDVALIDITY})
    c.same("UIDs stay, a new one is Dovecot's next", uids(m, "INBOX"), [10, 12, 15, 20])
    flags = " ".join(rows(m, "(UID FLAGS INTERNALDATE)"))
    for wanted in ("UID 10 FLAGS (\\Seen", "\\Answered", "NonJunk", "$Label1", "\\Flagged", "13-May-2014 16:53:21"):
        c.ok("flags, keywords and dates: " + wanted, wanted in flags, flags)
    body = m.uid("fetch", "10", "BODY.PEEK[]")[1][0][1]
    c.same("the message itself, with CRLF", body, (BODY % (1, 1, b"", 1)).replace(b"\n", b"\r\n"))
    c.same("mailboxes below", (uids(m, "Work/2024"), uids(m, "Entw&APw-rfe")), ([3], [3]))
    subscribed = b" ".join(m.lsub('""', "*")[1])
    c.ok("subscriptions", b"Work/2024" in subscribed and b"Gone" in subscribed and b"Entw" not in subscribed, subscribed)
    m.logout()
    c.same("unique-ids", popped(c, user), ["%08x%08x" % (10, UIDVALIDITY), "given-uidl", "%08x%08x" % (15, UIDVALIDITY),
                                           "%08x%08x" % (20, UIDVALIDITY)])


def popped(c, user):
    p = poplib.POP3("127.0.0.1", c.port("pop3"), timeout=30)
    p.user(user)
    p.pass_(c.password(user))
    lines = [line.decode().split()[1] for line in p.uidl()[1]]
    p.quit()
    return lines


def again(i, user):
    c, d = i.c, i.maildir
    status, said = i.json("maildir", d.path, user)
    c.same("a second run brings nothing", (status, said["messages"], said["known"]), (0, 0, 7))
    m = c.imap(user)
    m.select("INBOX")
    m.uid("store", "12", "+FLAGS", "(\\Deleted)")  # touched here, stays as it is here
    cur = os.path.join(d.path, "cur")
    name = next(n for n in os.listdir(cur) if n.startswith("1500000001"))
    os.rename(os.path.join(cur, name), os.path.join(cur, name + "F"))
    touched = next(n for n in os.listdir(cur) if n.startswith("1500000002"))
    os.unlink(os.path.join(cur, touched))
    gone = next(n for n in os.listdir(cur) if n.startswith("1500000003"))
    os.unlink(os.path.join(cur, gone))
    d.add("", 30, "S")
    status, said = i.json("maildir", d.path, user)
    c.same("a third run brings what changed", (status, said["messages"], said["flags"], said["gone"]), (0, 1, 1, 1))
    c.same("what is gone there is gone here, unless it was touched", uids(m, "INBOX"), [10, 12, 20, 21])
    flags = [r for r in rows(m, "(UID FLAGS)") if "UID 10 " in r]
    c.ok("a flag that was set there is set here", flags and "\\Flagged" in flags[0], flags)
    m.uid("store", "20", "+FLAGS", "(\\Deleted)")
    m.uid("expunge", "20")
    status, said = i.json("maildir", d.path, user)
    c.same("what was expunged here does not come back", (status, said["messages"], uids(m, "INBOX")), (0, 0, [10, 12, 21]))
    m.logout()


def odd(i, user):
    """What is no mail is said, what is compressed is read, a name that we do not take gets another."""
    c, d = i.c, Maildir(os.path.join(i.folder, "Odd"))
    d.add("", 1, body=gzip.compress(b"Subject: packed\n\nText.\n"))
    d.add("", 2, body=b"CRYPTED\x03\x07....")
    d.add("", 3, body=gzip.compress(b"Subject: packed\n\nText.\n" * 100)[:-20])
    os.mkdir(os.path.join(d.path, "cur", "1500000009.folder"))
    os.mkfifo(os.path.join(d.path, "cur", "1500000010.pipe"))
    os.symlink("/etc/passwd", os.path.join(d.path, "cur", "1500000011.link"))
    d.box(".A\x01B")
    d.add(".A\x01B", 20)
    d.box("..x")
    d.add("..x", 21)
    os.mkdir(os.path.join(d.path, ".nothing"))
    report = os.path.join(i.folder, "report")
    status, said = i.json("maildir", d.path, user, "--report", report)
    c.same("what is left out makes it no success", (status, said["messages"], said["left_out"]["count"]), (1, 3, 6))
    with open(report) as text:
        lines = text.read()
    for word in ("mail_crypt", "ends too early", "folder", "pipe", "symbolic link", "no Maildir", "A_B"):
        c.ok("the report names: " + word, word in lines, lines)
    status, said = i.json("maildir", odd_names(i), user, "--mailbox", "Odder", "--report", report)
    with open(report) as text:
        lines = text.read()
    c.same("odd names and messages come", (status, said["messages"], said["mailboxes"], said["scripts"]), (1, 10, 7, 0))
    for line in (".Away: a symbolic link", "Linked: a symbolic link", "unique-ids in dovecot-uidlist", ".dovecot.sieve: the active Sieve script",
                 "too deep a folder"):
        c.ok("the report names: " + line, line in lines, lines)
    c.ok("no command for a terminal is in it", "\x9b" not in lines and "\x1b" not in lines, repr(lines))
    m = c.imap(user)
    m.select("INBOX")
    c.same("gzip is unpacked", m.fetch("1", "BODY.PEEK[]")[1][0][1], b"Subject: packed\r\n\r\nText.\r\n")
    c.same("a name that is not allowed is mended", (len(uids(m, "A_B")), len(uids(m, "x"))), (1, 1))
    m.logout()


def links(i, user):
    """A path is the same however it is typed; another user's link brings nobody's mail but his own."""
    c, top = i.c, os.path.join(i.folder, "links")
    for year in ("2023", "2024"):
        os.makedirs(os.path.join(top, year))
        with open(os.path.join(top, year, "inbox"), "w") as out:
            out.write("From ann@example.org Thu Jan  1 00:00:01 1970\nSubject: %s\n\nx\n" % year)
    here = os.getcwd()
    for year, path, brought in (("2023", "inbox", 1), ("2023", "../2023/./inbox", 0), ("2024", "inbox", 1), ("2023", "inbox", 0)):
        os.chdir(os.path.join(top, year))
        status, said = i.json("mbox", path, user)
        os.chdir(here)
        c.same("inbox of %s, as %s" % (year, path), (status, said["messages"], said["gone"]), (0, brought, 0))
    if os.geteuid() != 0:
        return
    bob, link = Maildir(os.path.join(top, "bob")), os.path.join(top, "ann-Maildir")
    bob.add("", 1)
    os.symlink(bob.path, link)
    os.chown(link, 4711, 4711, follow_symlinks=False)
    for kind in ("maildir", "mbox", "eml"):
        status, said, err = i.command(kind, link, user)
        c.ok("%s: a stranger's link is not followed" % kind, status == 1 and "symbolic link of user 4711" in said + err, said + err)
    os.chown(bob.path, 4711, 4711)
    status, said = i.json("maildir", link, user, "--mailbox", "Own")
    c.same("... but to what is his own", (status, said["messages"]), (0, 1))


def at_once(i, user):
    """Three imports of one source into one account at the same time, while mail comes: nothing comes twice."""
    c, d = i.c, make_many(i, "AtOnce", 3000)
    running = [subprocess.Popen(i.words("maildir", d.path, user, "--mailbox", "Once"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
               for _ in range(3)]
    for _ in range(20):
        c.deliver(user, b"Subject: meanwhile\r\n\r\nx\r\n")
    for p in running:
        said = p.communicate(timeout=120)[0]
        c.ok("it ends, or says that another one runs", p.returncode == 0 or b"another import" in said, said)
    m = c.imap(user)
    c.same("each message once", len(uids(m, "Once")), 3000)
    m.logout()


def lz4(text, chunk=1000):
    """As Dovecot's zlib plugin frames it; the blocks hold literals only, which is LZ4 too."""
    out = b"Dovecot-LZ4\r*\x9b\xc5" + (1 << 16).to_bytes(4, "big")
    for at in range(0, len(text), chunk):
        piece = text[at:at + chunk]
        more = len(piece) - 15
        block = bytes([0xf0]) + b"\xff" * (more // 255) + bytes([more % 255]) if more >= 0 else bytes([len(piece) << 4])
        out += len(block + piece).to_bytes(4, "big") + block + piece
    return out


def packed(i, user):
    c, d = i.c, Maildir(os.path.join(i.folder, "Packed"))
    text = b"Subject: packed\n\n" + b"".join(b"line %d of many\n" % n for n in range(20000))
    ways = {"bzip2": bz2.compress, "xz": lzma.compress, "lz4": lz4, "gzip": gzip.compress}
    for n, pack in enumerate(ways.values()):
        d.add("", n + 1, body=pack(text))
        d.add("", n + 11, body=pack(text[:5000]) + pack(text[5000:]) if pack is not lz4 else lz4(text, 65536))
        d.add("", n + 21, body=pack(text)[:-40])
        damaged = bytearray(pack(text))
        damaged[len(damaged) // 2] ^= 0x5a
        damaged[25] ^= 0x5a
        d.add("", n + 31, body=bytes(damaged))
    status, said = i.json("maildir", d.path, user, "--report", os.path.join(i.folder, "packed"))
    with open(os.path.join(i.folder, "packed")) as file:
        lines = file.read()
    c.ok("what is damaged or cut is left out", status == 1 and lines.count("compressed data is damaged") + lines.count("too early") in (7, 8), lines)
    m = c.imap(user)
    m.select("INBOX")
    found = [m.fetch(str(n), "BODY.PEEK[]")[1][0][1] for n in range(1, said["messages"] + 1)]
    c.ok("all that Dovecot compresses is read", found.count(text.replace(b"\n", b"\r\n")) == 8, said)
    m.logout()


def odd_by_pop3(i, user):
    """Empty, cut, with bare CRs and NULs: what LIST says is what RETR sends, whatever the message is (RFC 1939 section 11)."""
    c, d = i.c, Maildir(os.path.join(i.folder, "OddPop3"))
    texts = (b"", b"\n", b"\r\n", b".", b".\n", b"..\n.\n", b"no header and no line end", b"Subject: CR\ronly\r\rx", b"Subject: a\n\n\0\0\0\n",
             b"Subject: 8\n\n\xe9\xff", b"Subject: long\n\n" + b"." * 70000, b"Subject: lines\n\n" + b".\n" * 50000 + b"x", b"\n\n\n\n")
    for n, text in enumerate(texts):
        with open(os.path.join(d.path, "cur", "%d.M%dP1.h:2," % (1600000000 + n, n)), "wb") as out:
            out.write(text)
    status, said = i.json("maildir", d.path, user)
    c.same("odd messages come", (status, said["messages"]), (0, len(texts)))
    p = poplib.POP3("127.0.0.1", c.port("pop3"), timeout=60)
    poplib._MAXLINE = 1 << 20
    p.user(user)
    p.pass_(c.password(user))
    sizes, total = [int(line.split()[1]) for line in p.list()[1]], p.stat()
    for n, text in enumerate(texts):
        want = text if text.endswith(b"\n") or not text else text + b"\n"
        want = want.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        got = b"".join(line + b"\r\n" for line in p.retr(n + 1)[1])
        c.ok("message %d as it was" % (n + 1), got == want, (got[:60], want[:60]))
        c.same("message %d is as long as LIST says" % (n + 1), len(got), sizes[n])
        top = b"".join(line + b"\r\n" for line in p.top(n + 1, 10 ** 9)[1])
        c.ok("message %d: TOP of all" % (n + 1), top == want, (top[:60], want[:60]))
    c.same("STAT says the same", total, (len(texts), sum(sizes)))
    p.quit()


def odd_names(i):
    """Lists that are called as programs' folders are, links, a tree without an end, 8-bit names, empty and cut messages."""
    d = Maildir(os.path.join(i.folder, "Odder"))
    away = Maildir(os.path.join(i.folder, "Away"))
    away.add("", 50)
    for n, name in enumerate((".dovecot", ".dovecot-users", ".inbox", "sieve", "virtual")):
        d.box(name)
        d.add(name, 30 + n)
    os.symlink(away.path, os.path.join(d.path, ".Away"))
    os.symlink(away.path, os.path.join(d.path, "Linked"))
    os.symlink("../Away/none.sieve", os.path.join(d.path, ".dovecot.sieve"))
    d.box(os.fsdecode(b".\xff\xfe\xc2\x9b31m"))
    os.makedirs(os.path.join(d.path, "/".join(["deep"] * 40), "cur"))
    for n, body in enumerate((b"", b"\n", b"no header and no line end", b"Subject: CR\ronly\r\rx", b"Subject: \xe9\n\n\0\0\0\n")):
        with open(os.path.join(d.path, "cur", "%d.M%dP1.h:2," % (1600000000 + n, n)), "wb") as out:
            out.write(body)
    d.file("dovecot-uidlist", "3 V77 N10\n1 P%s :1600000000.M0P1.h\n" % ("u" * 3000))
    return d.path


def plain(i, user):
    """A Maildir that no Dovecot has seen, in the LAYOUT=fs, into a mailbox of its own; while the server is stopped too."""
    c, d = i.c, Maildir(os.path.join(i.folder, "Plain"))
    d.add("", 1, "S")
    d.add("", 2, "")
    d.box("Lists/C")
    d.add("Lists/C", 3)
    status, said = i.json("maildir", d.path, user, "--prefix", "Old")
    c.same("below a prefix", (status, said["messages"]), (0, 3))
    m = c.imap(user)
    c.same("... each in its own", (len(uids(m, "Old/INBOX")), len(uids(m, "Old/Lists/C"))), (2, 1))
    status, said = i.json("maildir", d.path, user, "--mailbox", "All")
    c.same("all into one", (status, said["messages"], len(uids(m, "All"))), (0, 3, 3))
    status, said = i.json("maildir", d.path, user, "--mailbox", "All")
    c.same("... once", (status, said["messages"], said["known"], len(uids(m, "All"))), (0, 0, 3, 3))
    m.logout()


def eml(i, user):
    c, top = i.c, os.path.join(i.folder, "eml")
    os.makedirs(os.path.join(top, "Project", "Deep"))
    for path, text in (("a.eml", b"Date: Tue, 1 Jul 2003 10:52:37 +0200\nSubject: a\n\nx\n"), ("Project/b.EML", b"Subject: b\r\n\r\ny\r\n"),
                       ("Project/Deep/c.eml", b"Received: from x by y; Wed, 2 Jul 2003 10:00:00 +0000\nSubject: c\n\nz\n"),
                       ("notes.txt", b"no mail")):
        with open(os.path.join(top, path), "wb") as out:
            out.write(text)
    status, said = i.json("eml", top, user)
    c.same("a folder of .eml", (status, said["messages"], said["left_out"]["count"]), (1, 3, 1))
    m = c.imap(user)
    c.same("folders are mailboxes", [len(uids(m, n)) for n in ("Imported", "Project", "Project/Deep")], [1, 1, 1])
    c.ok("Received's date", "02-Jul-2003 10:00:00" in rows(m, "(INTERNALDATE)")[0])
    m.select("Imported")
    c.ok("Date's date", "01-Jul-2003 10:52:37 +0200" in rows(m, "(INTERNALDATE)")[0])
    status, said = i.json("eml", top, user)
    c.same("a second run brings nothing", (said["messages"], said["known"]), (0, 3))
    m.logout()


def merged(i, user):
    """INBOX has mail already: its UIDs stay, the others get new ones, and that is said."""
    c, d = i.c, Maildir(os.path.join(i.folder, "Merged"))
    m = c.imap(user)
    m.append("INBOX", None, None, b"Subject: here\r\n\r\n")
    before = status_of(m, "INBOX")["UIDVALIDITY"]
    d.add("", 1, "", 100)
    d.uidlist("", 101)
    status, said = i.json("maildir", d.path, user)
    c.same("the mailbox's own UIDVALIDITY stays", status_of(m, "INBOX")["UIDVALIDITY"], before)
    c.ok("... which is said", status == 0 and "new UIDs" in json.dumps(said["notes"]), said)
    c.same("both are there", uids(m, "INBOX"), [1, 2])
    m.logout()


def full(i, user):
    c, d = i.c, Maildir(os.path.join(i.folder, "Full"))
    for n in range(5):
        d.add("", n, body=b"Subject: big\n\n" + b"x" * 70 * 1000)
    subprocess.run([i.program, "account", "quota", user, "--storage", "200000", "--config", i.config], check=True,
                   capture_output=True)
    status, said = i.json("maildir", d.path, user)
    c.ok("a full account stops it, clearly", status == 1 and said["messages"] == 2 and "quota" in json.dumps(said["errors"]).lower(), said)
    status, said = i.json("maildir", d.path, user, "--over-quota")
    c.same("--over-quota goes on", (status, said["messages"], said["known"]), (0, 3, 2))


def make_many(i, name, count):
    d = Maildir(os.path.join(i.folder, name))
    for n in range(count):
        d.add("", n, "S" if n % 2 else "", n + 1)
    d.uidlist("", count + 1)
    return d


def killed(i, user):
    """The command, and then the server, die in the middle: the next run brings the rest, nothing twice."""
    c, d = i.c, make_many(i, "Many", 12000)
    for wait in (0.05, 0.15, 0.3):
        p = subprocess.Popen(i.words("maildir", d.path, user), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(wait)
        p.send_signal(signal.SIGKILL)
        p.wait()
    p = subprocess.Popen(i.words("maildir", d.path, user, "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    time.sleep(0.1)
    for pid in mail_roles(i.server.process.pid):
        os.kill(pid, signal.SIGKILL)
    p.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while True:
        status, said = i.json("maildir", d.path, user)
        if status == 0 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    c.ok("after kills all is there", status == 0 and said["complete"], said)
    m = c.imap(user)
    c.same("... and nothing twice", uids(m, "INBOX"), list(range(1, 12001)))
    m.logout()
    c.same("check finds nothing", i.check().returncode, 0)


def mail_roles(supervisor):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as stat, open("/proc/%s/cmdline" % pid, "rb") as words:
                if int(stat.read().rsplit(")", 1)[1].split()[1]) == supervisor and b"mail" in words.read():
                    found.append(int(pid))
        except (OSError, ValueError):
            pass
    return found


def pss(pid):
    try:
        with open("/proc/%d/smaps_rollup" % pid) as text:
            return next(int(line.split()[1]) for line in text if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def is_sanitized(pid):
    try:
        with open("/proc/%d/maps" % pid) as maps:
            return "libasan" in maps.read()
    except OSError:
        return False


def bounded(i, user):
    """20,000 messages: neither the command nor the role grows with what passes through."""
    c, d = i.c, make_many(i, "Lots", 20000)
    roles = mail_roles(i.server.process.pid)
    before = sum(map(pss, roles))
    p = subprocess.Popen(i.words("maildir", d.path, user), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most_command = most_role = 0
    while p.poll() is None:
        most_command = max(most_command, pss(p.pid))
        most_role = max(most_role, sum(map(pss, roles)))
        time.sleep(0.02)
    c.same("20,000 messages come", p.returncode, 0)
    times = 4 if any(map(is_sanitized, roles)) else 1  # AddressSanitizer keeps what was freed for a while
    c.ok("the command stays small", most_command < 64 * 1024 * times, "%d KB" % most_command)
    c.ok("the role stays small", most_role - before < 200 * 1024 * times, "%d KB more" % (most_role - before))


def corpus(i, user):
    """Real messages, byte for byte but for their line ends."""
    c, top, texts = i.c, os.path.join(i.folder, "corpus"), []
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "corpus")
    os.mkdir(top)
    for folder, _, names in sorted(os.walk(here)):
        for name in sorted(names):
            with open(os.path.join(folder, name), "rb") as text:
                body = text.read()
            if name.endswith(".eml") and body:
                with open(os.path.join(top, "%05d.eml" % len(texts)), "wb") as out:
                    out.write(body)
                texts.append(body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    status, said = i.json("eml", top, user)
    c.same("the corpus comes", (status, said["messages"]), (0, len(texts)))
    m = c.imap(user)
    m.select("Imported")
    same = sum(m.fetch(str(n + 1), "BODY.PEEK[]")[1][0][1] == text for n, text in enumerate(texts))
    c.same("... as it was", same, len(texts))
    m.logout()


def wrong(i, user):
    c = i.c
    os.makedirs(os.path.join(i.folder, "dbox", "mailboxes", "INBOX", "dbox-Mails"))
    os.makedirs(os.path.join(i.folder, "empty"))
    for words, wanted, code in ((("maildir", os.path.join(i.folder, "dbox"), user), "IMAP", 1),
                                (("maildir", os.path.join(i.folder, "empty"), user), "no Maildir", 1),
                                (("maildir", "/nonexistent", user), "No such file", 1),
                                (("maildir", "/etc/passwd", user), "no folder", 1),
                                (("maildir", os.path.join(i.folder, "Plain")), "too few", 2),
                                (("maildir", os.path.join(i.folder, "Plain"), "nobody@example.test"), "nobody@example.test", 1)):
        status, out, err = i.command(*words)
        c.ok("%s: %s" % (words[1], wanted), status == code and wanted in out + err, out + err)
