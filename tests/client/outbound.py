"""Mail that leaves: MX, routes and TLS against a scripted DNS server and scripted SMTP servers on loopback."""

import hashlib
import os
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time

from demo import Configured

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import dns  # noqa: E402

WAIT = 60


class Peer:
    """An SMTP or LMTP server at an address of its own.  What `says` has for a command is its reply; "" hangs up."""

    def __init__(self, address, port, says=None, lmtp=False, tls=None):
        self.says, self.lmtp, self.tls = says or {}, lmtp, tls
        self.messages, self.sessions, self.seen, self.secured = [], 0, [], 0
        self.changed = threading.Condition()
        if address.startswith("/"):
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(address)
            os.chmod(address, 0o777)
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((address, port))
        self.listener.listen(50)
        self.port = self.listener.getsockname()[1] if not address.startswith("/") else 0
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.sessions += 1
            threading.Thread(target=self.session, args=(connection,), daemon=True).start()

    def session(self, connection):
        try:
            self.talk(connection)
        except OSError:
            pass
        finally:
            connection.close()

    def talk(self, connection):
        def say(text):
            connection.sendall(text.encode() + b"\r\n")
            return True

        lines = connection.makefile("rb")
        envelope = {}
        if not say(self.says.get("GREETING", "220 peer")):
            return
        while True:
            line = lines.readline().decode("latin-1").rstrip("\r\n")
            if not line:
                return
            word = line.split()[0].upper()
            with self.changed:
                self.seen.append(line)
            reply = self.says.get(word)
            if callable(reply):
                reply = reply(line)
            if reply == "":
                return
            if word in ("EHLO", "LHLO") and reply is None:
                say("250-peer\r\n" + ("250-STARTTLS\r\n" if self.tls and not isinstance(connection, ssl.SSLSocket) else "") +
                    "250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
            elif word == "STARTTLS" and reply is None:
                say("220 go on")
                connection = self.tls.wrap_socket(connection, server_side=True)
                lines = connection.makefile("rb")
                with self.changed:
                    self.secured += 1
            elif word == "QUIT":
                say("221 bye")
                return
            elif reply is not None:
                say(reply)
            elif word == "MAIL":
                envelope = {"from": line, "to": []}
                say("250 2.1.0 yes")
            elif word == "RCPT":
                envelope["to"].append(line[len("RCPT TO:<"):].split(">")[0])
                say("250 2.1.5 yes")
            elif word == "DATA":
                say("354 go on")
                text = b""
                while not text.endswith(b"\r\n.\r\n"):
                    more = lines.readline()
                    if not more:
                        return
                    text += more
                final = self.says.get("FINAL")
                if final == "":
                    return
                if final is None:
                    with self.changed:
                        self.messages.append((envelope["from"], envelope["to"], text[:-3]))
                        self.changed.notify_all()
                for _ in envelope["to"] if self.lmtp else [0]:
                    say(final or "250 2.0.0 taken")
            else:
                say("250 2.0.0 yes")

    def wait(self, count, seconds=WAIT):
        with self.changed:
            self.changed.wait_for(lambda: len(self.messages) >= count, seconds)
            return list(self.messages)

    def recipients(self, count=1):
        return [to for _, tos, _ in self.wait(count) for to in tos]

    def saw(self, text, seconds=WAIT):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self.changed:
                if any(text in line for line in self.seen):
                    return True
            time.sleep(0.01)
        return False


class Sending(Configured):
    """A demo that may send after all, by the settings it is given."""

    def __init__(self, program, settings):
        super().__init__(program, "", settings)

    def edit(self, text):
        head, _, tail = text.partition('route "outside" {')
        return head + tail.partition("\n}\n")[2] + self.settings


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(c):
    port = free_port()
    zone = dns.Server(ttl=1, negative_ttl=1)
    with zone:
        World(c, port, zone).run()


class World:
    def __init__(self, c, port, zone):
        self.c, self.port, self.zone, self.peers = c, port, zone, {}
        self.number = 0

    def peer(self, name, **how):
        """A server called NAME.test."""
        self.number += 1
        address = "127.0.9.%d" % self.number
        self.zone.set(name + ".test", {"A": [address]})
        self.peers[name] = Peer(address, self.port, **how)
        return self.peers[name]

    def domain(self, name, *mx):
        self.zone.set(name, {"MX": [((i + 1) * 10, host) for i, host in enumerate(mx)]})

    def run(self):
        c = self.c
        sock = os.path.join(c.folder, "lmtp")
        os.chmod(c.folder, 0o755)
        self.good = self.peer("good")
        self.second = self.peer("second")
        self.lmtp = Peer(sock, 0, lmtp=True, says={"RCPT": lambda line: "550 5.1.1 who" if "nobody" in line else None})
        settings = (
            "relay {\n    port = %d\n    dead_seconds = 1\n}\n"
            "dns_servers = {\"%s\"}\n"
            "queue {\n    retry_first_seconds = 1\n    retry_most_seconds = 2\n}\n"
            "route \"smart\" {\n    recipient_domain = {\"far.test\"}\n    hosts = {\"127.0.9.250:%d\", \"good.test:%d\"}\n    tls = may\n}\n"
            "route \"local\" {\n    recipient_domain = {\".lmtp.test\"}\n    hosts = {\"%s\"}\n    protocol = lmtp\n    tls = none\n}\n"
            "route \"strict\" {\n    recipient_domain = {\"strict.test\"}\n    tls = must\n}\n"
            "route \"closed\" {\n    recipient_domain = {\"closed.test\"}\n    reject = \"5.7.1 we do not write there\"\n}\n"
            % (self.port, self.zone.address, self.port, self.port, sock))
        with Sending(c.server.program, settings) as server:
            self.server, self.base = server, server.base
            self.deliveries()
            self.later()
            self.tls()
            self.dane()
            self.bounces()

    def send(self, to, user="u0@example.test", body="text"):
        recipients = to if isinstance(to, list) else [to]
        with smtplib.SMTP("127.0.0.1", self.base + 587, timeout=60) as s:
            s.login(user, "demo-" + user.split("@")[0])
            s.sendmail(user, recipients, "From: %s\r\nTo: %s\r\nSubject: x\r\n\r\n%s\r\n.dot\r\n" % (user, recipients[0], body))

    def deliveries(self):
        c = self.c
        self.domain("plain.test", "good.test", "second.test")
        self.send("ann@plain.test")
        [(sender, to, text)] = self.good.wait(1)[:1] or [("", [], b"")]
        c.same("MX: the best host gets it", to, ["ann@plain.test"])
        c.ok("MX: from whom", sender.startswith("MAIL FROM:<u0@example.test>"), sender)
        c.ok("MX: dots are as they were", text.endswith(b"\r\n\r\ntext\r\n..dot\r\n"), text)
        c.ok("MX: a Received field", b"Received: " in text, text)

        self.zone.set("direct.test", {"A": ["127.0.9.2"]})
        self.send("bob@direct.test")
        c.ok("without MX the domain's own address", "bob@direct.test" in self.second.recipients(1))

        self.domain("dead.test", "nobody-listens.test", "second.test")
        self.zone.set("nobody-listens.test", {"A": ["127.0.9.251"]})
        self.send("cid@dead.test")
        c.ok("a dead primary: the second host", "cid@dead.test" in self.second.recipients(2))

        self.send(["a@far.test", "b@far.test"])
        c.ok("smart host: the one that stands in", {"a@far.test", "b@far.test"} <= set(self.good.recipients(2)))
        c.ok("smart host: DNS is not asked for its domain", not self.zone.questions("far.test"))

        self.send(["a@x.lmtp.test", "c@x.lmtp.test"])
        c.ok("LMTP over a socket", {"a@x.lmtp.test", "c@x.lmtp.test"} <= set(self.lmtp.recipients(1)))

        self.zone.set("alias.test", {"CNAME": "plain.test"})
        self.send("dan@alias.test")
        c.ok("an alias", "dan@alias.test" in self.good.recipients(3))

        self.zone.set("cut.test", {"MX": [(10, "good.test")], "cut": True})
        self.send("eve@cut.test")
        c.ok("DNS by TCP", "eve@cut.test" in self.good.recipients(4))

    def later(self):
        c = self.c
        self.zone.set("broken.test", "SERVFAIL")
        self.send("ann@broken.test")
        deadline = time.monotonic() + WAIT
        while not self.zone.questions("broken.test") and time.monotonic() < deadline:
            time.sleep(0.01)
        self.zone.set("broken.test", {"MX": [(10, "good.test")]})
        c.ok("SERVFAIL is no bounce: it goes when DNS works again", "ann@broken.test" in self.good.recipients(5))

        answers = iter(["450 4.2.0 come back later"])
        grey = self.peer("grey", says={"RCPT": lambda line: next(answers, None)})
        self.domain("grey.test2", "grey.test")
        self.send("ann@grey.test2")
        c.ok("greylisting: the second time", "ann@grey.test2" in grey.recipients(1))

        hung = iter([""])
        closing = self.peer("closing", says={"MAIL": lambda line: next(hung, None)})
        self.domain("closing.test2", "closing.test")
        self.send("ann@closing.test2")
        c.ok("a connection that breaks: the second time", "ann@closing.test2" in closing.recipients(1))

    def tls(self):
        c = self.c
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(self.server.folder, "data", "certificate.pem"), os.path.join(self.server.folder, "data", "key.pem"))
        secure = self.peer("secure", tls=context)
        self.domain("secure.test2", "secure.test")
        self.send("ann@secure.test2")
        c.ok("TLS where it is offered, whoever that is", "ann@secure.test2" in secure.recipients(1) and secure.secured == 1)

        broken = self.peer("broken", says={"STARTTLS": "220 go on\r\nthis is no TLS"}, tls=context)
        self.domain("broken.test2", "broken.test")
        self.zone.set("broken.test", {"A": ["127.0.9.%d" % self.number]})
        self.send("ann@broken.test2")
        c.ok("broken TLS is no worse than none", "ann@broken.test2" in broken.recipients(1))

        self.domain("strict.test", "good.test", "secure.test")
        self.send("ann@strict.test")
        c.ok("a route that demands TLS: the host that has it", "ann@strict.test" in secure.recipients(2))
        c.ok("a route that demands TLS: not the other", "ann@strict.test" not in self.good.recipients(0))

    def signed(self, name, host, key_hash, **how):
        """A domain in a signed zone whose host has a TLSA record for that key."""
        peer = self.peer(host, **how)
        self.zone.set(name, {"MX": [(10, host + ".test")], "secure": True})
        self.zone.set(host + ".test", {"A": ["127.0.9.%d" % self.number], "secure": True})
        self.zone.set("_%d._tcp.%s.test" % (self.port, host), {"TLSA": [(3, 1, 1, key_hash)], "secure": True})
        return peer

    def dane(self):
        c = self.c
        files = [os.path.join(self.server.folder, "data", name) for name in ("certificate.pem", "key.pem")]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        key = subprocess.run(["openssl", "pkey", "-in", files[1], "-pubout", "-outform", "der"], check=True, capture_output=True).stdout
        right, wrong = hashlib.sha256(key).hexdigest(), hashlib.sha256(b"another").hexdigest()

        peer = self.signed("dane.test2", "dane", right, tls=context)
        self.send("ann@dane.test2")
        c.ok("DANE: the certificate is the one of the TLSA record", "ann@dane.test2" in peer.recipients(1) and peer.secured == 1)
        liar = self.signed("liar.test2", "liar", wrong, tls=context)
        plain = self.signed("clear.test2", "clear", right)
        self.send("ann@liar.test2")
        self.send("ann@clear.test2")
        for name, other in (("another certificate", liar), ("no TLS", plain)):
            deadline = time.monotonic() + WAIT
            while other.sessions < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            c.ok("DANE: %s: tried again" % name, other.sessions >= 2)
            c.ok("DANE: %s: and not delivered" % name, other.messages == [] and not any("MAIL" in line for line in other.seen))
        self.zone.set("_%d._tcp.liar.test" % self.port, {"TLSA": [(3, 1, 1, right)], "secure": True})
        c.ok("DANE: when the record is right it goes", "ann@liar.test2" in liar.recipients(1))

        forged = self.signed("unsigned.test2", "unsigned", wrong, tls=context)
        self.zone.set("unsigned.test2", {"MX": [(10, "unsigned.test")]})
        self.send("ann@unsigned.test2")
        c.ok("DANE: not where the MX record is not signed", "ann@unsigned.test2" in forged.recipients(1))

    def bounced(self, name, user, status, *words):
        m = self.c.messages(user, count=1, empty=True)
        text = m[0].decode() if m else ""
        self.c.ok(name + ": a notification", "multipart/report" in text, text)
        self.c.ok(name + ": " + status, "Status: " + status in text, text)
        for word in words:
            self.c.ok("%s: says %r" % (name, word), word in " ".join(text.split()), text)

    def bounces(self):
        c = self.c
        base, c.base = c.base, self.base
        try:
            self.zone.set("null.test", {"MX": [(0, ".")]})
            self.send("ann@null.test", "u1@example.test")
            self.bounced("null MX", "u1@example.test", "5.1.10", "ann@null.test")
            self.send("ann@nowhere.test", "u1@example.test")
            self.bounced("no such domain", "u1@example.test", "5.1.2", "ann@nowhere.test")
            self.domain("loop.test", "localhost", "good.test")
            self.zone.set("localhost", {"A": ["127.0.0.1"]})
            self.send("ann@loop.test", "u1@example.test")
            self.bounced("a loop", "u1@example.test", "5.4.6", "ann@loop.test")
            refuses = self.peer("refuses", says={"RCPT": "550 5.1.1 there is nobody of that name"})
            self.domain("refuses.test2", "refuses.test", "good.test")
            self.send("ann@refuses.test2", "u1@example.test")
            self.bounced("refused", "u1@example.test", "5.1.1", "ann@refuses.test2", "there is nobody of that name")
            c.ok("refused: no other host is asked", "ann@refuses.test2" not in self.good.recipients(0) and refuses.sessions == 1)
            self.send(["nobody@x.lmtp.test", "d@x.lmtp.test"], "u1@example.test")
            self.bounced("LMTP: one of two", "u1@example.test", "5.1.1", "nobody@x.lmtp.test")
            c.ok("LMTP: the other", "d@x.lmtp.test" in self.lmtp.recipients(2))
            self.send("ann@closed.test", "u1@example.test")
            self.bounced("a route that rejects", "u1@example.test", "5.7.1", "we do not write there")
        finally:
            c.base = base
