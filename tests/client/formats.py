"""Mail that moves: posthorn export and import, by mbox, Maildir++ and IMAP, between Posthorns and with Dovecot."""

import datetime
import glob
import imaplib
import os
import re
import selectors
import shutil
import socket
import subprocess
import threading
import time

import demo

MAILBOXES = ["INBOX", "Work/Gr&APwA3w-e", "a.b", "Sent"]
FLAGS = ["", "\\Seen", "\\Flagged work", "\\Answered \\Seen $Important", "\\Draft x1"]


def run(c):
    with demo.Demo(c.server.program, None) as other:
        m = Moves(c, other)
        m.fill()
        m.by_imap()
        m.over_bad_lines()
        m.by_mbox()
        m.wrong()
        m.with_dovecot()


def epoch(text):
    return datetime.datetime.strptime(text.decode().strip(), "%d-%b-%Y %H:%M:%S %z").timestamp()


def as_crlf(body):
    """What formats of lines can hold: one kind of line end, one at the end."""
    return re.sub(rb"\r?\n", b"\r\n", body).rstrip(b"\r\n")


def dump(m, exact=False):
    """All mailboxes with messages: {name: (UIDVALIDITY, UIDNEXT, {UID: (flags, date, body)})}."""
    found = {}
    for line in m.list()[1]:
        attributes, name = re.match(rb'\((.*?)\) "." (.*)$', line).groups()
        if b"Noselect" in attributes or b"NonExistent" in attributes:
            continue
        status = m.status(name.decode(), "(UIDVALIDITY UIDNEXT MESSAGES)")[1][0]
        number = {k: int(re.search(k.encode() + rb" (\d+)", status).group(1)) for k in ("UIDVALIDITY", "UIDNEXT", "MESSAGES")}
        if number["MESSAGES"] == 0:
            continue
        m.select(name.decode(), readonly=True)
        messages, parts = {}, []
        for item in m.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])")[1]:
            if isinstance(item, tuple):
                parts.append([item[0], item[1]])
            else:
                parts[-1][0] += item
        for head, body in parts:
            flags = set(re.search(rb"FLAGS \((.*?)\)", head).group(1).split()) - {b"\\Recent"}
            date = epoch(re.search(rb'INTERNALDATE "(.*?)"', head).group(1))
            messages[int(re.search(rb"UID (\d+)", head).group(1))] = (sorted(flags), date, body if exact else as_crlf(body))
        found[name.strip(b'"').decode()] = (number["UIDVALIDITY"], number["UIDNEXT"], messages)
    return found


class Cut:
    """Between a client and a server; each connection ends after so many bytes of the server's."""

    def __init__(self, port, after):
        self.port, self.after, self.cuts = port, after, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self.port)) as server, selectors.DefaultSelector() as s:
                left = self.after
                s.register(client, selectors.EVENT_READ)
                s.register(server, selectors.EVENT_READ)
                while left > 0:
                    for key, _ in s.select():
                        data = key.fileobj.recv(4096)
                        if not data:
                            left = -1
                        elif key.fileobj is client:
                            server.sendall(data)
                        else:
                            client.sendall(data[:left])
                            left -= len(data)
                        if left <= 0:
                            break
                self.cuts += left != -1


class Moves:
    def __init__(self, c, other):
        self.c, self.other, self.user = c, other, c.users[0]
        self.here = os.path.join(c.server.folder, "data/posthorn.conf") if hasattr(c.server, "folder") else None
        self.there = os.path.join(other.folder, "data/posthorn.conf")
        self.secret = c.file("secret", c.password(self.user) + "\n")

    def posthorn(self, config, *words, want=0, seconds=120):
        status, said = self.c.command([self.c.server.program, *words, "--config", config], seconds=seconds)
        self.c.ok("%s: status %d" % (" ".join(str(w) for w in words)[:50], want), status == want, "%d: %r" % (status, said[-1500:]))
        return said.decode(errors="replace")

    def account(self, user):
        m = imaplib.IMAP4(self.c.host, self.other.base + demo.PORTS["imap"], timeout=60)
        m.login(user, self.c.password(user))
        return m

    def same(self, name, got, want, validity=True):
        self.c.same(name + ": mailboxes", sorted(got), sorted(want))
        for box in set(got) & set(want):
            if validity:
                self.c.same("%s: %s: UIDVALIDITY, UIDNEXT" % (name, box), got[box][:2], want[box][:2])
            self.c.same("%s: %s: UIDs" % (name, box), sorted(got[box][2]), sorted(want[box][2]))
            wrong = [u for u in want[box][2] if got[box][2].get(u) != want[box][2][u]]
            self.c.ok("%s: %s: flags, dates, bytes" % (name, box), not wrong,
                      [(u, got[box][2].get(u), want[box][2][u]) for u in wrong[:2]])

    def fill(self):
        m = self.c.imap(self.user)
        for box in MAILBOXES[1:3]:
            m.create('"%s"' % box)
            m.subscribe('"%s"' % box)
        for n, path in enumerate(sorted(glob.glob(os.path.join(os.path.dirname(__file__), "../corpus/*.eml")))):
            with open(path, "rb") as file:
                m.append('"%s"' % MAILBOXES[n % 4], "(%s)" % FLAGS[n % 5], '"%02d-Jan-2020 10:11:%02d +0%d00"' % (n % 28 + 1, n % 60, n % 10), file.read())
        m.append("INBOX", "(\\Seen)", '"01-Feb-2020 00:00:00 +0000"',
                 b"Status: mine\r\nX-UID: 77\r\nSubject: fields of an mbox\r\n\r\nFrom x\r\n>From y\r\n\r\nFrom a@b Thu Jan  1 00:00:01 1970\r\nX: y\r\n\r\n")
        m.select("INBOX")
        m.store("2", "+FLAGS", "\\Deleted")
        m.expunge()
        m.logout()

    def import_imap(self, user, port, *words, want=0, config=None):
        return self.posthorn(config or self.there, "import", "imap", "127.0.0.1:%d" % port, user, "--user", self.user, "--password-file",
                             self.secret, "--plaintext", *words, want=want)

    def by_imap(self):
        c, port, user = self.c, self.c.port("imap"), self.c.users[0]
        self.import_imap(user, port)
        self.same("imap", dump(self.account(user), True), dump(c.imap(self.user), True))
        said = self.import_imap(user, port)
        c.ok("imap: a second run brings nothing", "imported: 0 messages" in said, said)
        m = c.imap(self.user, "INBOX")
        m.store("1", "+FLAGS", "(\\Flagged late)")
        m.store("2", "+FLAGS", "\\Deleted")
        m.expunge()
        m.append("INBOX", "", None, b"Subject: late\r\n\r\nnew\r\n")
        m.logout()
        said = self.import_imap(user, port)
        c.ok("imap: a third brings what is new", "imported: 1 message " in said and "1 taken out" in said, said)
        self.same("imap, third run", dump(self.account(user), True), dump(c.imap(self.user), True))
        m = self.account(user)
        c.ok("imap: subscriptions came along", any(b"a.b" in line for line in m.lsub()[1]), m.lsub()[1])
        m.logout()

    def over_bad_lines(self):
        cut = Cut(self.c.port("imap"), 25000)
        user = self.c.users[1]
        self.import_imap(user, cut.listener.getsockname()[1], "--skip", "a.b, Trash")
        cut.listener.close()
        want = dump(self.c.imap(self.user), True)
        want.pop("a.b")
        self.c.ok("bad lines: the connection did break", cut.cuts > 1, cut.cuts)
        self.same("bad lines", dump(self.account(user), True), want)

    def by_mbox(self):
        c = self.c
        for user, dialect in ((c.users[2], "mboxrd"), ("u86@example.test", "mboxcl2"), ("u87@example.test", "mboxcl")):
            folder = os.path.join(c.folder, dialect)
            self.posthorn(self.here, "export", "mbox", self.user, folder, "--dialect", dialect)
            self.posthorn(self.there, "import", "mbox", folder, user, want=1 if dialect == "x" else 0)
            self.same(dialect, dump(self.account(user)), dump(c.imap(self.user)))
            said = self.posthorn(self.there, "import", "mbox", folder, user)
            c.ok(dialect + ": a second run brings nothing", "imported: 0 messages" in said, said)
        said = self.posthorn(self.here, "export", "mbox", self.user, folder, want=1)
        c.ok("export: not into a folder with something in it", "is not empty" in said, said)
        folder = os.path.join(c.folder, "some")
        self.posthorn(self.here, "export", "mbox", self.user, folder, "--mailbox", "Work")
        c.same("export: one mailbox", sorted(os.listdir(folder)), [".subscriptions", "Work.sbd"])
        folder = os.path.join(c.folder, "all")
        self.posthorn(self.there, "export", "maildir", folder, "--all")
        c.same("export: all accounts", len(os.listdir(folder)), demo.ACCOUNTS)
        said = self.posthorn(self.there, "export", "maildir", folder, "--all", "--resume")
        c.ok("export: resumed", "were there already" in said or "exported: " in said, said)

    def wrong(self):
        c, port = self.c, self.c.port("imap")
        for words, text in ((["--password-file", self.secret], "wrong version number"), (["--password-file", self.secret, "--starttls"], "certificate"),
                            (["--password-file", c.file("wrong", "no\n"), "--plaintext"], "signing in: the server says NO"),
                            (["--password-file", self.secret, "--plaintext", "--only", "None"], "no such mailbox")):
            said = self.posthorn(self.there, "import", "imap", "127.0.0.1:%d" % port, c.users[1], "--user", self.user, *words, want=1)
            c.ok("refused: " + text, text in said, said)
        self.posthorn(self.there, "import", "imap", "127.0.0.1:%d" % port, c.users[1], "--user", self.user, "--password-file", self.secret,
                      "--starttls", "--insecure", "--only", "INBOX")
        self.posthorn(self.there, "import", "mbox", __file__, c.users[1], want=1)
        self.posthorn(self.there, "import", "mbox", c.folder, "nobody@example.test", want=1)

    def with_dovecot(self):
        c = self.c
        if not c.has("dovecot"):
            return
        with Dovecot(c) as dovecot:
            self.posthorn(self.here, "export", "maildir", self.user, os.path.join(dovecot.mail, self.user))
            dovecot.own()
            want = dump(c.imap(self.user))
            self.same("Dovecot reads", dump(dovecot.imap(self.user, c.password(self.user))), want)
            m = dovecot.imap(self.user, c.password(self.user))
            c.ok("Dovecot reads: subscriptions", any(b"a.b" in line for line in m.lsub()[1]), m.lsub()[1])
            m.logout()
            user = "u88@example.test"
            self.import_imap(user, dovecot.port, "--pop3-uidl-format", "%08Xu%08Xv")
            self.same("from Dovecot", dump(self.account(user)), want)
            said = self.import_imap(user, dovecot.port, "--pop3-uidl-format", "%08Xu%08Xv")
            c.ok("from Dovecot: a second run brings nothing", "imported: 0 messages" in said, said)
            user = "u89@example.test"
            self.posthorn(self.there, "import", "maildir", os.path.join(dovecot.mail, self.user), user)
            self.same("Maildir++ and back", dump(self.account(user)), want)


class Dovecot:
    """A server of its own; Maildir++ with "/" between levels."""

    def __init__(self, c):
        self.c, self.folder = c, os.path.join(c.folder, "dovecot")
        self.mail, self.config = os.path.join(self.folder, "mail"), os.path.join(self.folder, "dovecot.conf")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        os.makedirs(self.mail)
        os.chmod(c.folder, 0o755)
        os.chmod(self.folder, 0o755)
        users = "".join("%s:{PLAIN}%s::::::\n" % (u, c.password(u)) for u in c.users)
        c.file("dovecot/users", users, 0o644)
        c.file("dovecot/dovecot.conf", """
base_dir = %(d)s/run
state_dir = %(d)s/state
log_path = %(d)s/log
protocols = imap
listen = 127.0.0.1
disable_plaintext_auth = no
ssl = no
mail_plugins = listescape
mail_location = maildir:%(d)s/mail/%%u
first_valid_uid = 8
passdb {
  driver = passwd-file
  args = username_format=%%u %(d)s/users
}
userdb {
  driver = static
  args = uid=mail gid=mail home=%(d)s/home/%%u
}
namespace inbox {
  inbox = yes
  separator = /
}
service imap-login {
  inet_listener imap {
    port = %(p)d
  }
  inet_listener imaps {
    port = 0
  }
}
""" % {"d": self.folder, "p": self.port}, 0o644)

    def __enter__(self):
        subprocess.run(["dovecot", "-c", self.config], check=True)
        return self

    def own(self):
        subprocess.run(["chown", "-R", "mail:mail", self.mail], check=True)

    def imap(self, user, password):
        m = None
        for left in range(100, -1, -1):
            try:
                m = imaplib.IMAP4("127.0.0.1", self.port, timeout=60)
                break
            except OSError:
                if left == 0:
                    raise
                time.sleep(0.1)
        m.login(user, password)
        return m

    def __exit__(self, *_):
        subprocess.run(["dovecot", "-c", self.config, "stop"], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
