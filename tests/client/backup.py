"""posthorn backup, backup verify, restore: while mail comes and goes, interrupted, damaged, put back elsewhere."""

import grp
import hashlib
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import demo
from sendmail import Stopping

USERS = ["u%d@example.test" % n for n in range(4)]


def run(c):
    base = c.base
    with Stopping(c.server.program) as server:
        c.base = server.base
        b = Backups(c, server)
        while_written(b)
        only_what_changed(b)
        interrupted(b)
        one_account(b)
        damaged(b)
        refused(b)
        stopped(b)
        other_machine(b)
        hung(b)
    c.base = base


def text_of(number):
    """A message of a size of its own, whose bytes say who it is."""
    r = random.Random(number)
    lines = [hashlib.sha256(b"%d %d" % (number, i)).hexdigest() for i in range(r.choice((1, 5, 40, 400, 2500)))]
    return demo.message("message %d" % number, "\r\n".join(lines), Message_ID="<m%d@backup.example>" % number)


class Backups:
    def __init__(self, c, server):
        self.c, self.server = c, server
        self.folder = os.path.join(c.folder, "backups")
        self.number = 0
        self.lock = threading.Lock()

    def say(self, words, want=0, config=None):
        status, said = self.c.command([self.server.program, *words], env={"POSTHORN_CONFIG": config or self.server.config},
                                      seconds=300)
        self.c.ok("%s: status" % " ".join(os.path.basename(w) for w in words)[:70], status == want, "status %d\n%s" % (status, said[-2000:]))
        return said.decode(errors="replace")

    def backup(self, *more):
        return json.loads(self.say(["backup", "--json", self.folder, *more]))

    def verify(self, want=0):
        return json.loads(self.say(["backup", "verify", "--json", self.folder], want=want))

    def next(self):
        with self.lock:
            self.number += 1
            return self.number

    def elsewhere(self):
        """A config for another data folder and other ports."""
        with open(self.server.config) as file:
            text = file.read()
        base = next(n for n in iter(lambda: random.randrange(10000, 31000, 10), None) if demo.is_free(n))
        text = re.sub(r'(?m)^(data|runtime) = "[^"]*"', r'\1 = "%s/other"' % self.c.folder, text)
        text = re.sub(r"port = (\d+)", lambda m: "port = %d" % (int(m[1]) - self.server.base + base), text)
        return self.c.file("other.conf", text), base

    def inbox(self, user):
        """Number to bytes of what is in it, as it is on the wire without what was put in front."""
        found = {}
        for text in self.c.messages(user):
            number = re.search(rb"Message-ID: <m(\d+)@backup\.example>", text)
            if number:
                found[int(number[1])] = text
        return found


class Elsewhere:
    """What was restored, served; `more`: put into its config."""

    def __init__(self, b, more=lambda text: text):
        self.b = b
        self.config, self.base = b.elsewhere()
        with open(self.config) as file:
            text = more(file.read())
        with open(self.config, "w") as file:
            file.write(text)

    def restore(self, *more, want=0):
        shutil.rmtree(os.path.join(self.b.c.folder, "other"), ignore_errors=True)
        return self.b.say(["restore", self.b.folder, *more], config=self.config, want=want)

    def __enter__(self):
        b = self.b
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, open(os.path.join(b.c.folder, "other.log"), "ab") as log:
            path = os.path.join(b.c.folder, "notify")
            if os.path.exists(path):
                os.unlink(path)
            told.bind(path)
            told.settimeout(60)
            self.process = subprocess.Popen([b.server.program, "serve", "--config", self.config], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=dict(os.environ, NOTIFY_SOCKET=path))
            while b"READY=1" not in told.recv(4096):
                pass
        self.old, b.c.base = b.c.base, self.base
        return self

    def __exit__(self, *_):
        self.b.c.base = self.old
        self.process.send_signal(signal.SIGTERM)
        self.b.c.same("the restored server ends in order", self.process.wait(timeout=60), 0)


# ---- while others write ----

class Writers:
    """Deliver and expunge until they are told to stop; what they were promised is in the sets."""

    def __init__(self, b):
        self.b, self.stop, self.lock = b, False, threading.Lock()
        self.tried, self.acknowledged, self.expunging, self.expunged = {}, set(), set(), set()
        self.failed = []
        self.threads = [threading.Thread(target=self.guard, args=(work, n)) for n, work in
                        enumerate([self.deliver] * 3 + [self.append] + [self.expunge] * 2)]

    def guard(self, work, n):
        try:
            work(random.Random(n + 1))
        except Exception as error:
            self.failed.append(repr(error))

    def begin(self, r):
        user, number = r.choice(USERS), self.b.next()
        self.tried[number] = user
        return user, number

    def done(self, number):
        with self.lock:
            self.acknowledged.add(number)

    def deliver(self, r):
        with self.b.c.smtp() as s:
            while not self.stop:
                user, number = self.begin(r)
                s.sendmail("sender@elsewhere.example", [user], text_of(number))
                self.done(number)

    def append(self, r):
        sessions = {user: self.b.c.imap(user) for user in USERS}
        while not self.stop:
            user, number = self.begin(r)
            status, said = sessions[user].append("INBOX", r"(\Flagged)", None, text_of(number))
            if status != "OK":
                raise RuntimeError(said)
            self.done(number)
        for m in sessions.values():
            m.logout()

    def expunge(self, r):
        sessions = {user: self.b.c.imap(user, "INBOX") for user in USERS}
        while not self.stop:
            m = sessions[r.choice(USERS)]
            m.noop()
            uids = m.uid("SEARCH", "UNDELETED")[1][0].split()
            if len(uids) < 5:
                time.sleep(0.01)
                continue
            uid = r.choice(uids)
            text = b"".join(part[1] for part in m.uid("FETCH", uid, "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1] if isinstance(part, tuple))
            found = re.search(rb"<m(\d+)@", text)
            if not found:
                continue
            with self.lock:
                self.expunging.add(int(found[1]))
            m.uid("STORE", uid, "+FLAGS.SILENT", r"(\Deleted)")
            if m.uid("EXPUNGE", uid)[0] == "OK":
                with self.lock:
                    self.expunged.add(int(found[1]))

    def seen(self):
        with self.lock:
            return set(self.acknowledged), set(self.expunged)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        for t in self.threads:
            t.join()
        self.b.c.same("the writers met no failure", self.failed, [])


def while_written(b):
    c = b.c
    with Writers(b) as w:
        while len(w.seen()[0]) < 150 or len(w.seen()[1]) < 20:
            time.sleep(0.01)
        before, expunged_before = w.seen()
        said = b.backup()
        with w.lock:
            expunging = set(w.expunging)
        c.ok("mail came meanwhile", len(w.seen()[0]) > len(before))
    c.same("accounts", said["accounts"], demo.ACCOUNTS)
    c.same("the first is number 1", said["number"], 1)
    checked = b.verify()
    c.same("verified", checked["problems"], 0)
    c.ok("messages were looked at", checked["messages"] >= len(before - expunging), checked)

    old = uidvalidities(c)
    there = Elsewhere(b)
    there.restore()
    with there:
        new = uidvalidities(c)
        c.ok("every mailbox has a new UIDVALIDITY, above the old", all(new[name] > old[name] for name in old), (old, new))
        have = {}
        for user in USERS:
            found = b.inbox(user)
            c.ok(user + ": in its own INBOX", all(w.tried[n] == user for n in found))
            have.update(found)
        lost = before - expunging - set(have)
        c.same("all that was acknowledged before is there", sorted(lost), [])
        c.same("what was expunged before is not", sorted(expunged_before & set(have)), [])
        c.ok("every message is whole", all(text.endswith(text_of(n).split(b"\r\n\r\n", 1)[1]) for n, text in have.items()))
        c.ok("mail comes in again", deliver_one(b, USERS[0]))
        b.say(["check"], config=there.config)
    b.say(["check"])


def uidvalidities(c):
    out = {}
    for user in USERS:
        m = c.imap(user)
        for name in ("INBOX", "Sent"):
            out[user, name] = int(re.search(rb"UIDVALIDITY (\d+)", m.status(name, "(UIDVALIDITY)")[1][0])[1])
        m.logout()
    return out


def deliver_one(b, user):
    number = b.next()
    b.c.deliver(user, text_of(number))
    m = b.c.imap(user)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        m.select("INBOX")
        if m.search(None, "HEADER", "MESSAGE-ID", '"m%d@backup"' % number)[1][0]:
            m.logout()
            return True
    m.logout()
    return False


# ---- a second one ----

def settled(b):
    """Backups until one has copied nothing: what was just written is not trusted for two seconds."""
    for _ in range(100):
        said = b.backup()
        if said["copied_bytes"] == 0:
            return said
        time.sleep(0.3)
    return said


def only_what_changed(b):
    c = b.c
    said = settled(b)
    c.same("an unchanged store: nothing is copied", (said["copied_files"], said["copied_bytes"]), (0, 0))
    names = stored(b)
    c.ok("one that arrives", deliver_one(b, USERS[1]))
    said = b.backup()
    fresh = stored(b) - names
    kinds = sorted(os.path.relpath(p, b.folder).rsplit(".", 1)[0] for p in fresh)
    c.same("its account's file, alone, its volume, and what goes with them", [k for k in kinds if k not in ("mail/node.db", "auth/auth.db")],
           ["mail/accounts/02/00/0000000000000002/mail.db", next((k for k in kinds if "volumes" in k), "a volume")])
    c.same("as many files and bytes as it says", (len(fresh), sum(os.path.getsize(p) for p in fresh)),
           (said["copied_files"], said["copied_bytes"]))
    c.same("it verifies", b.verify()["problems"], 0)
    c.same("one list stays", lists(b), [said["number"]])
    said = b.backup("--keep", "3")
    c.same("two lists", lists(b), [said["number"] - 1, said["number"]])
    c.same("an older one is still good", json.loads(b.say(["backup", "verify", "--json", "--number", str(said["number"] - 1), b.folder]))["problems"], 0)
    b.backup()
    modes = {os.stat(os.path.join(top, name)).st_mode & 0o777 for top, _, files in os.walk(b.folder) for name in files}
    c.same("nobody else can read it", modes, {0o600})


def stored(b):
    return {os.path.join(top, name) for top, _, files in os.walk(b.folder) for name in files
            if not name.startswith("backup-") and name != "posthorn-backup"}


def lists(b):
    return sorted(int(name[7:-5]) for name in os.listdir(b.folder) if name.startswith("backup-"))


# ---- interrupted ----

def interrupted(b):
    c = b.c
    good = lists(b)[-1]
    for n in range(6):
        for user in USERS:
            c.deliver(user, text_of(b.next()))
        command = subprocess.Popen([b.server.program, "backup", "--config", b.server.config, b.folder],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.004 * 2 ** n)
        command.kill()
        command.wait()
        c.ok("killed: a list that was there stands", good in lists(b) or lists(b)[-1] > good)
        c.same("killed: and is good", b.verify()["problems"], 0)
        good = lists(b)[-1]
    said = b.backup()
    c.ok("the next one is whole", said["number"] > 0 and b.verify()["problems"] == 0)
    named = {f["stored"] for f in json.load(open(os.path.join(b.folder, "backup-%010d.json" % said["number"])))["files"]}
    c.same("nothing is left over", {os.path.relpath(p, b.folder) for p in stored(b)} - named, set())

    for _ in range(10):
        good, there = lists(b)[-1], stored(b)
        c.deliver(USERS[0], text_of(b.next()))
        command = subprocess.Popen([b.server.program, "backup", "--config", b.server.config, b.folder],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while stored(b) <= there and command.poll() is None:
            pass
        command.send_signal(signal.SIGSTOP)  # in the middle
        os.kill(mail_role(b), signal.SIGKILL)
        command.send_signal(signal.SIGCONT)
        said = command.communicate(timeout=120)[0]
        if command.returncode != 0:
            break
    c.ok("the server dies: the command fails, and says so", command.returncode == 1 and b"server" in said or b"socket" in said, said)
    c.same("the server dies: the one before is good", (lists(b)[-1], b.verify()["problems"]), (good, 0))
    for _ in range(300):
        try:
            c.imap(USERS[0]).logout()
            break
        except OSError:
            time.sleep(0.1)
        except Exception:
            time.sleep(0.1)
    b.backup()
    c.same("and the next one too", b.verify()["problems"], 0)


def mail_role(b):
    for process in subprocess.run(["pgrep", "-P", str(b.server.process.pid)], capture_output=True, text=True).stdout.split():
        with open("/proc/%s/cmdline" % process) as file:
            if "mail" in file.read().split("\0"):
                return int(process)
    raise RuntimeError("no mail role")


# ---- one account ----

def one_account(b):
    c, user, other = b.c, USERS[2], USERS[3]
    m = c.imap(user)
    m.create("Plans/2026")
    m.subscribe("Plans/2026")
    m.append("Plans/2026", r"(\Flagged $Work)", '"02-Nov-2026 10:11:12 +0300"', text_of(7_000_001))
    uses = special_uses(m)
    before = {name: contents(m, name) for name in ("INBOX", "Plans/2026")}
    b.backup()
    m.select("Plans/2026")
    m.store("1:*", "+FLAGS.SILENT", r"\Deleted")
    m.expunge()
    said = json.loads(b.say(["restore", "--json", b.folder, "--account", user]))
    c.same("messages", said["messages"], sum(len(v) for v in before.values()))
    for name, there in before.items():
        c.same("%s is beside, with flags, keywords, dates" % name, contents(m, "Restored/" + name), there)
    c.same("nothing came to what was there", contents(m, "Plans/2026"), [])
    c.same("special uses stay where they were", special_uses(m), uses)
    c.ok("subscribed", b'"Restored/Plans/2026"' in b" ".join(m.lsub()[1]))
    c.same("again: all was there", json.loads(b.say(["restore", "--json", b.folder, "--account", user]))["messages"], 0)
    m.logout()
    mine = c.imap(other)
    old = contents(mine, "INBOX")
    b.say(["restore", b.folder, "--account", user, "--into", other])
    c.same("into another's, under the same names", contents(mine, "INBOX"), sorted(old + before["INBOX"]))
    c.same("dry run keeps nothing", (b.say(["restore", "--dry-run", b.folder, "--account", user, "--into", other, "--mailbox-prefix", "X"]) != "",
                                     b"X/" in b" ".join(mine.list()[1])), (True, False))
    mine.logout()
    c.ok("nobody", "no account" in b.say(["restore", b.folder, "--account", "nobody@example.test"], want=1))
    b.say(["restore", b.folder, "--into", other], want=2)
    b.say(["restore", b.folder, "--account", other, "--release-queue"], want=2)
    b.say(["check"])


def special_uses(m):
    return sorted(line for line in m.list()[1] if re.search(rb"\\(Archive|Drafts|Junk|Sent|Trash)", line))


def contents(m, name):
    m.select('"%s"' % name, readonly=True)
    if m.untagged_responses["EXISTS"][-1] == b"0":
        return []
    rows = [part for part in m.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")[1] if isinstance(part, tuple)]
    return sorted((sorted(re.search(rb"FLAGS \(([^)]*)\)", head)[1].replace(b"\\Recent", b"").split()), re.search(rb'INTERNALDATE ("[^"]*")', head)[1], body)
                  for head, body in rows)


# ---- damage ----

def damaged(b):
    c = b.c
    for pattern in ("mail/volumes/", "mail/accounts/", "auth/auth.db"):
        path = next(p for p in sorted(stored(b)) if os.path.relpath(p, b.folder).startswith(pattern))
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0x10]))
        said = b.verify(want=1)
        c.ok("%s: a flipped bit is found, and where" % pattern,
             any(os.path.relpath(path, b.folder) in f for f in said["findings"]), said["findings"])
        there = Elsewhere(b)
        c.ok("%s: not restored" % pattern, "damaged" in there.restore(want=1))
        c.ok("%s: nothing of it is in place" % pattern, not os.path.exists(os.path.join(c.folder, "other", "mail", "node.db")))
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            file.write(byte)
        c.same("mended", b.verify()["problems"], 0)
        os.rename(path, path + ".away")
        said = b.verify(want=1)
        c.ok("%s: a missing file is found" % pattern, any("is missing" in f for f in said["findings"]), said["findings"])
        os.rename(path + ".away", path)
    name = os.path.join(b.folder, "backup-%010d.json" % lists(b)[-1])
    with open(name) as file:
        text = file.read()
    with open(name, "w") as file:
        file.write(re.sub(r'"bytes": (\d)', lambda m: '"bytes": %d' % ((int(m[1]) + 1) % 10), text, count=1))
    c.ok("a changed list is found", "damaged" in b.say(["backup", "verify", b.folder], want=1))
    with open(name, "w") as file:
        file.write(text)
    c.same("and as it was it is good", b.verify()["problems"], 0)


# ---- what is refused ----

def refused(b):
    c = b.c
    c.ok("while the server runs", "is running" in b.say(["restore", b.folder], want=1))
    strange = os.path.join(c.folder, "strange")
    os.mkdir(strange)
    c.file("strange/letter", "private")
    c.ok("a folder that is somebody's", "not empty" in b.say(["backup", strange], want=1))
    c.same("it is left alone", os.listdir(strange), ["letter"])
    c.ok("no backup", "not the folder of a backup" in b.say(["restore", strange], want=1))
    c.ok("no such backup", "9999" in b.say(["restore", "--number", "9999", b.folder], want=1))
    c.ok("nor one without a folder", b.say(["backup"], want=2) != "")


# ---- the server does not run ----

def stopped(b):
    c = b.c
    b.say(["sendmail", "-f", "u0@example.test", "far@away.example"])
    for _ in range(300):
        if json.loads(b.say(["queue", "stats", "--json"]))["messages"] > 0:
            break
        time.sleep(0.1)
    b.server.stop()
    c.ok("while it does not run", b.backup()["copied_files"] > 0)
    c.same("it verifies", b.verify()["problems"], 0)
    c.ok("a folder with mail is not restored into", "not empty" in b.say(["restore", b.folder], want=1))
    there = Elsewhere(b)
    shutil.rmtree(os.path.join(c.folder, "other"), ignore_errors=True)
    both = [subprocess.Popen([b.server.program, "restore", b.folder, "--config", there.config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for _ in range(2)]
    said = [p.communicate(timeout=120)[0] for p in both]
    c.ok("two at once: one restores, the other says so", sorted(p.returncode for p in both) == [0, 1] and
         (b"another restore" in said[0] + said[1] or b"not empty" in said[0] + said[1]), said)
    b.say(["check"], config=there.config)
    said = there.restore()
    c.ok("what would leave is held", "held" in said, said)
    b.say(["check"], config=there.config)
    c.ok("it is", '"state":"held"' in b.say(["queue", "list", "--json"], config=there.config).replace(" ", ""))
    c.ok("and not with --release-queue", "held" not in there.restore("--release-queue"))
    os.unlink(there.config)
    there.restore(want=1)  # into the folder that the config of the backup names
    with open(there.config) as file, open(b.server.config) as original:
        c.same("a lost config comes back", file.read(), original.read())
    b.server.start()


# ---- another machine: other users with other numbers, other names and paths ----

STRANGERS = {"user": "mail", "queue_user": "news", "auth_user": "uucp", "content_user": "games", "fetch_user": "list", "resolver_user": "irc"}


def other_machine(b):
    c = b.c
    if os.geteuid() != 0:
        return
    secret = c.file("route.password", "smart")
    os.chmod(secret, 0o640)
    shutil.chown(secret, "root", "news")
    with open(b.server.config) as file:
        was = file.read()
    with open(b.server.config, "w") as file:
        file.write(was + 'route "smart" {\n    recipient_domain = {"smart.example"}\n    hosts = {"127.0.0.1:1"}\n'
                         '    user = "me"\n    password_file = "%s"\n}\n' % secret)
    b.backup()
    kept = {user: contents_of(c, user) for user in USERS}
    os.unlink(secret)
    for folder in (c.folder, b.server.folder):
        os.chmod(folder, 0o755)

    def strange(text):
        for name, user in STRANGERS.items():
            text = re.sub(r'(?m)^%s = "[^"]*"' % name, '%s = "%s"' % (name, user), text)
        return re.sub(r'(?m)^hostname = "[^"]*"', 'hostname = "other.example"', text)

    there = Elsewhere(b, strange)
    said = there.restore()
    c.ok("what the config names comes back, and is said", "route.password is from the backup" in said, said)
    st = os.stat(secret)
    c.same("it belongs to whom it belonged, by name", (st.st_uid, st.st_gid, st.st_mode & 0o777), (0, grp.getgrnam("news").gr_gid, 0o640))
    for folder, user in (("mail", "mail"), ("queue", "news"), ("auth", "uucp")):
        owners = {os.stat(os.path.join(top, n)).st_uid for top, _, files in os.walk(os.path.join(c.folder, "other", folder)) for n in files + [""]}
        c.same("%s is its role's" % folder, owners, {pwd.getpwnam(user).pw_uid})
    with there:
        c.same("served by other users: all mail is there", {user: contents_of(c, user) for user in USERS}, kept)
        c.deliver(USERS[0], text_of(b.next()))
        for _ in range(100):  # its row follows the answer
            if len(contents_of(c, USERS[0])) > len(kept[USERS[0]]):
                break
            time.sleep(0.1)
        c.same("and new mail comes", len(contents_of(c, USERS[0])), len(kept[USERS[0]]) + 1)
        b.say(["check"], config=there.config)
    os.unlink(secret)
    with open(b.server.config, "w") as file:
        file.write(was)


def contents_of(c, user):
    return sorted(hashlib.sha256(m if isinstance(m, bytes) else m.encode()).hexdigest() for m in c.messages(user))


# ---- one that hangs ----

def hung(b):
    """A backup that is stopped keeps its lease for a while and no longer; when it goes on it fails, and harms nothing."""
    c = b.c
    b.server.stop()
    with open(b.server.config, "a") as file:
        file.write("admin {\n    backup_silence_seconds = 5\n}\n")
    b.server.start()
    for _ in range(10):
        good, there = lists(b)[-1], stored(b)
        c.deliver(USERS[0], text_of(b.next()))
        command = subprocess.Popen([b.server.program, "backup", "--config", b.server.config, b.folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while stored(b) <= there and command.poll() is None:
            pass
        command.send_signal(signal.SIGSTOP)
        if command.poll() is None and lists(b)[-1] == good:
            break
        command.send_signal(signal.SIGCONT)
        command.communicate(timeout=60)
    other, deadline = os.path.join(c.folder, "other-backups"), time.monotonic() + 60
    while time.monotonic() < deadline:
        status, said = c.command([b.server.program, "backup", "--config", b.server.config, other], seconds=60)
        if status == 0:
            break
        time.sleep(0.5)
    c.same("another one can be made after a while", status, 0)
    command.send_signal(signal.SIGCONT)
    said = command.communicate(timeout=60)[0]
    c.ok("it fails when it goes on", command.returncode == 1, said)
    c.same("the one before is good", (lists(b)[-1], b.verify()["problems"]), (good, 0))
    c.ok("and the next one is made", b.backup()["number"] > good and b.verify()["problems"] == 0)
