"""SCRAM by hashlib (also bound to the TLS channel), by msmtp, by imaplib and smtplib."""

import base64
import hashlib
import hmac
import imaplib
import os
import re
import secrets
import subprocess

from demo import Configured, message


def run(c):
    ann, bob, _ = c.users
    imap_scram(c, ann)
    smtp_scram(c, ann)
    bound(c, ann)
    msmtp(c, ann, bob)


class Scram:
    """The client's side of RFC 5802 with SHA-256."""

    def __init__(self, user, password, binding=None, flag="n"):
        self.password, self.binding = password.encode(), binding
        self.gs2 = "p=tls-exporter,," if binding is not None else flag + ",,"
        self.bare = "n=%s,r=%s" % (user.replace("=", "=3D").replace(",", "=2C"), secrets.token_hex(12))
        self.server_is_right = False

    def first(self):
        return (self.gs2 + self.bare).encode()

    def final(self, server_first):
        given = dict(part.split("=", 1) for part in server_first.decode().split(","))
        self.salt, self.iterations = base64.b64decode(given["s"]), int(given["i"])
        salted = hashlib.pbkdf2_hmac("sha256", self.password, self.salt, self.iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        bound = base64.b64encode(self.gs2.encode() + (self.binding or b"")).decode()
        without_proof = "c=%s,r=%s" % (bound, given["r"])
        message = ",".join([self.bare, server_first.decode(), without_proof]).encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        self.expected = b"v=" + base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256"))
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()
        return ("%s,p=%s" % (without_proof, proof)).encode()

    def step(self, challenge):
        if challenge == b"":
            return self.first()
        if challenge.startswith(b"r="):
            return self.final(challenge)
        self.server_is_right = challenge == self.expected
        return b""


# ---- without binding ----


def imap_scram(c, user):
    m = imaplib.IMAP4_SSL(c.host, c.port("imaps"), ssl_context=c.tls(), timeout=60)
    words = m.capabilities
    c.ok("imaplib: offered, the strongest first", "AUTH=SCRAM-SHA-256-PLUS" not in words and "AUTH=SCRAM-SHA-256" in words and
         words.index("AUTH=SCRAM-SHA-256") < words.index("AUTH=PLAIN"), words)
    wrong = Scram(user, "wrong")
    try:
        m.authenticate("SCRAM-SHA-256", wrong.step)
        c.ok("imaplib: wrong password", False)
    except imaplib.IMAP4.error as refusal:
        c.ok("imaplib: wrong password", "AUTHENTICATIONFAILED" in str(refusal), refusal)
    scram = Scram(user, c.password(user))
    c.same("imaplib: signs in", m.authenticate("SCRAM-SHA-256", scram.step)[0], "OK")
    c.ok("imaplib: the server proves itself", scram.server_is_right)
    m.logout()
    m = imaplib.IMAP4(c.host, c.port("imap"), timeout=60)
    c.ok("imaplib: no -PLUS without TLS", "AUTH=SCRAM-SHA-256-PLUS" not in m.capabilities, m.capabilities)
    scram = Scram(user, c.password(user), flag="y")
    c.same("imaplib: where it could not have bound", m.authenticate("SCRAM-SHA-256", scram.step)[0], "OK")
    m.logout()


def smtp_scram(c, user):
    with c.smtp("submissions") as s:
        s.ehlo()
        c.ok("smtplib: offered", " SCRAM-SHA-256 " in s.esmtp_features["auth"], s.esmtp_features)
        scram = Scram(user, c.password(user))
        status, said = s.docmd("AUTH", "SCRAM-SHA-256 " + base64.b64encode(scram.first()).decode())
        while status == 334:
            status, said = s.docmd(base64.b64encode(scram.step(base64.b64decode(said))).decode())
        c.same("smtplib: signs in", (status, scram.server_is_right), (235, True))


# ---- bound to the channel ----


class Tls:
    """openssl s_client, which tells what Python's ssl does not: the exporter's value."""

    def __init__(self, c, protocol, *words):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", "%s:%d" % (c.host, c.port(protocol)), "-ign_eof", "-keymatexport",
             "EXPORTER-Channel-Binding", "-keymatexportlen", "32", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.said = b""

    def until(self, pattern):
        """Reads until the pattern is there, and gives the match."""
        while True:
            found = re.search(pattern, self.said, re.M)
            if found:
                self.said = self.said[found.end():]
                return found
            more = os.read(self.process.stdout.fileno(), 65536)
            if not more:
                raise EOFError("no %r in %r" % (pattern, self.said[-2000:]))
            self.said += more

    def send(self, line):
        self.process.stdin.write(line + b"\r\n")
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def bound(c, user):
    """Where -PLUS is offered, which is not so by itself."""
    if not c.has("openssl"):
        return
    settings = '    mechanisms = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"\n'
    with Configured(c.server.program, "auth", settings) as server:
        own, c.base = c.base, server.base
        try:
            bound_there(c, user)
            downgraded(c, user)
        finally:
            c.base = own


def downgraded(c, user):
    with imaplib.IMAP4_SSL(c.host, c.port("imaps"), ssl_context=c.tls(), timeout=60) as m:
        cheated = Scram(user, c.password(user), flag="y")
        try:
            m.authenticate("SCRAM-SHA-256", cheated.step)
            c.ok("imaplib: the offer of -PLUS was taken out on the way", False)
        except imaplib.IMAP4.error as refusal:
            c.ok("imaplib: the offer of -PLUS was taken out on the way", "NO" in str(refusal) or "CANNOT" in str(refusal), refusal)


def bound_there(c, user):
    for name, words, twist, want in (
            ("bound", [], lambda b: b, b"a OK"),
            ("bound to another channel", [], lambda b: bytes(32), b"a NO"),
            ("bound with TLS 1.2", ["-tls1_2"], lambda b: b, b"a NO")):
        tls = Tls(c, "imaps", *words)
        try:
            binding = bytes.fromhex(tls.until(rb"Keying material: ([0-9A-F]{64})").group(1).decode())
            greeting = tls.until(rb"^\* OK (.*)\r\n").group(1)
            c.same("openssl: %s: offered" % name, b"AUTH=SCRAM-SHA-256-PLUS" in greeting, not words)
            scram = Scram(user, c.password(user), twist(binding))
            tls.send(b"a AUTHENTICATE SCRAM-SHA-256-PLUS " + base64.b64encode(scram.first()))
            said = tls.until(rb"^(\+ |a OK|a NO|a BAD)(.*)\r\n")
            while said.group(1) == b"+ ":
                tls.send(base64.b64encode(scram.step(base64.b64decode(said.group(2)))))
                said = tls.until(rb"^(\+ |a OK|a NO|a BAD)(.*)\r\n")
            c.same("openssl: " + name, said.group(1), want)
        finally:
            tls.close()


# ---- msmtp ----


def msmtp(c, ann, bob):
    if not c.has("msmtp"):
        return
    for tls, port in (("on", "submission"), ("off", "submissions")):
        subject = "SCRAM, STARTTLS " + tls
        status, said = c.command(
            ["msmtp", "--host=" + c.host, "--port=%d" % c.port(port), "--user=" + ann, "--tls=on", "--tls-starttls=" + tls,
             "--tls-certcheck=off", "--auth=scram-sha-256", "--passwordeval=echo " + c.password(ann), "--from=" + ann,
             "--", bob], stdin=message(subject, From=ann).replace(b"\r\n", b"\n"))
        c.ok("msmtp: " + subject, status == 0, said)
    c.same("msmtp: both arrive", len(c.messages(bob, count=2)), 2)
