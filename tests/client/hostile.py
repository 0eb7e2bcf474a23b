"""IMAP input that means harm: it is refused in words or the connection ends, memory stays small, others go on.

A million parentheses, a set of ten million elements, a line that never ends, clients that say a byte at a time and
clients that never read.  Memory is the mail process's, with room for what sanitizers add.
"""

import os
import random
import socket

from demo import Demo, message

MEMORY_MB = 64  # of growth; the hostile input is several times as much
STEP = 65536


def run(c):
    options = os.environ.get("ASAN_OPTIONS")
    os.environ["ASAN_OPTIONS"] = (options + ":" if options else "") + "quarantine_size_mb=4"  # what is freed is free
    try:
        with Demo(c.server.program, None) as server:
            own, c.base = c.base, server.base
            try:
                harm(c, server)
            finally:
                c.base = own
    finally:
        if options is None:
            del os.environ["ASAN_OPTIONS"]
        else:
            os.environ["ASAN_OPTIONS"] = options


def harm(c, server):
    user = c.users[0]
    fill(c, user)
    mail = mail_role(server)
    before = resident_mb(mail)
    others = c.imap(c.users[1], "INBOX")
    c.ok("a million parentheses", refused(c, user, b"x SEARCH " + b"(" * 1000000 + b"ALL" + b")" * 1000000 + b"\r\n"))
    c.ok("a set of ten million elements", refused(c, user, b"x FETCH " + b",".join(
        b"%d" % (2 * n + 1) for n in range(10000000)) + b" FLAGS\r\n"))
    c.ok("the same as a literal", refused(c, user, b"x SEARCH UID {20000000+}\r\n" + b"1," * 10000000 + b" ALL\r\n"))
    c.ok("a line of 50 MB without end", refused(c, user, b"x" * 50000000))
    c.ok("parentheses in FETCH, STORE, LIST, APPEND", all(refused(c, user, b"x " + what + b"(" * 100000 + b"\r\n") for what in (
        b"FETCH 1 ", b"STORE 1 FLAGS ", b"LIST ", b"APPEND INBOX ", b"NOTIFY SET ", b"GETMETADATA ", b"THREAD REFS UTF-8 ")))
    slow_writers(c, others)
    slow_readers(c, user, others)
    c.ok("others go on", others.noop()[0] == "OK" and others.search(None, "ALL")[0] == "OK")
    grown = resident_mb(mail) - before
    c.ok("memory stays small", grown < MEMORY_MB, "%d MB more" % grown)


def fill(c, user):
    """20 MB to be read, of noise that shrinks little."""
    m = c.imap(user)
    noise = random.Random(1)
    for _ in range(20):
        m.append("INBOX", None, None, message("much", noise.randbytes(500000).hex()))
    m.logout()


def opened(c, user):
    s = socket.create_connection((c.host, c.port("imap")), timeout=60)
    s.sendall(b"l LOGIN %s %s\r\ns SELECT INBOX\r\n" % (user.encode(), c.password(user).encode()))
    f = s.makefile("rb")
    while not f.readline().startswith(b"s OK"):
        pass
    return s, f


def refused(c, user, text):
    """BAD or NO, then the session goes on; or BYE, or the end of the connection."""
    s, f = opened(c, user)
    try:
        for at in range(0, len(text), STEP):
            s.sendall(text[at:at + STEP])
        s.sendall(b"\r\ny NOOP\r\n")
        line = f.readline()
        while line and not line.startswith((b"x BAD", b"x NO", b"* BAD", b"* BYE")):
            if line.startswith((b"x OK", b"y ")):
                return False
            line = f.readline()
    except (BrokenPipeError, ConnectionResetError):
        return True  # it did not listen to the end
    finally:
        f.close()
        s.close()
    return True


def slow_writers(c, others):
    """Half a command each, byte by byte and never finished."""
    waiting = []
    for n in range(200):
        s = socket.create_connection((c.host, c.port("imap")), timeout=60)
        s.recv(1000)
        waiting.append(s)
    for byte in b"a LOGIN u1@exa":
        for s in waiting:
            s.sendall(bytes([byte]))
    c.ok("while 200 others are in the middle of a command", others.noop()[0] == "OK")
    for s in waiting:
        s.close()


def slow_readers(c, user, others):
    """Each asks for 20 MB and reads none of it."""
    waiting = []
    for _ in range(50):
        s, f = opened(c, user)
        s.sendall(b"x FETCH 1:* BODY.PEEK[]\r\n" * 5)
        waiting.append((s, f))
    c.ok("while 50 others do not read", all(others.noop()[0] == "OK" for _ in range(100)))
    for s, f in waiting[1:]:
        f.close()
        s.close()
    s, f = waiting[0]
    got = 0
    while got < 5:
        line = f.readline()
        assert line, "the connection ended"
        got += line.startswith(b"x OK")
    c.ok("who reads late gets it all", got == 5)
    f.close()
    s.close()


def mail_role(server):
    for pid in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                words = file.read().split(b"\0")
            with open("/proc/%s/status" % pid) as file:
                parent = int(next(line for line in file if line.startswith("PPid:")).split()[1])
        except (OSError, ValueError):
            continue
        if words[1:3] == [b"--role", b"mail"] and parent == server.process.pid:
            return pid
    raise AssertionError("no mail role")


def resident_mb(pid):
    with open("/proc/%s/status" % pid) as file:
        return int(next(line for line in file if line.startswith("VmRSS:")).split()[1]) / 1024
