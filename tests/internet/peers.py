"""Servers that misbehave, each at an address and with a domain of its own, all on the host `odd`.

A peer follows its class; what it has accepted stands in `mail` as (sender, recipients, text).
"""
import socket
import ssl
import threading
import time

import net


class Gone(Exception):
    """The connection has ended."""


class Peer:
    """A good server: EHLO, STARTTLS if it has a certificate, everything accepted."""
    extensions = ["PIPELINING", "8BITMIME", "SIZE 10000000", "ENHANCEDSTATUSCODES"]
    signed = True
    tls = False  # "right", "wrong"

    def __init__(self, name, address, names):
        self.domain, self.address = name, address
        self.mail, self.sessions, self.attempts = [], 0, 0
        self.lock = threading.Lock()
        self.certificate = None
        self.set_names(names)

    def set_names(self, names):
        host = "mx." + self.domain
        names.mx(self.domain, host, signed=self.signed)
        names.host(host, self.address, signed=self.signed)
        if self.tls:
            self.certificate = names.certificate(host)

    def start(self, host="odd"):
        listener = net.listen(host, self.address, 25)
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.session, args=(connection,), daemon=True).start()

    # ---- one session ----

    def session(self, connection):
        with self.lock:
            self.sessions += 1
            number = self.sessions
        connection.settimeout(60)
        c = Session(self, connection, number)
        try:
            c.run()
        except (Gone, OSError, ssl.SSLError):
            pass
        finally:
            try:
                c.connection.close()
            except OSError:
                pass

    # What a peer may answer otherwise than well: a line, or None for the usual; or raises Gone.
    def greeting(self, c):
        return None

    def hello(self, c):
        return None

    def mail_from(self, c):
        return None

    def rcpt(self, c, recipient):
        return None

    def data(self, c):
        return None

    def part(self, c, so_far):
        """Part of the message has come."""

    def final(self, c):
        """The message is there; None: it is kept and 250 is said."""
        return None

    def say(self, c, text):
        c.connection.sendall(text)


class Session:
    def __init__(self, peer, connection, number):
        self.peer, self.connection, self.number = peer, connection, number
        self.buffer = b""
        self.sender, self.recipients, self.extended, self.secure = None, [], False, False

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def more(self):
        piece = self.connection.recv(65536)
        if not piece:
            raise Gone()
        self.buffer += piece

    def reply(self, text):
        self.peer.say(self, text.encode() + b"\r\n")
        if text.startswith("421"):
            raise Gone()

    def run(self):
        self.reply(self.peer.greeting(self) or "220 mx.%s ESMTP" % self.peer.domain)
        while True:
            words = self.line()
            verb = words.split(" ")[0].upper()
            if verb in ("EHLO", "HELO"):
                self.ehlo(verb)
            elif verb == "STARTTLS" and self.peer.certificate and not self.secure:
                self.starttls()
            elif verb == "MAIL":
                self.sender, self.recipients = words[10:].split(">")[0].lstrip("<"), []
                self.reply(self.peer.mail_from(self) or "250 2.1.0 ok")
            elif verb == "RCPT":
                recipient = words[8:].split(">")[0].lstrip("<")
                answer = self.peer.rcpt(self, recipient)
                if answer is None:
                    self.recipients.append(recipient)
                self.reply(answer or "250 2.1.5 ok")
            elif verb == "DATA":
                self.data()
            elif verb == "RSET":
                self.sender, self.recipients = None, []
                self.reply("250 2.0.0 ok")
            elif verb == "QUIT":
                self.reply("221 2.0.0 bye")
                return
            else:
                self.reply("502 5.5.1 what?")

    def ehlo(self, verb):
        answer = self.peer.hello(self)
        extensions = list(self.peer.extensions) if verb == "EHLO" else []
        if self.peer.certificate and not self.secure and verb == "EHLO":
            extensions.append("STARTTLS")
        lines = ["mx." + self.peer.domain] + extensions
        self.reply(answer or "\r\n".join("250%s%s" % ("-" if i + 1 < len(lines) else " ", e) for i, e in enumerate(lines)))

    def starttls(self):
        self.reply("220 2.0.0 go")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.peer.certificate)
        self.buffer = b""
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.secure = True

    def data(self):
        answer = self.peer.data(self) if self.recipients else "554 5.5.1 no valid recipients"
        self.reply(answer or "354 go")
        if answer:
            return
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            self.peer.part(self, self.buffer)
            self.more()
        text, self.buffer = (b"\r\n" + self.buffer).split(b"\r\n.\r\n", 1)
        text = text[2:].replace(b"\r\n..", b"\r\n.").decode("latin-1")
        answer = self.peer.final(self)
        if answer is None:
            with self.peer.lock:
                self.peer.mail.append((self.sender, self.recipients, text))
            answer = "250 2.0.0 taken"
        self.sender, self.recipients = None, []
        self.reply(answer)


class Grey(Peer):
    """Each pair of sender and recipient is asked to come again once."""

    def __init__(self, *args):
        super().__init__(*args)
        self.known = set()

    def rcpt(self, c, recipient):
        with self.lock:
            if (c.sender, recipient) in self.known:
                return None
            self.known.add((c.sender, recipient))
        return "451 4.7.1 greylisted, come again"


class Once(Peer):
    """Says 4xx (or 421) at one stage, once; then all is well."""

    def __init__(self, stage, answer, *args):
        super().__init__(*args)
        self.stage, self.answer, self.said = stage, answer, False

    def once(self, stage):
        with self.lock:
            if stage != self.stage or self.said:
                return None
            self.said = True
            return self.answer

    def greeting(self, c):
        return self.once("greeting")

    def hello(self, c):
        return self.once("hello")

    def mail_from(self, c):
        return self.once("mail")

    def rcpt(self, c, recipient):
        return self.once("rcpt")

    def data(self, c):
        return self.once("data")

    def final(self, c):
        return self.once("final")


class Always(Once):
    def once(self, stage):
        return self.answer if stage == self.stage else None


class StopsInData(Peer):
    """Closes the connection in the middle of the first message."""

    def part(self, c, so_far):
        if c.number == 1 and len(so_far) > 500:
            raise Gone()


class StopsAtFinal(Peer):
    """Takes the first message and is gone before it says so: the sender cannot know (RFC 1047)."""

    def final(self, c):
        if c.number == 1:
            with self.lock:
                self.mail.append((c.sender, c.recipients, "taken without a word"))
            raise Gone()
        return None


class Tarpit(Peer):
    """A byte at a time."""

    def say(self, c, text):
        for i in range(0, len(text), 1):
            c.connection.sendall(text[i:i + 1])
            time.sleep(0.005)


class Talker(Peer):
    """Ten thousand lines where one would do."""

    def say(self, c, text):
        code = text[:3]
        if len(text) > 5 and text[3:4] == b" " and text[:1] in b"23" and not text.startswith((b"220 2", b"221")):
            c.connection.sendall(b"".join(code + b"-so much to tell, line %d\r\n" % i for i in range(10000)))
        c.connection.sendall(text)


class Drops(Peer):
    """Ends every third session after its first message without a word."""

    def mail_from(self, c):
        if c.number % 3 == 0 and any(c.number == n for n in (getattr(c, "used", None),)):
            raise Gone()
        c.used = c.number
        return None


class WrongCertificate(Peer):
    """Says STARTTLS and has a certificate that its TLSA record does not name."""
    tls = True

    def set_names(self, names):
        super().set_names(names)
        other, _ = names.certificate("other." + self.domain)
        names.test.append(names.tlsa("mx." + self.domain, other))


class RightCertificate(Peer):
    """Says STARTTLS; its TLSA record names its certificate."""
    tls = True

    def set_names(self, names):
        super().set_names(names)
        names.test.append(names.tlsa("mx." + self.domain, self.certificate[0]))


class NoTls(Peer):
    """Has a TLSA record, and no TLS: somebody in between has taken STARTTLS away."""

    def set_names(self, names):
        super().set_names(names)
        names.test.append("_25._tcp.mx.%s. TLSA 3 1 1 %s" % (self.domain, "ab" * 32))


class Sts(Peer):
    """No DNSSEC, but a policy on the web (RFC 8461) that enforces TLS with a certificate from an authority."""
    signed = False
    tls = True
    right = True
    web = "11.99.0.97"

    def set_names(self, names):
        super().set_names(names)
        if not self.right:
            self.certificate = names.certificate("mx." + self.domain, signed=False)
        names.plain.append("_mta-sts.%s. TXT \"v=STSv1; id=1\"" % self.domain)
        names.host("mta-sts." + self.domain, self.web, signed=False)
        self.web_certificate = names.certificate("mta-sts." + self.domain)


class WrongSts(Sts):
    right = False
    web = "11.99.0.96"


def serve_policy(peer, host="odd"):
    """https://mta-sts.DOMAIN/.well-known/mta-sts.txt"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*peer.web_certificate)
    listener = net.listen(host, peer.web, 443)
    policy = ("version: STSv1\r\nmode: enforce\r\nmx: mx.%s\r\nmax_age: 86400\r\n" % peer.domain).encode()

    def serve():
        while True:
            connection, _ = listener.accept()
            try:
                connection.settimeout(10)
                with context.wrap_socket(connection, server_side=True) as s:
                    s.recv(65536)
                    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(policy) + policy)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()


def silence(address, host="odd"):
    """A name server that hears and never answers."""
    return net.listen(host, address, 53, socket.SOCK_DGRAM)
