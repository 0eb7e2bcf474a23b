"""posthorn sendmail as programs use it: cron, PHP, mutt and scripts; other users; the server stopped."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess

from demo import Demo


def run(c):
    link = os.path.join(c.folder, "sendmail")
    os.symlink(os.path.abspath(c.server.program), link)
    with Stopping(c.server.program) as server:
        s = Sender(c, link, server)
        cron(s)
        forms(s)
        bad(s)
        refused(s)
        trace(s)
        smtp(s)
        mutt(s)
        forged(s)
        other_user(s)
        stopped(s)
    c.ok("nothing is left in the maildrop", s.left_over == [], s.left_over)


class Stopping(Demo):
    """A demo of our own that can be stopped and started again."""

    def __init__(self, program):
        super().__init__(program, None)

    def __enter__(self):
        super().__enter__()
        os.chmod(self.folder, 0o755)
        self.data = os.path.join(self.folder, "data")
        self.config = os.path.join(self.data, "posthorn.conf")
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)

    def start(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, open(self.log_path, "ab") as log:
            path = os.path.join(self.folder, "notify")
            if os.path.exists(path):
                os.unlink(path)
            told.bind(path)
            told.settimeout(120)
            self.process = subprocess.Popen([self.program, "serve", "--config", self.config], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=dict(os.environ, NOTIFY_SOCKET=path))
            while b"READY=1" not in told.recv(4096):
                pass


def becoming(user):
    entry = pwd.getpwnam(user)
    return ["setpriv", "--reuid=%d" % entry.pw_uid, "--regid=%d" % entry.pw_gid, "--clear-groups"]


class Sender:
    def __init__(self, c, link, server):
        self.c, self.link, self.server, self.left_over = c, link, server, None
        self.base, c.base = c.base, server.base
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.me = self.user + "@example.test"
        self.to = "u0@example.test"

    def send(self, name, words, text, want=0, as_user=None):
        env = {"POSTHORN_CONFIG": self.server.config, "NAME": "Ann Example"}
        line = [self.link, *words]
        if as_user is not None:
            line = [*becoming(as_user), *line]
        status, said = self.c.command(line, stdin=text.encode(), env=env)
        self.c.ok(name, status == want, "status %d, wanted %d: %r" % (status, want, said))
        return said.decode(errors="replace")

    def arrives(self, name, user, count=1):
        """Text of the messages, without what changes."""
        got = self.c.messages(user, count=count, empty=True)
        self.c.same(name, len(got), count)
        return [m.decode().replace("\r\n", "\n") for m in got] or [""]

    def left(self):
        return os.listdir(os.path.join(self.server.data, "maildrop"))


def cron(s):
    text = "From: root (Cron Daemon)\nTo: u0\nBcc: u1@example.test\nSubject: Cron <root@host> true\n\noutput\n.\nmore\n"
    s.send("cron: -t -i", ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "-t"], text)
    [got] = s.arrives("cron: arrives", s.to)
    s.c.ok("cron: a dot alone ends nothing", got.endswith("\n\noutput\n.\nmore\n"), got)
    s.c.ok("cron: Date and Message-ID are added", re.search(r"^Date: ", got, re.M) and re.search(r"^Message-ID: <\S+@", got, re.M), got)
    s.c.ok("cron: names without a domain get it", '\nFrom: "Cron Daemon" <root@example.test>\nTo: <u0@example.test>\n' in got, got)
    s.c.ok("cron: Return-Path", got.startswith("Return-Path: <%s>\n" % s.me), got)
    s.c.ok("cron: Bcc is taken out", "Bcc" not in got, got)
    [got] = s.arrives("cron: Bcc gets it too", "u1@example.test")
    s.c.ok("cron: ... without the field", "Bcc" not in got, got)


def forms(s):
    s.send("no header", ["-f", "u1@example.test", "u0"], "just text\nTo: not a header\n.\nnot sent\n")
    [got] = s.arrives("no header: arrives", s.to)
    s.c.ok("no header: From from -f and the full name", '\nFrom: "Ann Example" <u1@example.test>\n' in got, got)
    s.c.ok("no header: all is text, up to the dot", got.endswith("\n\njust text\nTo: not a header\n"), got)
    s.send("-F", ["-F", "J\u00f6rg", "--", "u0"], "Subject: x\n\nx\n")
    s.c.ok("-F: encoded", "\nFrom: =?utf-8?B?SsO2cmc=?= <" + s.me + ">\n" in s.arrives("-F: arrives", s.to)[0])
    s.send("CRLF, bare CR, NUL", ["-i", "u0"], "Subject: x\r\n\r\na\r\nb\rc\0d\n")
    s.c.ok("CRLF, bare CR, NUL: lines", s.arrives("CRLF: arrives", s.to)[0].endswith("\n\na\nb\ncd\n"))
    s.send("mbox's From line", ["u0"], "From ann Thu Jan  1 00:00:00 1970\nSubject: y\n\nz\n")
    s.c.ok("mbox's From line goes", "From ann" not in s.arrives("From line: arrives", s.to)[0])
    s.send("a list of recipients", ["Ann <u0@example.test>, u1@example.test", "<u2@example.test>"], "Subject: l\n\nz\n")
    for n in range(3):
        s.arrives("a list of recipients: u%d" % n, "u%d@example.test" % n)
    s.send("-t with Resent fields", ["-t"], "To: u1@example.test\nResent-To: u0@example.test\nSubject: r\n\nz\n")
    s.arrives("-t with Resent fields: only there", s.to)
    s.arrives("-t with Resent fields: not there", "u1@example.test", 0)
    s.send("null sender", ["-f", "<>", "u0"], "Subject: n\n\nz\n")
    s.c.ok("null sender: Return-Path", s.arrives("null sender: arrives", s.to)[0].startswith("Return-Path: <>\n"))
    s.send("options without meaning", ["-v", "-m", "-U", "-oQ/x", "-O", "DeliveryMode=b", "-L", "tag", "-h", "3", "u0"], "Subject: o\n\nz\n")
    s.arrives("options without meaning: arrives", s.to)
    s.send("-bi, newaliases", ["-bi"], "")


def bad(s):
    s.c.ok("no recipients: said", "no recipients" in s.send("no recipients: EX_USAGE", [], "x\n", want=64))
    s.send("-t without recipients: EX_DATAERR", ["-t"], "Subject: x\n\nx\n", want=65)
    s.send("-N wrong: EX_USAGE", ["-N", "never,success", "u0"], "x\n", want=64)
    s.send("-R wrong: EX_USAGE", ["-R", "half", "u0"], "x\n", want=64)
    s.send("-bd: EX_USAGE", ["-bd"], "", want=64)
    s.send("no such option: EX_USAGE", ["-Z", "u0"], "x\n", want=64)
    s.send("too large: EX_UNAVAILABLE", ["u0"], "Subject: x\n\n" + "0123456789abcdef\n" * (3600 * 1024), want=69)


def refused(s):
    s.send("an unknown recipient is accepted", ["-f", "u1@example.test", "-V", "id1", "nosuch@example.test", "u0"], "Subject: gone\n\nz\n")
    s.arrives("the other recipient has it", s.to)
    [got] = s.arrives("the sender is told", "u1@example.test")
    for words in ("Return-Path: <>\n", "Subject: Not delivered: gone\n", "There is no mailbox of that name.",
                  "Final-Recipient: rfc822; nosuch@example.test\n", "Action: failed\nStatus: 5.1.1\n", "Original-Envelope-Id: id1\n"):
        s.c.ok("the sender is told: " + words.split("\n")[0], words in got, got)
    s.send("-N never", ["-f", "u1@example.test", "-N", "never", "nosuch@example.test"], "Subject: gone\n\nz\n")
    s.send("-N never: marker", ["u1@example.test"], "Subject: marker\n\nz\n")
    s.c.ok("-N never: nobody is told", "Subject: marker" in s.arrives("-N never: one message", "u1@example.test")[0])


def trace(s):
    def told(*words, want=0):
        status, said = s.c.command([s.server.program, "trace", *words], env={"POSTHORN_CONFIG": s.server.config})
        s.c.ok("trace %s: status" % words[-1], status == want, said)
        return said.decode()

    ident = "<way=of.a.message@x.example>"
    s.send("trace: a message", ["-f", "u1@example.test", "u0", "nosuch@example.test"], "Message-ID: %s\nSubject: way\n\nz\n" % ident)
    s.arrives("trace: arrives", s.to)
    s.arrives("trace: the sender is told", "u1@example.test")
    said = told(ident)
    s.c.ok("trace: accepted", "accepted from user %s" % s.user in said and "Message-ID " + ident in said, said)
    s.c.ok("trace: placed", re.search(r"placed for <u0@example.test> in INBOX, UID \d+", said), said)
    s.c.ok("trace: refused", "refused for <nosuch@example.test>" in said, said)
    s.c.ok("trace: the notification", "<u1@example.test> is told" in said and "placed for <u1@example.test>" in said, said)
    ids = set(re.findall(r"^\S+Z  (\S+) ", said, re.M))
    s.c.ok("trace: one trace", len(ids) == 1, ids)
    s.c.same("trace: by its trace id", told(ids.pop()), said)
    s.c.ok("trace: JSON", '"event": "deliver.placed"' in told("--json", ident))
    told("<nothing@x.example>", want=1)


def smtp(s):
    said = s.send("-bs", ["-bs"], "EHLO x\r\nMAIL FROM:<u1@example.test> SIZE=100\r\nRCPT TO:<u0@example.test>\r\n"
                  "RCPT TO:nonsense\r\nDATA\r\nSubject: bs\r\n\r\n..a dot\r\n.\r\nDATA\r\nQUIT\r\n")
    s.c.same("-bs: answers", re.findall(r"^(\d\d\d) ", said, re.M), ["220", "250", "250", "250", "553", "354", "250", "503", "221"])
    s.c.ok("-bs: arrives", s.arrives("-bs: arrives", s.to)[0].endswith("\n\n.a dot\n"))


def mutt(s):
    if not s.c.has("mutt"):
        return
    rc = s.c.file("muttrc", "set sendmail = \"%s -oem -oi\"\nset from = u1@example.test\nset use_envelope_from = yes\nset copy = no\n" % s.link)
    status, said = s.c.command(["mutt", "-F", rc, "-s", "from mutt", "u0@example.test"], stdin=b"hello\n",
                               env={"POSTHORN_CONFIG": s.server.config})
    s.c.ok("mutt sends", status == 0, said)
    [got] = s.arrives("mutt: arrives", s.to)
    s.c.ok("mutt: as it wrote it", "Subject: from mutt" in got and got.startswith("Return-Path: <u1@example.test>"), got)


def forged(s):
    """Files that posthorn sendmail would not write: whoever may write there may write anything."""
    def drop(name, options, text, to=b"u0@example.test "):
        path = os.path.join(s.server.data, "maildrop", name)
        with open(path, "wb") as f:
            f.write(b"posthorn-drop 1\nsender u1@example.test\noptions %s\nto %s\n\n%s" % (options, to, text))
            os.fchmod(f.fileno(), 0o740)

    drop("times", b"HOLD=9223372036854775807", b"Subject: held for ever\r\n\r\nx\r\n")
    drop("by", b"BY=-9223372036854775807;N", b"Subject: long ago\r\n\r\nx\r\n")
    drop("nul", b"", b"Subject: n\r\nX-A: a\0b\r\n\r\nx\r\n")
    [got] = s.arrives("a NUL in a header: its sender is told", "u1@example.test")
    s.c.ok("a NUL in a header: it does not come back", "5.6.0" in got and "\0" not in got and "X-A" not in got, got)
    drop("lf", b"", b"Subject: n\r\n\r\nx\n.\nMAIL FROM:<>\n")
    [got] = s.arrives("lines that end in LF: its sender is told", "u1@example.test")
    s.c.ok("lines that end in LF: they do not come back", "5.6.0" in got and "MAIL FROM" not in got, got)
    drop("orcpt", b"", b"Subject: o\r\n\r\nx\r\n", b"nosuch@example.test ORCPT=x+0D+0AAction:+20delivered+0D+0A;a@b")
    [got] = s.arrives("an ORCPT with lines: its sender is told", "u1@example.test")
    s.c.ok("an ORCPT with lines: it has no lines there", "\nAction: failed\n" in got and "\nAction: delivered" not in got, got)
    s.send("and the next as usual", ["u0"], "Subject: now\n\nz\n")
    s.arrives("what is held for ever is not held", s.to)


def other_user(s):
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        print("skipped  another user: needs root")
        return
    where = os.path.join(os.path.dirname(s.server.data), "sendmail")  # where that user may go
    shutil.copy(s.server.program, where)
    os.chmod(where, 0o755)
    s.link = where
    s.send("another user", ["u0"], "Subject: other\n\nz\n", as_user="nobody")
    s.c.ok("another user: the sender is that one", s.arrives("another user: arrives", s.to)[0].startswith("Return-Path: <nobody@example.test>\n"))
    s.send("another user may not choose", ["-f", "u1@example.test", "u0"], "Subject: forged\n\nz\n", as_user="nobody")
    got = s.arrives("the postmaster is told", s.to)[0]
    s.c.ok("the postmaster is told: why", "user nobody may not send as u1@example.test" in got.replace("\n ", ""), got)
    status, said = s.c.command([*becoming("nobody"), "ls", os.path.join(s.server.data, "maildrop")])
    s.c.ok("another user cannot list the maildrop", status != 0, said)


def stopped(s):
    s.server.stop()
    s.send("the server is stopped", ["u0"], "Subject: later\n\nkept\n")
    s.c.same("the server is stopped: one file", len(s.left()), 1)
    drop = os.path.join(s.server.data, "maildrop")
    os.symlink("/etc/passwd", os.path.join(drop, "link"))
    with open(os.path.join(drop, "garbage"), "wb") as f:
        f.write(b"posthorn-drop 1\nto\n\n")
    os.chmod(os.path.join(drop, "garbage"), 0o740)
    with open(os.path.join(drop, "unfinished"), "wb") as f:
        f.write(b"posthorn-drop 1\noptions \nto u0 \n\nSubject: half\r\n")
    s.server.start()
    [got] = s.arrives("it arrives after the start", s.to)
    s.c.ok("it arrives whole", got.endswith("\n\nkept\n"), got)
    s.send("and the next as usual", ["u0"], "Subject: now\n\nz\n")
    s.arrives("the next arrives", s.to)
    s.left_over = sorted(set(s.left()) - {"unfinished", "link"})
    s.c.base = s.base
