"""STARTTLS: what a third party slips in beside it, on both sides; and TLS clients that want another protocol.

As a server: plain text in front of STARTTLS and behind it, in the same packet and in one of its own, does nothing once TLS
is on, and nothing that was said before is remembered.  As a client (mail out, import, probe): a server that speaks on in
the clear behind its "go ahead" is not believed, nor what it offered before TLS.
"""

import os
import socket
import ssl
import threading
import time

from outbound import Sending

WAIT = 60


def run(c):
    served(c)
    alpn(c)
    probed(c)
    imported(c)
    relayed(c)


# ---- we are the server ----

START = {"smtp": b"STARTTLS\r\n", "submission": b"STARTTLS\r\n", "imap": b"s STARTTLS\r\n", "pop3": b"STLS\r\n"}
YES = {"smtp": b"220 ", "submission": b"220 ", "imap": b"s OK", "pop3": b"+OK"}


class Link:
    def __init__(self, c, protocol):
        self.c, self.socket = c, socket.create_connection((c.host, c.port(protocol)), timeout=60)
        self.got = b""
        self.line()

    def line(self):
        """A line, or b"" at the end."""
        while b"\n" not in self.got:
            try:
                more = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                more = b""
            if not more:
                return b""
            self.got += more
        line, _, self.got = self.got.partition(b"\n")
        return line + b"\n"

    def reply(self, protocol):
        line = self.line()
        while (protocol in ("smtp", "submission") and line[3:4] == b"-") or (protocol == "imap" and line.startswith(b"* ")):
            line = self.line()
        return line

    def send(self, data):
        self.socket.sendall(data)

    def secure(self, *protocols):
        context = self.c.tls()
        if protocols:
            context.set_alpn_protocols(list(protocols))
        self.socket = context.wrap_socket(self.socket)
        return self.socket.selected_alpn_protocol()

    def close(self):
        self.socket.close()


def served(c):
    user = c.users[0].encode()
    password = c.password(c.users[0]).encode()
    mail = b"MAIL FROM:<forged@example.net>\r\nRCPT TO:<%s>\r\n" % user
    # in front (with so many answers), behind, a command after TLS and what its answer begins with
    cases = {
        "smtp": [(b"EHLO forged.example\r\n", 1, mail, b"RCPT TO:<%s>\r\n" % user, b"503"), (b"EHLO forged.example\r\n", 1, b"EHLO forged.example\r\n", b"MAIL FROM:<a@example.net>\r\n", b"503"),
                 (b"EHLO f.example\r\n" + mail + b"RSET\r\n", 4, b"NOOP\r\n" * 50, b"DATA\r\n", b"503"), (b"", 0, b"QUIT\r\n", b"NOOP\r\n", b"250")],
        "submission": [(b"EHLO forged.example\r\n", 1, b"AUTH PLAIN AA==\r\n", b"MAIL FROM:<a@example.net>\r\n", b"530")],
        "imap": [(b"", 0, b"l LOGIN %s %s\r\n" % (user, password), b"x SELECT INBOX\r\n", b"x BAD"), (b"i ID NIL\r\n", 1, b"q LOGOUT\r\n", b"x NOOP\r\n", b"x OK"),
                 (b"", 0, b"l LOGIN {%d}\r\n" % len(user), b"x NOOP\r\n", b"x OK"), (b"", 0, b"l LOGIN {%d+}\r\n%s" % (len(user) + 20, user), b"x NOOP\r\n", b"x OK")],
        "pop3": [(b"USER %s\r\n" % user, 1, b"PASS %s\r\n" % password, b"STAT\r\n", b"-ERR"), (b"USER %s\r\n" % user, 1, b"", b"PASS %s\r\n" % password, b"-ERR"),
                 (b"", 0, b"USER %s\r\n" % user, b"PASS %s\r\n" % password, b"-ERR"), (b"", 0, b"QUIT\r\n", b"CAPA\r\n", b"+OK")],
    }
    for protocol, rows in cases.items():
        for number, (before, answers, behind, after, want) in enumerate(rows):
            if protocol in ("smtp", "submission") and before == b"":
                before, answers = b"EHLO a.example\r\n", 1
            name = "%s: case %d" % (protocol, number)
            link = Link(c, protocol)
            link.send(before + START[protocol] + behind)
            for _ in range(answers):
                link.reply(protocol)
            c.ok(name + ": STARTTLS is answered", link.reply(protocol).startswith(YES[protocol]))
            c.same(name + ": and nothing behind it", link.got, b"")
            link.secure()
            link.send(after)
            got = link.reply(protocol)
            c.ok(name + ": what was slipped in is not there after TLS", got.startswith(want), got)
            link.close()
            if not behind:
                continue
            # in a packet of its own, after the answer: the handshake fails
            link = Link(c, protocol)
            link.send(before + START[protocol])
            for _ in range(answers + 1):
                link.reply(protocol)
            link.send(behind)
            try:
                link.secure()
                link.send(after)
                got = link.line()
            except (OSError, ssl.SSLError):
                got = b""
            c.ok(name + ": in a packet of its own: the end", got == b"", got)
            link.close()


def alpn(c):
    """RFC 9325 section 3.7: a TLS client that was led here from elsewhere says what it wants."""
    for protocol, name in (("imaps", "imap"), ("pop3s", "pop3"), ("submissions", "smtp"), ("imap", "imap"), ("pop3", "pop3"), ("smtp", "smtp")):
        for asked, want in ((["h2", "http/1.1"], None), (["ftp"], None), (["http/1.1", name], name), ([name], name), ([], ""),
                            (["pop3" if name != "pop3" else "imap"], None)):
            s = socket.create_connection((c.host, c.port(protocol)), timeout=60)
            link = Link.__new__(Link)
            link.c, link.socket, link.got = c, s, b""
            if protocol in START:
                link.line()
                if protocol == "smtp":
                    link.send(b"EHLO a.example\r\n")
                    link.reply(protocol)
                link.send(START[protocol])
                link.reply(protocol)
            try:
                got = link.secure(*asked) or ""
            except (OSError, ssl.SSLError):
                got = None
            c.same("ALPN: %s asked for %s" % (protocol, " or ".join(asked) or "nothing"), got, want)
            link.close()


# ---- we are the client ----


class Injecting:
    """A server that answers line by line, and says `extra` behind its answer to STARTTLS, in the same packet."""

    def __init__(self, context, greeting, answer, extra=b"", before=b""):
        self.context, self.greeting, self.answer, self.extra, self.before = context, greeting, answer, extra, before
        self.plain, self.secret, self.sessions, self.handshakes = [], [], 0, 0
        self.changed = threading.Condition()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(20)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.session, args=(connection,), daemon=True).start()

    def session(self, connection):
        try:
            self.talk(connection)
        except (OSError, ValueError):
            pass
        finally:
            connection.close()
            with self.changed:
                self.sessions += 1
                self.changed.notify_all()

    def talk(self, connection):
        connection.sendall(self.before + self.greeting)
        lines, secure = connection.makefile("rb"), False
        while True:
            line = lines.readline()
            if not line:
                return
            with self.changed:
                (self.secret if secure else self.plain).append(line)
                self.changed.notify_all()
            said = self.answer(line, secure)
            if b"STARTTLS" in line.upper() or line.upper().startswith(b"STLS"):
                connection.sendall(said + self.extra)
                connection = self.context.wrap_socket(connection, server_side=True)
                lines, secure = connection.makefile("rb"), True
                with self.changed:
                    self.handshakes += 1
            else:
                connection.sendall(said)

    def wait(self, true):
        with self.changed:
            return self.changed.wait_for(lambda: true(self), WAIT)


def smtp_answer(line, secure):
    word = line[:4].upper()
    if word == b"EHLO":
        return b"250-peer\r\n250 8BITMIME\r\n" if secure else b"250-peer\r\n250-STARTTLS\r\n250-CHUNKING\r\n250-PIPELINING\r\n250-SIZE 1\r\n250 AUTH PLAIN\r\n"
    return {b"STAR": b"220 go on\r\n", b"QUIT": b"221 bye\r\n", b"DATA": b"354 go on\r\n"}.get(word, b"250 2.0.0 yes\r\n" if line == b".\r\n" or word in (b"MAIL", b"RCPT", b"RSET", b"NOOP") else b"")


def imap_answer(line, secure):
    tag, _, rest = line.partition(b" ")
    word = rest.strip().upper()
    if word.startswith(b"CAPABILITY"):
        return b"* CAPABILITY IMAP4rev1 %s\r\n%s OK done\r\n" % (b"AUTH=PLAIN" if secure else b"STARTTLS LITERAL+ LOGINDISABLED", tag)
    if word.startswith(b"LIST"):
        return b"%s OK done\r\n" % tag
    return b"%s OK done\r\n" % tag


def pop3_answer(line, secure):
    if line.upper().startswith(b"CAPA"):
        return b"+OK\r\nUSER\r\n.\r\n" if secure else b"+OK\r\nSTLS\r\nUSER\r\n.\r\n"
    return b"+OK\r\n"


def server_context(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem"))
    return context


def probed(c):
    context = server_context(os.path.join(c.server.folder, "data"))
    for name, greeting, answer, extra in (
            ("SMTP", b"220 peer ESMTP\r\n", smtp_answer, b"250-forged\r\n250 AUTH LOGIN\r\n"),
            ("IMAP", b"* OK peer\r\n", imap_answer, b"* CAPABILITY IMAP4rev1 FORGED\r\n"), ("POP3", b"+OK peer\r\n", pop3_answer, b"+OK forged\r\nFORGED\r\n.\r\n")):
        for injected in (extra, b""):
            peer = Injecting(context, greeting, answer, injected)
            status, said = c.command([c.server.program, "probe", "127.0.0.1:%d" % peer.port, "--timeout", "5"])
            told = b"the server sent more before TLS began" in said
            c.ok("probe: %s: %s" % (name, "said" if injected else "nothing is said where nothing was injected"), told == (injected != b""), said)
            c.ok("probe: %s: what was injected is no answer" % name, b"orged" not in said and b"FORGED" not in said, said)


def imported(c):
    context = server_context(os.path.join(c.server.folder, "data"))
    secret = c.file("secret", "sesame\n")
    for name, greeting, extra, good in (
            ("nothing injected", b"* OK peer\r\n", b"", True),
            ("a capability behind OK", b"* OK peer\r\n", b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", False),
            ("an answer to come behind OK", b"* OK peer\r\n", b"A3 OK done\r\nA4 OK done\r\n", False),
            ("half a line behind OK", b"* OK peer\r\n", b"* ", False),
            ("PREAUTH, so that no TLS be asked for", b"* PREAUTH peer\r\n", b"", False)):
        peer = Injecting(context, greeting, imap_answer, extra)
        status, said = c.command([c.server.program, "import", "imap", "127.0.0.1:%d" % peer.port, c.users[2], "--user", "ann", "--password-file", secret,
                                  "--starttls", "--insecure", "--timeout", "5"],
                                 env={"POSTHORN_CONFIG": os.path.join(c.server.folder, "data", "posthorn.conf")})
        everything = b"".join(peer.plain + peer.secret)
        asked = [line for line in peer.secret if b"LOGIN" in line.upper() or b"AUTHENTICATE" in line.upper()]
        c.ok("import: %s: the password goes over TLS or not at all" % name, b"sesame" not in b"".join(peer.plain) and b"c2VzYW1l" not in b"".join(peer.plain), everything)
        c.ok("import: %s: %s" % (name, "signs in" if good else "does not go on"), bool(asked) == good and (good or status != 0), (status, said, everything))
        c.ok("import: %s: what it could do before TLS is asked again" % name, not good or any(b"CAPABILITY" in line.upper() for line in peer.secret), everything)


def relayed(c):
    own = c.base
    context = server_context(os.path.join(c.server.folder, "data"))
    honest = Injecting(context, b"220 peer ESMTP\r\n", smtp_answer)
    liar = Injecting(context, b"220 peer ESMTP\r\n", smtp_answer, b"250-peer\r\n250 CHUNKING\r\n250 2.1.0 yes\r\n250 2.1.5 yes\r\n354 yes\r\n250 2.0.0 kept\r\n")
    early = Injecting(context, b"220 peer ESMTP\r\n", smtp_answer, before=b"220 peer ESMTP\r\n250-peer\r\n250 8BITMIME\r\n250 2.1.0 yes\r\n250 2.1.5 yes\r\n354 yes\r\n250 2.0.0 kept\r\n")
    settings = "queue {\n    retry_first_seconds = 1\n    retry_most_seconds = 1\n}\n" + "".join(
        'route "%s" {\n    recipient_domain = {"%s.test"}\n    hosts = {"127.0.0.1:%d"}\n    tls = must\n}\n' % (name, name, peer.port)
        for name, peer in (("honest", honest), ("liar", liar), ("early", early)))
    with Sending(c.server.program, settings) as server:
        c.base = server.base
        try:
            for name in ("honest", "liar", "early"):
                with c.smtp("submission") as s:
                    s.login("u0@example.test", "demo-u0")
                    s.sendmail("u0@example.test", ["ann@%s.test" % name], "From: u0@example.test\r\nSubject: secret\r\n\r\nsecret text\r\n" * 3)
            c.ok("relay: it goes over TLS", honest.wait(lambda p: any(b"secret text" in line for line in p.secret)), honest.plain)
            c.ok("relay: by what was offered after TLS", not any(b"BDAT" in line or b"SIZE=" in line for line in honest.secret), honest.secret[:10])
            c.ok("relay: and EHLO is said again", any(line.startswith(b"EHLO") for line in honest.secret), honest.secret[:3])
            for name, peer in (("answers behind 220 STARTTLS", liar), ("answers in front of all", early)):
                c.ok("relay: %s: tried, and tried again" % name, peer.wait(lambda p: p.sessions >= 2), peer.sessions)
                seen = b"".join(peer.plain + peer.secret)
                c.ok("relay: %s: nothing is given to it" % name, b"secret" not in seen and b"MAIL" not in b"".join(peer.plain), seen)
            status, said = c.command([server.program, "queue", "list", "--json"], env={"POSTHORN_CONFIG": os.path.join(server.folder, "data", "posthorn.conf")})
            c.ok("relay: both wait", b"ann@liar.test" in said and b"ann@early.test" in said and b"ann@honest.test" not in said, said)
        finally:
            c.base = own
