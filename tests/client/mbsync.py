"""isync: two machines, each with a Maildir, in step with one account."""

import os
import re
import time

from demo import message

CONFIG = """
IMAPAccount post
Host {host}
Port {port}
User {user}
Pass {password}
SSLType {tls}
CertificateFile {certificate}
AuthMechs PLAIN

IMAPStore far
Account post

MaildirStore near
Path {folder}/
Inbox {folder}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
CopyArrivalDate yes
"""

# Commands that move or change something, as -Dn shows them.
TRANSFER = re.compile(rb">>> \d+ (?:APPEND|UID STORE|UID COPY|UID EXPUNGE|UID FETCH \S+ \([^)]*BODY\.PEEK\[\]).*")


def run(c):
    if not c.has("mbsync"):
        return
    user = c.users[0]
    seed_account(c, user)
    one, two = Machine(c, user, "one"), Machine(c, user, "two", tls=True)
    c.ok("which fetches each message", len(TRANSFER.findall(one.sync("first sync"))) >= 25)
    c.same("all of the account is there", one.tree(), account_tree(c, user))
    one.sync_is_idle("a second sync transfers nothing")
    two.sync("another machine, by TLS")
    c.same("both are equal", two.tree(), one.tree())
    by_hand(c, user, one, two)
    at_random(c, user, one, two)
    one.sync_is_idle("in the end one has nothing to do")
    two.sync_is_idle("nor has the other")


def seed_account(c, user):
    for n in range(20):
        c.deliver(user, message("seed %d" % n, "line\r\n" * n))
    m = c.imap(user, "INBOX")
    c.wait_for(m, 20)
    m.store("1:5", "+FLAGS.SILENT", r"(\Seen)")
    m.store("3", "+FLAGS.SILENT", r"(\Flagged \Answered)")
    m.copy("1:3", "Archive")
    m.create("Lists/deep")
    m.copy("20", "Lists/deep")
    m.append("Drafts", r"(\Draft)", None, message("a draft"))
    m.logout()


# ---- the account, and a machine's copy of it, as comparable values ----

LETTERS = {"\\Seen": "S", "\\Flagged": "F", "\\Answered": "R", "\\Draft": "D", "\\Deleted": "T"}


def canonical(text):
    """Without what a Maildir does to it: line ends, and the mark that isync may add."""
    return re.sub(rb"(?m)^X-TUID: .*\n", b"", text.replace(b"\r\n", b"\n"))


def account_tree(c, user):
    m, tree = c.imap(user), {}
    for line in m.list()[1]:
        if b"\\Noselect" in line:
            continue
        name = re.search(rb'"/" "?([^"]*)"?$', line).group(1).decode()
        m.select('"%s"' % name, readonly=True)
        _, data = m.fetch("1:*", "(FLAGS BODY.PEEK[])") if m.untagged_responses["EXISTS"][-1] != b"0" else ("OK", [])
        tree[name] = sorted((canonical(part[1]), flags(part[0])) for part in data if isinstance(part, tuple))
    m.logout()
    return tree


def flags(line):
    found = re.search(rb"FLAGS \(([^)]*)\)", line).group(1).decode().split()
    return "".join(sorted(LETTERS[f] for f in found if f in LETTERS))


class Machine:
    def __init__(self, c, user, name, tls=False):
        self.c, self.name, self.user = c, name, user
        self.folder = os.path.join(c.folder, name)
        os.mkdir(self.folder)
        certificate = c.file(name + ".pem", c.command(
            ["sh", "-c", "openssl s_client -connect %s:%d </dev/null 2>/dev/null | openssl x509" % (c.host, c.port("imaps"))])[1])
        self.config = c.file(name + ".rc", CONFIG.format(
            host=c.host if not tls else "localhost", port=c.port("imaps" if tls else "imap"), user=user, password=c.password(user),
            folder=self.folder, tls="IMAPS" if tls else "None", certificate=certificate))
        self.count = 0

    def sync(self, note):
        """Returns the conversation with the server."""
        status, said = self.c.command(["mbsync", "-Dn", "-c", self.config, "-a"], seconds=300)
        self.c.ok("%s: %s" % (self.name, note), status == 0, said[-2000:])
        return said

    def sync_is_idle(self, note):
        before, account = self.files(), account_tree(self.c, self.user)
        said = self.sync(note)
        self.c.same("%s: %s: nothing moves here" % (self.name, note), self.files(), before)
        self.c.same("%s: %s: nor there" % (self.name, note), account_tree(self.c, self.user), account)
        asked = TRANSFER.findall(said)
        self.c.ok("%s: %s: nothing is asked for" % (self.name, note), asked == [] and b" SELECT " in said, asked)

    def paths(self):
        """(mailbox, path) of each message."""
        for folder, folders, files in os.walk(self.folder):
            if os.path.basename(folder) in ("cur", "new"):
                for name in files:
                    yield os.path.relpath(os.path.dirname(folder), self.folder), os.path.join(folder, name)

    def files(self):
        return sorted(path for _, path in self.paths())

    def tree(self):
        tree = {}
        for folder, folders, _ in os.walk(self.folder):
            if "cur" in folders:
                tree[os.path.relpath(folder, self.folder)] = []
        for mailbox, path in self.paths():
            with open(path, "rb") as text:
                tree[mailbox].append((canonical(text.read()), path_flags(path)))
        return {name: sorted(messages) for name, messages in tree.items()}

    # ---- what a mail program on this machine would do ----

    def add(self, mailbox, text, letters=""):
        self.count += 1
        folder = os.path.join(self.folder, mailbox, "cur")
        path = os.path.join(folder, "%d.%d.%s:2,%s" % (time.time(), self.count, self.name, letters))
        with open(path, "wb") as out:
            out.write(text.replace(b"\r\n", b"\n"))

    def make_mailbox(self, mailbox):
        for part in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(self.folder, mailbox, part))

    def set_flags(self, path, letters):
        base = os.path.basename(path).split(":2,")[0]
        os.rename(path, os.path.join(os.path.dirname(os.path.dirname(path)), "cur", "%s:2,%s" % (base, "".join(sorted(letters)))))

    def with_subject(self, mailbox, subject):
        for where, path in self.paths():
            with open(path, "rb") as text:
                if where == mailbox and b"\nSubject: %s\n" % subject.encode() in text.read():
                    return path
        return None


def path_flags(path):
    return "".join(sorted(path.rsplit(":2,", 1)[1])) if ":2," in path else ""


# ---- changes on both sides ----


def by_hand(c, user, one, two):
    one.add("INBOX", message("written on one"), "S")
    one.make_mailbox("Made here")
    one.add("Made here", message("in a new mailbox"))
    one.set_flags(one.with_subject("INBOX", "seed 7"), "FS")
    os.unlink(one.with_subject("INBOX", "seed 8"))
    two.set_flags(two.with_subject("INBOX", "seed 9"), "RS")
    two.set_flags(two.with_subject("INBOX", "seed 10"), "T")
    c.deliver(user, message("delivered meanwhile"))
    c.messages(user, count=21)
    for machine, note in ((one, "takes its changes there"), (two, "brings its own"), (one, "gets those as well")):
        machine.sync(note)
    c.same("changes on both: equal", two.tree(), one.tree())
    c.same("changes on both: as the account", one.tree(), account_tree(c, user))
    inbox = {text.split(b"Subject: ")[1].split(b"\n")[0].decode(): letters for text, letters in one.tree()["INBOX"]}
    c.same("changes on both: what came of them",
           [inbox.get(s, "gone") for s in ("written on one", "seed 7", "seed 8", "seed 9", "seed 10", "delivered meanwhile")],
           ["S", "FS", "gone", "RS", "gone", ""])
    c.ok("a mailbox made here is there", "Made here" in two.tree(), list(two.tree()))


def at_random(c, user, one, two, rounds=4):
    """Whatever both do in whatever order, they end equal."""
    for number in range(rounds):
        for machine in (one, two):
            for step in range(c.random.randrange(1, 6)):
                paths = sorted(machine.paths())
                _, path = c.random.choice(paths)
                what = c.random.choice(["add", "flag", "delete", "deliver"])
                if what == "add":
                    machine.add("INBOX", message("%s %d %d" % (machine.name, number, step)), c.random.choice(["", "S", "FS"]))
                elif what == "flag":
                    machine.set_flags(path, c.random.choice(["", "S", "F", "RS"]))
                elif what == "delete":
                    os.unlink(path)
                else:
                    c.deliver(user, message("arrived %s %d %d" % (machine.name, number, step)))
            machine.sync("round %d" % number)
        for machine in (one, two, one):
            machine.sync("round %d, again" % number)
        c.same("round %d: equal" % number, two.tree(), one.tree())
        c.same("round %d: as the account" % number, one.tree(), account_tree(c, user))
