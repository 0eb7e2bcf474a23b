"""Milters, rspamd and DNS lists that are ours, so that each can misbehave."""

import http.server
import json
import os
import smtplib
import socket
import struct
import sys
import threading
import time

import demo

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import dns  # noqa: E402

USER = "u0@" + demo.DOMAIN
OTHER = "u1@" + demo.DOMAIN


class Milter:
    """Speaks the milter protocol; `answers` says what to each command, `changes` comes at the end of the message."""

    def __init__(self, actions=0x1ff, protocol=0, version=6, symbols=b""):
        self.options = struct.pack("!III", version, actions, protocol) + symbols
        self.protocol, self.answers, self.changes, self.told = protocol, {}, [], []
        self.silent = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def take(self, connection, count):
        data = b""
        while len(data) < count:
            more = connection.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def send(self, connection, packet):
        connection.sendall(struct.pack("!I", len(packet)) + packet)

    def serve(self, connection):
        no_reply = {"L": 0x80, "C": 0x1000, "H": 0x2000, "M": 0x4000, "R": 0x8000, "T": 0x10000, "U": 0x20000, "N": 0x40000,
                    "B": 0x80000}
        try:
            while True:
                length, = struct.unpack("!I", self.take(connection, 4))
                packet = self.take(connection, length)
                command, data = chr(packet[0]), packet[1:]
                self.told.append((command, data))
                if command in self.silent:
                    continue
                if command == "O":
                    self.send(connection, b"O" + self.options)
                elif command == "Q":
                    connection.close()
                    return
                elif command == "E":
                    for change in self.changes:
                        self.send(connection, change)
                    self.send(connection, self.answers.get("E", b"c"))
                elif command not in "DA" and not self.protocol & no_reply.get(command, 0):
                    self.send(connection, self.answers.get(command, b"c"))
        except (EOFError, OSError):
            connection.close()

    def wait_for(self, command, seconds=20):
        """The last words come when the session is over, which may be after its answer."""
        deadline = time.monotonic() + seconds
        while command not in self.commands() and time.monotonic() < deadline:
            time.sleep(0.01)

    def commands(self):
        return "".join(command for command, _ in self.told)

    def data_of(self, command):
        return [data for c, data in self.told if c == command]

    def forget(self):
        self.told, self.answers, self.changes, self.silent = [], {}, [], set()


class Rspamd(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), RspamdRequest)
        self.answer, self.status, self.asked = {"action": "no action", "score": 0, "required_score": 15}, 200, []
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


class RspamdRequest(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers, body))
        said = self.server.answer if isinstance(self.server.answer, bytes) else json.dumps(self.server.answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


def at(server):
    """A session, and the last word on a message given to it."""
    return smtplib.SMTP(demo.HOST, server.base + 25, timeout=30)


def give(server, message, sender="ann@elsewhere.example", to=(USER,)):
    """Code and text of what ends it."""
    with at(server) as s:
        s.ehlo("client.elsewhere.example")
        for step in [lambda: s.mail(sender), *[lambda r=r: s.rcpt(r) for r in to], lambda: s.data(message)]:
            try:
                code, text = step()
            except smtplib.SMTPDataError as refused:
                return refused.smtp_code, refused.smtp_error
            if code >= 400:
                s.rset()
                return code, text
    return code, text


def mailbox(server, c, user, name="INBOX"):
    inside = demo.Client(server, c.checks, [int(user[1:user.index("@")])], 0)
    try:
        return inside.messages(user, mailbox=name, empty=True)
    finally:
        inside.finish()


def arrived(server, c, user=USER, name="INBOX"):
    """The one message that has come; the mailbox is emptied."""
    inside = demo.Client(server, c.checks, [0], 0)
    try:
        found = inside.messages(user, mailbox=name, count=1, empty=True)
    finally:
        inside.finish()
    return found[-1] if found else b""


MESSAGE = demo.message("hello", X_Old="1")


def run(c):
    milters(c)
    rspamd(c)
    lists(c)
    over_lmtp(c)


# ---- milters ----


def milters(c):
    first, second = Milter(), Milter(protocol=0x100000)
    settings = '}\nmilter "first" {\n socket = "inet:%d@127.0.0.1"\n command_seconds = 2\n content_seconds = 2\n}\n' \
               'milter "second" {\n socket = "inet:%d@localhost"\n unavailable = accept\n command_seconds = 2\n' % (first.port, second.port)
    with demo.Configured(c.server.program, "policy", settings) as server:
        milter_commands(c, server, first)
        milter_refusals(c, server, first)
        milter_changes(c, server, first, second)
        milter_failures(c, server, first, second)


def milter_commands(c, server, m):
    c.same("milter: accepted", give(server, MESSAGE)[0], 250)
    m.wait_for("Q")
    commands = m.commands()
    c.ok("milter: all commands in their order", commands.replace("D", "").startswith("OCHMRT") and "N" in commands and "BDE" in commands
         and commands.endswith("Q"), commands)
    c.same("milter: connect", m.data_of("C")[0].split(b"\0")[0], b"[127.0.0.1]")
    c.same("milter: helo", m.data_of("H")[0], b"client.elsewhere.example\0")
    c.same("milter: mail", m.data_of("M")[0].split(b"\0")[0], b"<ann@elsewhere.example>")
    c.same("milter: rcpt", m.data_of("R")[0], b"<" + USER.encode() + b">\0")
    headers = [data.split(b"\0")[0] for data in m.data_of("L")]
    c.same("milter: the fields of the message, ours not among them", headers, [b"From", b"To", b"Subject", b"Message-ID", b"Date", b"X-Old"])
    c.same("milter: the body", b"".join(m.data_of("B")), b"Hello.\r\n")
    c.ok("milter: macros", any(data.startswith(b"Mi\0") for data in m.data_of("D")), m.data_of("D"))
    c.ok("milter: unchanged", b"X-Old: 1" in arrived(server, c))
    m.forget()
    with at(server) as s:
        s.ehlo("x.example")
        s.mail("a@elsewhere.example")
        s.rset()
        s.docmd("FROBNICATE now")
    m.wait_for("Q")
    c.ok("milter: abort and unknown", "A" in m.commands() and m.data_of("U") == [b"FROBNICATE now\0"], m.told)
    m.forget()


def milter_refusals(c, server, m):
    for command, want in (("M", 550), ("R", 550), ("T", 554), ("L", 554), ("N", 554), ("B", 554), ("E", 554)):
        m.answers = {command: b"r"}
        c.same("milter: reject at " + command, give(server, MESSAGE)[0], want)
        m.answers = {command: b"t"}
        c.same("milter: tempfail at " + command, give(server, MESSAGE)[0], 451)
        m.answers = {command: b"y571 5.7.3 not\r\n571 5.7.3 you\0"}
        c.same("milter: reply code at " + command, give(server, MESSAGE), (571, b"5.7.3 not"))
        m.answers = {command: b"d"}
        c.same("milter: discard at " + command, give(server, MESSAGE)[0], 250)
        m.answers = {command: b"a"}
        m.told = []
        c.same("milter: accept at " + command, give(server, MESSAGE)[0], 250)
        c.ok("milter: accept at %s: arrives" % command, arrived(server, c) != b"")
    c.same("milter: what was discarded has not arrived", mailbox(server, c, USER), [])
    m.answers = {"C": b"y554 5.7.1 go\0"}
    with socket.create_connection((demo.HOST, server.base + 25)) as s:
        c.ok("milter: reject at connect", s.recv(100).startswith(b"554 5.7.1 go"))
    m.answers = {"H": b"r"}
    with at(server) as s:
        c.same("milter: reject at helo", s.ehlo("x.example")[0], 550)
    m.forget()


def milter_changes(c, server, first, second):
    index = struct.pack
    second.forget()
    first.changes = [b"hX-Added\0one\0", b"i" + index("!I", 1) + b"X-Top\0a\n\tb\0", b"m" + index("!I", 1) + b"X-Old\0\0",
                     b"m" + index("!I", 1) + b"Subject\0new\r\nX-Evil: yes\0", b"bFirst line\n", b"bsecond\r", b"b\nline\r\n",
                     b"+<" + OTHER.encode() + b">\0", b"e<other@elsewhere.example>\0",
                     b"e<x@elsewhere.example>\r\nX-Evil: 2\0", b"+<y@example.test\r\nX: z>\0", b"p"]
    c.same("milter: changes", give(server, MESSAGE)[0], 250)
    text = arrived(server, c)
    c.ok("milter: added, inserted, changed, removed",
         b"\r\nX-Added: one\r\n" in text and b"\r\nX-Top: a\r\n\tb\r\n" in text and b"X-Old" not in text and b"\r\nSubject: new\r\n\tX-Evil" in text,
         text)
    c.ok("milter: inserted below our Received", text.index(b"Received:") < text.index(b"X-Top"), text)
    c.ok("milter: the body replaced", text.endswith(b"\r\n\r\nFirst line\r\nsecond\r\nline\r\n"), text)
    c.ok("milter: another sender", b"Return-Path: <other@elsewhere.example>" in text, text)
    c.ok("milter: another recipient", arrived(server, c, OTHER) != b"")
    c.ok("milter: the second sees what the first did", b"X-Added\0 one\0" in second.data_of("L") and second.data_of("B") ==
         [b"First line\r\nsecond\r\nline\r\n"], second.told)
    first.changes = [b"-<" + USER.encode() + b">\0", b"+<" + OTHER.encode() + b">\0"]
    c.same("milter: one recipient for another", give(server, MESSAGE)[0], 250)
    c.ok("milter: the other has it", arrived(server, c, OTHER) != b"")
    c.same("milter: the one has not", mailbox(server, c, USER), [])
    large = MESSAGE + b"x" * 70 + b"\r\n" + (b"y" * 78 + b"\r\n") * 5000
    first.changes, first.told = [b"hX-Large\0yes\0"], []
    c.same("milter: a large message", give(server, large)[0], 250)
    c.ok("milter: a large message arrives", arrived(server, c).endswith(large[large.index(b"\r\n\r\n"):]))
    c.ok("milter: in pieces of 64 KB", len(first.data_of("B")) == 7, len(first.data_of("B")))
    first.forget()
    first.answers, second.told = {"B": b"s"}, []
    c.same("milter: skip", give(server, large)[0], 250)
    c.same("milter: skip: one piece", len(first.data_of("B")), 1)
    arrived(server, c)
    first.forget()
    first.changes = [b"qit smells\0"]
    c.same("milter: quarantine", give(server, MESSAGE)[0], 250)
    c.ok("milter: quarantine: in Junk", arrived(server, c, name="Junk") != b"")
    first.forget()


def milter_failures(c, server, first, second):
    second.silent = {"M"}
    c.same("milter: one that is silent and may be", give(server, MESSAGE)[0], 250)
    second.forget()
    first.silent = {"R"}
    c.same("milter: one that is silent", give(server, MESSAGE)[0], 451)
    first.forget()
    for answer in (b"?", b"yno code\0"):
        first.answers = {"M": answer}
        c.same("milter: an answer %r" % answer, give(server, MESSAGE)[0], 451)
    first.forget()
    with at(server) as s:  # closed under our feet
        s.ehlo("x.example")
        first.listener.close()
        first.answers = {"M": struct.pack("!I", 0)}
        c.same("milter: nonsense", s.mail("a@elsewhere.example")[0], 451)
    c.same("milter: gone: the greeting comes, MAIL is put off", give(server, MESSAGE)[0], 451)


# ---- rspamd ----


def rspamd(c):
    r = Rspamd()
    settings = '}\nrspamd {\n url = "http://127.0.0.1:%d"\n password = "secret"\n' % r.port
    with demo.Configured(c.server.program, "policy", settings) as server:
        c.same("rspamd: no action", give(server, MESSAGE, to=(USER, OTHER))[0], 250)
        path, fields, body = r.asked[-1]
        c.same("rspamd: asked at", path, "/checkv2")
        c.same("rspamd: fields", [fields.get(n) for n in ("From", "Helo", "IP", "Password")],
               ["ann@elsewhere.example", "client.elsewhere.example", "127.0.0.1", "secret"])
        c.same("rspamd: recipients", fields.get_all("Rcpt"), [USER, OTHER])
        c.ok("rspamd: a trace id", fields.get("Queue-Id"), fields)
        c.ok("rspamd: sees the message", body.startswith(b"Received: ") and body.endswith(b"\r\n\r\nHello.\r\n"), body)
        c.ok("rspamd: a score", b"\r\nX-Spam-Score: 0.00\r\n" in arrived(server, c))
        arrived(server, c, OTHER)
        for answer, want in (({"action": "reject", "messages": {"smtp_message": "no spam"}}, (554, b"5.7.1 no spam")),
                             ({"action": "soft reject"}, (451, b"4.7.1 not now: try again later")),
                             ({"action": "greylist"}, (451, b"4.7.1 not now: try again later"))):
            r.answer = answer
            c.same("rspamd: " + answer["action"], give(server, MESSAGE), want)
        r.answer = {"action": "add header", "score": 7.5, "required_score": 15,
                    "milter": {"add_headers": {"X-Two": [{"value": "a\r\nb", "order": 1}, "c"]}, "remove_headers": {"X-Old": 0}}}
        c.same("rspamd: add header", give(server, MESSAGE.replace(b"X-Old", b"X-Spam: No\r\nX-Old"))[0], 250)
        text = arrived(server, c, name="Junk")
        c.ok("rspamd: add header: fields", b"X-Spam: Yes" in text and b"X-Spam: No" not in text and text.count(b"X-Two: ") == 2
             and b"X-Old" not in text and b"X-Spam-Status: Yes, score=7.50" in text, text)
        r.answer = {"action": "rewrite subject", "subject": "[spam] hello"}
        give(server, MESSAGE)
        c.ok("rspamd: rewrite subject", b"\r\nSubject: [spam] hello\r\n" in arrived(server, c, name="Junk"))
        large = MESSAGE + (b"y" * 78 + b"\r\n") * 10000
        r.answer = {"action": "no action"}
        c.same("rspamd: a large message", give(server, large)[0], 250)
        c.ok("rspamd: all of it", r.asked[-1][2].endswith(large[-100:]) and len(r.asked[-1][2]) > len(large))
        arrived(server, c)
        for answer in (b"", b"{", b"[]", b'{"action": 7}', b'{"action": "dance"}'):
            r.answer = answer
            c.same("rspamd: %r" % answer, give(server, MESSAGE)[0], 451)
        asked = len(r.asked)
        c.same("rspamd: left alone for a while", (give(server, MESSAGE)[0], len(r.asked)), (451, asked))


# ---- DNS ----


def lists(c):
    zone = {"1.0.0.127.bl.example": {"A": ["127.0.0.4"]}, "1.0.0.127.broken.example": "SERVFAIL",
            "1.0.0.127.blind.example": {"A": ["127.255.255.254"]}, "bad.example.dom.example": {"A": ["127.0.1.2"]},
            "1.0.0.127.in-addr.arpa": {"PTR": ["host.client.example"]}, "host.client.example": {"A": ["127.0.0.1"]},
            "real.example": {"MX": [(10, "mx.real.example")]}, "null.example": {"MX": [(0, ".")]}, "later.example": "SERVFAIL",
            "bad.example": {"A": ["127.0.0.1"]}, "tagged.example": {"A": ["127.0.0.1"]}, "tagged.example.tag.example": {"A": ["127.0.0.2"]}}
    with dns.Server(zone) as d:
        settings = ' sender_domain_check = true\n}\ndns_servers = {"127.0.0.1:%d"}\n' % d.port + '''
dnslist "broken.example" { }
dnslist "blind.example" { }
dnslist "dom.example" { of = sender text = "see http://dom.example/" }
dnslist "tag.example" { of = sender action = tag }
access "named" { stage = client match = {".nowhere.example"} action = reject }
access "postmaster" { stage = recipient match = {"%s"} action = allow }
dnslist "bl.example" { answers = {"127.0.0.2-3", "127.0.0.0&8"}
''' % OTHER
        with demo.Configured(c.server.program, "policy", settings) as server:
            c.same("lists: an answer that does not count", give(server, MESSAGE, sender="ann@real.example")[0], 250)
            arrived(server, c)
            c.ok("lists: all were asked", {("1.0.0.127.%s" % z, "A") for z in ("bl.example", "broken.example", "blind.example")} <=
                 {(n, t) for n, t, *_ in d.asked}, d.asked)
            code, text = give(server, MESSAGE, sender="ann@bad.example")
            c.same("lists: a sender's domain", (code, text), (550, b"5.7.1 ann@bad.example is listed by dom.example: see http://dom.example/"))
            c.same("lists: a recipient that a table allows", give(server, MESSAGE, sender="ann@bad.example", to=(OTHER,))[0], 250)
            give(server, MESSAGE, sender="ann@tagged.example")
            c.ok("lists: tagged: in Junk", arrived(server, c, name="Junk") != b"")
            for domain, want in (("null.example", 550), ("nothing.example", 550), ("later.example", 450)):
                c.same("sender domain: " + domain, give(server, MESSAGE, sender="ann@" + domain)[0], want)
            status, said = c.command([server.program, "policy", "test", "--config",
                                      os.path.join(server.folder, "data", "posthorn.conf"), "--client", "127.0.0.1", "--helo", "x.example", "--from", "ann@bad.example", "--to", USER])
            c.ok("policy test: says which rule and why", status == 0 and b"dom.example" in said and b"550" in said, said)


# ---- LMTP ----


class Lmtp:
    """RFC 2033: the message has a reply for each recipient that was taken."""

    def __init__(self, server):
        self.socket = socket.create_connection((demo.HOST, server.base + 24), timeout=30)
        self.file = self.socket.makefile("rb")
        self.reply()
        self.ask("LHLO client.elsewhere.example")

    def reply(self):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                return line.rstrip(b"\r\n")

    def ask(self, command):
        self.socket.sendall(command.encode() + b"\r\n")
        return self.reply()

    def give(self, message, sender="ann@elsewhere.example", to=(USER, OTHER)):
        """What MAIL, each RCPT and, for each that was taken, the message was answered."""
        said = [self.ask("MAIL FROM:<%s>" % sender)[:3]]
        if said[0] == b"250":
            said += [self.ask("RCPT TO:<%s>" % r)[:3] for r in to]
        if b"250" in said[1:]:
            said.append(self.ask("DATA")[:3])
            self.socket.sendall(message + b".\r\n")
            said += [self.reply()[:3] for _ in range(said[1:].count(b"250"))]
        else:
            self.ask("RSET")
        return b" ".join(said).decode()


def over_lmtp(c):
    m, r = Milter(), Rspamd()
    settings = '}\nmilter "lmtp" {\n socket = "inet:%d@127.0.0.1"\n for = {lmtp}\n}\nrspamd {\n url = "http://127.0.0.1:%d"\n for = {lmtp}\n}\n' \
               'access "senders" { stage = sender match = {"spam@bad.example"} action = reject }\n' \
               'access "clients" { stage = client match = {"127.0.0.1"} action = reject\n' % (m.port, r.port)
    with demo.Configured(c.server.program, "policy", settings) as server:
        s = Lmtp(server)
        c.same("LMTP: a table of clients is not for it; a message to two", s.give(MESSAGE), "250 250 250 354 250 250")
        arrived(server, c)
        arrived(server, c, OTHER)
        c.same("LMTP: rspamd hears of both", r.asked[-1][1].get_all("Rcpt"), [USER, OTHER])
        c.same("LMTP: a sender's table", s.give(MESSAGE, sender="spam@bad.example"), "550")
        m.answers = {"R": b"r"}
        c.same("LMTP: a milter refuses recipients", s.give(MESSAGE), "250 550 550")
        for command, answer, want in (("E", b"r", "554"), ("E", b"t", "451"), ("L", b"y571 5.7.3 no\0", "571"), ("B", b"d", "250")):
            m.answers = {command: answer}
            c.same("LMTP: a milter's %r at %s is said for each" % (answer, command), s.give(MESSAGE), "250 250 250 354 %s %s" % (want, want))
        m.forget()
        m.changes = [b"hX-Added\0one\0", b"-<" + OTHER.encode() + b">\0"]
        c.same("LMTP: a milter changes", s.give(MESSAGE), "250 250 250 354 250 250")
        c.ok("LMTP: changed", b"\r\nX-Added: one\r\n" in arrived(server, c))
        c.same("LMTP: who was taken off has nothing", mailbox(server, c, OTHER), [])
        m.forget()
        r.answer = {"action": "reject"}
        c.same("LMTP: rspamd's no is said for each", s.give(MESSAGE), "250 250 250 354 554 554")
        r.answer = {"action": "no action"}
        c.same("LMTP: the session goes on", s.give(MESSAGE, to=(USER,)), "250 250 354 250")
        c.ok("LMTP: and its message arrives", arrived(server, c) != b"")
