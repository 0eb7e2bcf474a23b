"""IMAP over COMPRESS=DEFLATE, with TLS and without: imaplib with zlib beneath."""

import imaplib
import zlib

from demo import message


def run(c):
    ann, bob, _ = c.users
    for n in range(3):
        c.deliver(ann, message("number %d" % n, "line\r\n" * 3000))
    c.messages(ann, count=3)
    for tls in (False, True):
        session(c, ann, tls)
    idle(c, bob)


class Deflated:
    """A socket's file, both ways through zlib."""

    def __init__(self, sock):
        self.sock, self.have = sock, b""
        self.packer, self.unpacker = zlib.compressobj(6, zlib.DEFLATED, -15), zlib.decompressobj(-15)

    def sendall(self, data):
        self.sock.sendall(self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH))

    def more(self):
        got = self.sock.recv(4096)
        if not got:
            raise EOFError("closed")
        self.have += self.unpacker.decompress(got)

    def read(self, size):
        while len(self.have) < size:
            self.more()
        data, self.have = self.have[:size], self.have[size:]
        return data

    def readline(self):
        while b"\n" not in self.have:
            self.more()
        return self.read(self.have.index(b"\n") + 1)


def compress(m):
    imaplib.Commands["COMPRESS"] = ("AUTH", "SELECTED")
    status = m._simple_command("COMPRESS", "DEFLATE")[0]
    layer = Deflated(m.sock)
    m.send, m.read, m.readline = layer.sendall, layer.read, layer.readline
    return status


def session(c, user, tls):
    kind = "TLS" if tls else "no TLS"
    m = c.imap(user, tls=tls)
    plain = c.imap(user, "INBOX")
    c.same("%s: asked" % kind, compress(m), "OK")
    c.same("%s: select" % kind, m.select("INBOX"), ("OK", [b"3"]))
    want, got = plain.fetch("1:3", "(UID BODY.PEEK[])"), m.fetch("1:3", "(UID BODY.PEEK[])")
    c.same("%s: bodies are whole" % kind, got, want)
    c.same("%s: a part of one" % kind, m.fetch("2", "(BODY.PEEK[]<100.5000>)"), plain.fetch("2", "(BODY.PEEK[]<100.5000>)"))
    big = message("big", "z" * 70 + "\r\n" + "0123456789\r\n" * 100000)
    c.same("%s: append" % kind, m.append("Drafts", None, None, big)[0], "OK")
    m.select("Drafts", readonly=True)
    c.same("%s: what was appended" % kind, m.fetch("*", "(BODY.PEEK[])")[1][0][1], big)
    status = refused(m, "COMPRESS", "DEFLATE")
    c.ok("%s: not twice" % kind, "COMPRESSIONACTIVE" in status, status)
    words = m.capability()[1][-1].decode()
    c.ok("%s: not offered any more" % kind, "COMPRESS" not in words and "UNAUTHENTICATE" not in words, words)
    m.select("Drafts")
    m.store("1:*", "+FLAGS.SILENT", r"\Deleted")
    m.expunge()
    c.same("%s: logout" % kind, m.logout()[0], "BYE")
    plain.logout()


def refused(m, *words):
    try:
        m._simple_command(*words)
        return "taken"
    except imaplib.IMAP4.error as refusal:
        return str(refusal)


def idle(c, user):
    """Parked, and woken by somebody else's mail."""
    m = c.imap(user, "INBOX")
    compress(m)
    m.send(b"i IDLE\r\n")
    c.ok("idle: invited", m.readline().startswith(b"+ "))
    c.deliver(user, message("while idle"))
    c.same("idle: told", m.readline(), b"* 1 EXISTS\r\n")
    m.send(b"DONE\r\n")
    while not (line := m.readline()).startswith(b"i "):
        pass
    c.ok("idle: done", line.startswith(b"i OK"), line)
    m.send(b"x LOGOUT\r\n")
    m.sock.close()
