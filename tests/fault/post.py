"""A posthorn demo as a process to be killed, and the two protocols, plainly.

Clients here are small on purpose: what they sent and what was answered must be
known exactly, also when the connection dies between the two.
"""

import base64
import ctypes
import hashlib
import os
import random
import re
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import time

HOST = "127.0.0.1"
HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ.get("POSTHORN", os.path.join(HERE, "../../build/posthorn"))


def free_port_base():
    """One where the ports of a demo are free just now."""
    rng = random.SystemRandom()
    while True:
        base = rng.randrange(12000, 31000)
        try:
            for port in (24, 25, 143, 465, 587, 993):
                with socket.socket() as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind((HOST, base + port))
            return base
        except OSError:
            pass


class Lost(Exception):
    """The connection is gone: whatever was asked last may or may not have happened."""


class Refused(Exception):
    """The server said no: the text is its answer."""


def preload(library):
    """In front of everything, also of a sanitizer that wants to be first itself."""
    return {"LD_PRELOAD": os.path.abspath(library),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


# ---- the server ----


def adopt_orphans():
    """What a killed supervisor leaves becomes our child, so that its end can be waited for (Linux)."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


class Server:
    """One instance: its own folder, ports and process group."""

    def __init__(self, program, folder, base, accounts, log_path, env=None, options=()):
        self.program, self.folder, self.base, self.accounts = program, folder, base, accounts
        self.options = list(options)  # of the demo
        self.env = dict(os.environ, **(env or {}))
        self.power = None  # a PowerCut that watches this server
        self.log_path = log_path
        self.process = None
        adopt_orphans()

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "demo", "--dir", self.folder, "--port-base", str(self.base),
                 "--accounts", str(self.accounts), "--no-sandbox", *self.options],  # what is preloaded writes elsewhere
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=self.env if self.power is None else dict(self.env, **self.power.env), start_new_session=True)

    def wait_ready(self, seconds=60):
        """Until it says so; its other lines are dropped."""
        deadline = time.monotonic() + seconds
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\nready\n" not in b"\n" + text:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise AssertionError("the server is not ready after %d seconds" % seconds)
                more = os.read(self.process.stdout.fileno(), 65536)
                if not more:
                    raise AssertionError("the server ended while starting: status %s, see %s"
                                         % (self.process.wait(), self.log_path))
                text += more

    def start(self):
        self.spawn()
        self.wait_ready()

    def kill(self):
        """SIGKILL to all of it; returns when all of it is gone: how many writes went along with it."""
        group = self.process.pid
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.stdout.close()
        self.process.wait()
        try:
            while True:  # the roles are ours now, see adopt_orphans
                os.waitpid(-group, 0)
        except ChildProcessError:
            pass
        self.process = None
        return self.power.pull_the_plug() if self.power is not None else 0

    def stop(self):
        """As an administrator would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.stdout.close()
        status = self.process.wait(timeout=60)
        self.process = None
        return status

    def command(self, *words):
        """A posthorn command against this instance: (exit status, what it said)."""
        done = subprocess.run(
            [self.program, *words, "--config", os.path.join(self.folder, "posthorn.conf")],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env,
            timeout=300)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def reports(self):
        """What sanitizers and broken invariants have said in its log."""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return [line.strip() for line in log if REPORT.search(line)][:5]

    def smtp(self):
        return Smtp(self.base + 25)

    def submission(self, account):
        smtp = Smtp(self.base + 587)
        plain = "\0%s\0demo-u%d" % (address(account), account)
        smtp.ask("AUTH PLAIN " + base64.b64encode(plain.encode()).decode(), "235")
        return smtp

    def pop3(self, account):
        return Pop3(self.base + 110, address(account), "demo-u%d" % account)

    def imap(self, account):
        return Imap(self.base + 143, address(account), "demo-u%d" % account)


def address(account):
    return "u%d@example.test" % account


REPORT = re.compile(r"Sanitizer|runtime error:|role\.died|^\S+\.c:\d+: ")


class PowerCut:
    """What libpower.so notes, and putting files back as they were when they were last synced."""

    RECORD = struct.Struct("=QQQ")

    def __init__(self, library, data, notes):
        self.notes = notes
        self.env = dict(preload(library), FAULT_DIR=data, POWER_LOG=notes)
        self.forget()

    def forget(self):
        shutil.rmtree(self.notes, ignore_errors=True)
        os.mkdir(self.notes)

    def pull_the_plug(self):
        """Of a server that was killed.  How many writes were taken back."""
        count = 0
        for name in os.listdir(self.notes):
            inode, kind = name.split(".")
            if kind == "undo":
                count += self.undo(int(inode))
        for name in os.listdir(self.notes):
            if name.endswith(".made"):
                with open(os.path.join(self.notes, name), encoding="utf-8") as made:
                    for path in made.read().splitlines():
                        count += self.unmake(path)
        self.forget()
        return count

    @staticmethod
    def unmake(path):
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)
        else:
            return 0
        return 1

    def undo(self, inode):
        try:
            with open(os.path.join(self.notes, "%d.path" % inode), encoding="utf-8") as f:
                path = f.read()
            if os.stat(path).st_ino != inode:
                path = self.renamed(path, inode)
        except FileNotFoundError:
            path = self.renamed(path, inode)
        if path is None:
            return 0
        with open(os.path.join(self.notes, "%d.undo" % inode), "rb") as f:
            text = f.read()
        records, at = [], 0
        while at + self.RECORD.size <= len(text):
            offset, size, length = self.RECORD.unpack_from(text, at)
            at += self.RECORD.size
            if at + length > len(text):
                break  # killed while noting it: it was not written
            records.append((offset, size, text[at:at + length]))
            at += length
        with open(path, "r+b") as f:
            for offset, size, old in reversed(records):
                os.pwrite(f.fileno(), old, offset)
                os.ftruncate(f.fileno(), size)
        return len(records)

    @staticmethod
    def renamed(path, inode):
        """The same file under its new name in the same folder, if it is there."""
        folder = os.path.dirname(path)
        if os.path.isdir(folder):
            for entry in os.scandir(folder):
                if entry.inode() == inode:
                    return entry.path
        return None


# ---- messages ----


def make_message(name, size):
    """A message that carries its own name and proves itself: lines of text that follow from the name."""
    lines, at = [], 0
    while size > 0:
        text = hashlib.sha256(("%s/%d" % (name, at)).encode()).hexdigest()
        lines.append(text)
        size -= len(text) + 2
        at += 1
    body = "\r\n".join(lines) + "\r\n"
    return ("Message-ID: <%s@fault.test>\r\nFrom: fault@example.net\r\nSubject: %s\r\n"
            "X-Lines: %d\r\n\r\n%s" % (name, name, len(lines), body)).encode()


NAME = re.compile(rb"^Message-ID: <([^@>]+)@fault\.test>\r\n", re.M)
LINES = re.compile(rb"^X-Lines: (\d+)\r\n", re.M)


def read_message(raw):
    """The name of a message as fetched, headers in front allowed; None if it is not whole."""
    name, lines = NAME.search(raw), LINES.search(raw)
    if name is None or lines is None:
        return None
    text = name.group(1).decode()
    whole = make_message(text, 1)
    head, _, _ = whole.partition(b"\r\n\r\n")
    head = re.sub(rb"X-Lines: \d+", b"X-Lines: " + lines.group(1), head)
    body = b"".join(hashlib.sha256(b"%s/%d" % (name.group(1), i)).hexdigest().encode() + b"\r\n"
                    for i in range(int(lines.group(1))))
    return text if raw.endswith(head + b"\r\n\r\n" + body) else None


# ---- connections ----


class Dismissed(Exception):
    """421: the server ends the session in order.  What was asked in the same breath did not happen."""


class Wire:
    def __init__(self, port, seconds=30):
        try:
            self.socket = socket.create_connection((HOST, port), timeout=seconds)
        except OSError as why:
            raise Lost(str(why)) from why
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            while True:  # it may have said why
                self.line()

    def fill(self):
        try:
            more = self.socket.recv(1 << 18)
        except OSError as why:
            raise Lost(str(why)) from why
        if not more:
            raise Lost("closed")
        self.buffer += more

    def line(self):
        while True:
            end = self.buffer.find(b"\r\n")
            if end >= 0:
                text = bytes(self.buffer[:end])
                del self.buffer[:end + 2]
                if text.startswith(b"421 "):
                    raise Dismissed(text.decode("utf-8", "replace"))
                return text
            self.fill()

    def exactly(self, n):
        while len(self.buffer) < n:
            self.fill()
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data


class Smtp:
    def __init__(self, port):
        self.wire = Wire(port)
        self.reply("220")
        self.ask("EHLO fault.test", "250")

    def close(self):
        self.wire.close()

    def reply(self, want):
        text = self.wire.line()
        while text[3:4] == b"-":
            text = self.wire.line()
        if not text.startswith(want.encode()):
            raise Refused(text.decode("utf-8", "replace"))
        return text

    def ask(self, text, want):
        self.wire.send(text.encode() + b"\r\n")
        return self.reply(want)

    def send(self, recipients, message, sender="fault@example.net"):
        """
        Returns only if the message was acknowledged: {recipient: answer} of those who were refused.
        """
        self.wire.send(("MAIL FROM:<%s>\r\n" % sender
                        + "".join("RCPT TO:<%s>\r\n" % r for r in recipients) + "DATA\r\n").encode())
        answers = [self.wire.line().decode("utf-8", "replace") for _ in range(len(recipients) + 2)]
        if not answers[-1].startswith("354"):
            self.ask("RSET", "250")
            raise Refused(next(a for a in answers if not a.startswith("2")))
        if not answers[0].startswith("250"):
            raise AssertionError("DATA goes on after " + answers[0])
        self.wire.send(message.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        self.reply("250")
        return {r: a for r, a in zip(recipients, answers[1:-1]) if not a.startswith("250")}


class Pop3:
    def __init__(self, port, user, password):
        self.wire = Wire(port)
        self.reply()
        self.ask("USER " + user)
        self.ask("PASS " + password)

    def close(self):
        self.wire.close()

    def reply(self):
        text = self.wire.line().decode("utf-8", "replace")
        if not text.startswith("+OK"):
            raise Refused(text)
        return text

    def ask(self, text):
        self.wire.send(text.encode() + b"\r\n")
        return self.reply()

    def lines(self, text):
        """What follows the answer, up to the dot."""
        self.ask(text)
        lines = []
        while (line := self.wire.line()) != b".":
            lines.append(line)
        return lines


LITERAL = re.compile(rb"\{(\d+)\}$")


class Imap:
    """Responses are lists: text, literal, text, literal, ..., text."""

    def __init__(self, port, user, password):
        self.wire = Wire(port)
        self.count = 0
        self.wire.line()
        self.ask('LOGIN "%s" "%s"' % (user, password))

    def close(self):
        self.wire.close()

    def response(self):
        parts = [self.wire.line()]
        while (literal := LITERAL.search(parts[-1])) is not None:
            parts.append(self.wire.exactly(int(literal.group(1))))
            parts.append(self.wire.line())
        return parts

    def finish(self, tag):
        """Everything up to the tagged answer: (its text, the untagged ones)."""
        untagged = []
        while True:
            parts = self.response()
            if parts[0].startswith(tag):
                text = parts[0][len(tag):]
                if not text.startswith(b"OK"):
                    raise Refused(text.decode("utf-8", "replace"))
                return text.decode("utf-8", "replace"), untagged
            if parts[0].startswith(b"* BYE"):
                raise Lost(parts[0].decode("utf-8", "replace"))
            untagged.append(parts)

    def begin(self, text):
        self.count += 1
        tag = b"a%d " % self.count
        self.wire.send(tag + text)
        return tag

    def ask(self, text):
        return self.finish(self.begin(text.encode() + b"\r\n"))

    def append(self, mailbox, flags, message):
        """The UID it was given."""
        tag = self.begin(b"APPEND %s (%s) {%d+}\r\n%s\r\n" % (mailbox.encode(), flags.encode(), len(message), message))
        text, _ = self.finish(tag)
        found = re.search(r"\[APPENDUID (\d+) (\d+)\]", text)
        if found is None:
            raise AssertionError("APPEND says no UID: " + text)
        return int(found.group(2))


STATUS_NUMBER = {
    "uidvalidity": re.compile(rb"\[UIDVALIDITY (\d+)\]"),
    "uidnext": re.compile(rb"\[UIDNEXT (\d+)\]"),
    "modseq": re.compile(rb"\[HIGHESTMODSEQ (\d+)\]"),
    "exists": re.compile(rb"^\* (\d+) EXISTS"),
}


def select(imap, mailbox, how="SELECT"):
    """What the mailbox says of itself, by the names of STATUS_NUMBER."""
    text, untagged = imap.ask('%s "%s" (CONDSTORE)' % (how, mailbox))
    lines = [b"".join(p) for p in untagged] + [text.encode()]
    numbers = {}
    for name, pattern in STATUS_NUMBER.items():
        for line in lines:
            if (found := pattern.search(line)) is not None:
                numbers[name] = int(found.group(1))
    missing = STATUS_NUMBER.keys() - numbers.keys()
    if missing:
        raise AssertionError("%s %s does not say %s" % (how, mailbox, ", ".join(sorted(missing))))
    return numbers


def fetch(imap, uids, bodies):
    """{uid: (modseq, flags, raw message or None)}"""
    _, untagged = imap.ask("UID FETCH %s (UID FLAGS MODSEQ%s)" % (uids, " BODY.PEEK[]" if bodies else ""))
    found = {}
    for parts in untagged:
        text = b"".join(parts[0::2])
        if b" FETCH (" not in text:
            continue
        uid = re.search(rb"[( ]UID (\d+)", text)
        modseq = re.search(rb"MODSEQ \((\d+)\)", text)
        flags = re.search(rb"FLAGS \(([^)]*)\)", text)
        if uid is None or modseq is None or flags is None:
            continue
        words = frozenset(flags.group(1).decode().split()) - {"\\Recent"}
        found[int(uid.group(1))] = (int(modseq.group(1)), words, parts[1] if len(parts) > 1 else None)
    return found


def remove_folder(path):
    shutil.rmtree(path, ignore_errors=True)
