"""A demo to drive, checks that count, and what all themes need."""

import imaplib
import os
import random
import selectors
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
import traceback

HOST = "127.0.0.1"
DOMAIN = "example.test"
ACCOUNTS = 105
PORTS = {"smtp": 25, "lmtp": 24, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995}

imaplib._MAXLINE = 10_000_000  # a SEARCH may answer with many numbers


class Checks:
    """One line for each check."""

    def __init__(self):
        self.theme, self.passed, self.failed = "", 0, 0

    def ok(self, name, good, detail=""):
        if good:
            self.passed += 1
            print("ok      %s: %s" % (self.theme, name), flush=True)
        else:
            self.failed += 1
            print("FAILED  %s: %s%s" % (self.theme, name, ": %s" % (detail,) if detail != "" else ""), flush=True)
        return bool(good)

    def same(self, name, got, want):
        return self.ok(name, got == want, "got %.600r, want %.600r" % (got, want))

    def broke_off(self, error):
        traceback.print_exc()
        self.ok("runs to its end", False, repr(error))


def is_free(base):
    for offset in PORTS.values():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, base + offset))
            except OSError:
                return False
    return True


class Demo:
    """Started for us in a folder of its own, or one that runs already."""

    def __init__(self, program, base):
        self.program, self.base, self.process = program, base, None

    def __enter__(self):
        if self.base is not None:
            return self
        self.base = next(b for b in iter(lambda: random.randrange(10000, 31000, 10), None) if is_free(b))
        self.folder = tempfile.mkdtemp(prefix="posthorn-client-")
        self.log_path = os.path.join(self.folder, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [self.program, "demo", "--dir", os.path.join(self.folder, "data"), "--port-base", str(self.base),
                 "--accounts", str(ACCOUNTS)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        self.wait_until_ready(120)
        return self

    def wait_until_ready(self, seconds):
        said, deadline = b"", time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\nready\n" not in b"\n" + said:
                if not selector.select(max(0, deadline - time.monotonic())):
                    raise SystemExit("the demo is not ready after %d s; it said %r" % (seconds, said))
                more = os.read(self.process.stdout.fileno(), 65536)
                if not more:
                    raise SystemExit("the demo ended while starting; its log:\n" + self.log())
                said += more

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def runs(self):
        return self.process is None or self.process.poll() is None

    def __exit__(self, *_):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "killed: it did not stop"
        if status != 0 or "Sanitizer" in self.log():
            print("the demo's end: %s; its log:\n%s" % (status, self.log()[-8000:]))
        shutil.rmtree(self.folder, ignore_errors=True)


class Configured(Demo):
    """A demo's data under a config that says something else in the section `section`."""

    def __init__(self, program, section, settings):
        super().__init__(program, None)
        self.section, self.settings = section, settings

    def __enter__(self):
        super().__enter__()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)
        config = os.path.join(self.folder, "data", "posthorn.conf")
        with open(config) as file:
            text = file.read()
        with open(config, "w") as file:
            file.write(self.edit(text))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, open(self.log_path, "ab") as log:
            told.bind(os.path.join(self.folder, "notify"))
            told.settimeout(120)
            self.process = subprocess.Popen([self.program, "serve", "--config", config], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=dict(os.environ, NOTIFY_SOCKET=told.getsockname()))
            while b"READY=1" not in told.recv(4096):
                pass
        return self

    def edit(self, text):
        head = "\n%s {\n" % self.section
        return text.replace(head, head + self.settings) if head in text else "%s\n%s%s}\n" % (text, head, self.settings)


class Client:
    """What a theme is given: the server, its accounts, a folder, checks."""

    def __init__(self, server, checks, accounts, seed):
        self.host, self.base, self.server, self.checks = HOST, server.base, server, checks
        self.users = ["u%d@%s" % (n, DOMAIN) for n in accounts]
        self.folder = tempfile.mkdtemp(prefix="posthorn-theme-")
        self.random = random.Random(seed)
        self.ok, self.same = checks.ok, checks.same

    def finish(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def port(self, protocol):
        return self.base + PORTS[protocol]

    def password(self, user):
        return "demo-" + user.split("@")[0]

    # ---- programs ----

    def has(self, program):
        return self.ok(program + " is installed", shutil.which(program) is not None)

    def command(self, words, stdin=b"", env=None, seconds=60):
        """Exit status and all that it said."""
        try:
            done = subprocess.run([str(w) for w in words], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env=dict(os.environ, HOME=self.folder, **(env or {})), timeout=seconds)
        except subprocess.TimeoutExpired as late:
            return 124, (late.stdout or b"") + b"\n(took too long)"
        return done.returncode, done.stdout

    def file(self, name, content, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as out:
            out.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(path, mode)
        return path

    # ---- protocols ----

    def tls(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def smtp(self, protocol="smtp"):
        if protocol == "lmtp":
            return smtplib.LMTP(self.host, self.port("lmtp"))
        if protocol == "submissions":
            return smtplib.SMTP_SSL(self.host, self.port(protocol), context=self.tls(), timeout=60)
        return smtplib.SMTP(self.host, self.port(protocol), timeout=60)

    def imap(self, user, mailbox=None, tls=False):
        m = imaplib.IMAP4_SSL(self.host, self.port("imaps"), ssl_context=self.tls(), timeout=60) if tls else \
            imaplib.IMAP4(self.host, self.port("imap"), timeout=60)
        m.login(user, self.password(user))
        if mailbox is not None:
            m.select(mailbox)
        return m

    def deliver(self, user, message, sender="sender@elsewhere.example"):
        with self.smtp() as s:
            s.sendmail(sender, [user], message)

    def wait_for(self, m, count, seconds=60):
        """Until the selected mailbox has that many messages: what was answered 250 gets there, if not at once."""
        deadline = time.monotonic() + seconds
        while int(m.untagged_responses["EXISTS"][-1]) < count and time.monotonic() < deadline:
            time.sleep(0.01)
            m.noop()

    def messages(self, user, mailbox="INBOX", what="BODY.PEEK[]", count=0, empty=False):
        """All of a mailbox, in order, as bytes; once there are at least `count`."""
        m = self.imap(user)
        m.select(mailbox, readonly=not empty)
        self.wait_for(m, count)
        _, data = m.fetch("1:*", "(%s)" % what) if m.untagged_responses["EXISTS"][-1] != b"0" else ("OK", [])
        found = [part[1] for part in data if isinstance(part, tuple)]
        if empty and found:
            m.store("1:*", "+FLAGS.SILENT", r"\Deleted")
            m.expunge()
        m.logout()
        return found


def message(subject, text="Hello.", **fields):
    head = {"From": "Sender <sender@elsewhere.example>", "To": "someone@" + DOMAIN, "Subject": subject,
            "Message-ID": "<%s@elsewhere.example>" % subject.encode().hex(), "Date": "Mon, 02 Nov 2026 10:00:00 +0000"}
    head.update({name.replace("_", "-"): value for name, value in fields.items()})
    return ("".join("%s: %s\r\n" % field for field in head.items()) + "\r\n" + text + "\r\n").encode()
