#!/usr/bin/python3
"""Passwords that were used: after a login no process has them in its memory any more.

    wiped.py [POSTHORN] [--port-base BASE] [--keep]

Signs in by every protocol and mechanism, right and wrong, whole and in pieces, with TLS and without, each time with a
password of its own; then reads the memory of every role through /proc/PID/mem and looks for pieces of the passwords, as they are
and in base64.  Looks for the certificate's private key and for password hashes too: only `auth` may have them.  Needs
the right to read other processes' memory (root); says so and skips without.
"""

import argparse
import base64
import os
import re
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

from post import PROGRAM, Server, adopt_orphans, free_port_base, remove_folder  # noqa: E402

ROLES = ("mail", "queue", "auth", "content", "fetch", "resolver")
passed = failed = 0


def check(what, good, told=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print("not so: %s %s" % (what, told))


# ---- a client ----


class Client:
    """A connection that can be given its bytes in pieces."""

    def __init__(self, port, tls=False, starttls=None):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        if tls:
            self.start_tls()
        self.line()
        if starttls is not None:
            command, answer = starttls
            self.ask(command, answer)
            self.start_tls()

    def start_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock)

    def line(self):
        while b"\n" not in self.rest:
            more = self.sock.recv(65536)
            if not more:
                raise AssertionError("closed after %r" % self.rest)
            self.rest += more
        line, _, self.rest = self.rest.partition(b"\n")
        return line.rstrip(b"\r")

    def until(self, want):
        """Lines up to one that begins with one of these."""
        while True:
            line = self.line()
            if line.startswith(want):
                return line

    def send(self, data, pieces=False):
        if not pieces:
            self.sock.sendall(data)
            return
        for i in range(0, len(data), 7):
            self.sock.sendall(data[i:i + 7])

    def ask(self, text, want, pieces=False):
        self.send(text + b"\r\n", pieces)
        return self.until(want)


def b64(text):
    return base64.b64encode(text)


def plain(user, password):
    return b64(b"\0" + user + b"\0" + password)


# ---- ways to sign in: each is called with a connection, a name and a password ----

END = (b"235", b"535", b"454", b"501", b"504", b"503")  # of an AUTH


def smtp_plain(c, user, password, pieces):
    c.ask(b"EHLO x", (b"250 ",))
    return c.ask(b"AUTH PLAIN " + plain(user, password), END, pieces)


def smtp_plain_asked(c, user, password, pieces):
    c.ask(b"EHLO x", (b"250 ",))
    c.ask(b"AUTH PLAIN", (b"334",))
    return c.ask(plain(user, password), END, pieces)


def smtp_login(c, user, password, pieces):
    c.ask(b"EHLO x", (b"250 ",))
    c.ask(b"AUTH LOGIN", (b"334",))
    c.ask(b64(user), (b"334",))
    return c.ask(b64(password), END, pieces)


def smtp_xoauth2(c, user, password, pieces):
    c.ask(b"EHLO x", (b"250 ",))
    return c.ask(b"AUTH XOAUTH2 " + b64(b"user=" + user + b"\1auth=Bearer " + password + b"\1\1"), END, pieces)


IMAP_END = (b"a OK", b"a NO", b"a BAD")


def imap_login(c, user, password, pieces):
    return c.ask(b'a LOGIN "%s" "%s"' % (user, password), IMAP_END, pieces)


def imap_login_pipelined(c, user, password, pieces):
    c.send(b'a LOGIN %s %s\r\nb NOOP\r\n' % (user, password), pieces)
    said = c.until(IMAP_END)
    c.until((b"b OK", b"b NO", b"b BAD"))
    return said


def imap_login_much_behind(c, user, password, pieces):
    """So much that its buffer is not given back when the login waits."""
    c.send(b'a LOGIN %s %s\r\n' % (user, password) + b"b NOOP\r\n" * 1500 + b"c NOOP\r\n", pieces)
    said = c.until(IMAP_END)
    c.until((b"c OK", b"c NO", b"c BAD"))
    return said


def imap_literal(c, user, password, pieces):
    c.ask(b"a LOGIN {%d}" % len(user), (b"+",))
    c.ask(user + b" {%d}" % len(password), (b"+",))
    return c.ask(password, IMAP_END, pieces)


def imap_nonsync(c, user, password, pieces):
    return c.ask(b"a LOGIN %s {%d+}\r\n%s" % (user, len(password), password), IMAP_END, pieces)


def imap_plain(c, user, password, pieces):
    c.ask(b"a AUTHENTICATE PLAIN", (b"+",))
    return c.ask(plain(user, password), IMAP_END, pieces)


def imap_plain_initial(c, user, password, pieces):
    return c.ask(b"a AUTHENTICATE PLAIN " + plain(user, password), IMAP_END, pieces)


def imap_sasl_login(c, user, password, pieces):
    c.ask(b"a AUTHENTICATE LOGIN", (b"+",))
    c.ask(b64(user), (b"+",))
    return c.ask(b64(password), IMAP_END, pieces)


POP3_END = (b"+OK", b"-ERR")


def pop3_pass(c, user, password, pieces):
    c.ask(b"USER " + user, (b"+OK",))
    return c.ask(b"PASS " + password, POP3_END, pieces)


def pop3_pipelined(c, user, password, pieces):
    c.send(b"USER %s\r\nPASS %s\r\nNOOP\r\n" % (user, password), pieces)
    c.until(POP3_END)
    said = c.until(POP3_END)
    c.until(POP3_END)
    return said


def pop3_plain(c, user, password, pieces):
    c.ask(b"AUTH PLAIN", (b"+",))
    return c.ask(plain(user, password), POP3_END, pieces)


def pop3_plain_initial(c, user, password, pieces):
    return c.ask(b"AUTH PLAIN " + plain(user, password), POP3_END, pieces)


WAYS = [
    (587, 465, [smtp_plain, smtp_plain_asked, smtp_login, smtp_xoauth2]),
    (143, 993, [imap_login, imap_login_pipelined, imap_login_much_behind, imap_literal, imap_nonsync, imap_plain, imap_plain_initial, imap_sasl_login]),
    (110, 995, [pop3_pass, pop3_pipelined, pop3_plain, pop3_plain_initial]),
]
GOOD = (b"235", b"a OK", b"+OK")


# ---- what is looked for ----


def traces(password):
    """Pieces by which it would be known: of itself, and of its base64 at each alignment.  The allocator writes over some bytes."""
    found = {password[i:i + 10] for i in range(0, len(password) - 9, 5)}
    for shift in range(3):
        text = b64(b"x" * shift + password)
        inner = text[4:-4]
        found |= {inner[i:i + 12] for i in range(0, len(inner) - 11, 6)}
    return found


def memory(pid):
    """Its pages, mapping by mapping, but those of files that are not written to."""
    with open("/proc/%d/maps" % pid, encoding="ascii", errors="replace") as maps, open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            span, rights, _, _, _, *name = line.split(None, 5)
            if "r" not in rights or ("w" not in rights and name) or (name and name[0].startswith(("[vvar", "[vsyscall"))):
                continue
            begin, end = (int(n, 16) for n in span.split("-"))
            while begin < end:
                size = min(end - begin, 1 << 24)
                try:
                    mem.seek(begin)
                    yield line.strip(), begin, mem.read(size)
                except (OSError, ValueError):
                    pass
                begin += size


def flags_of(pid, address):
    """VmFlags of the mapping that has this address (proc(5))."""
    inside = False
    with open("/proc/%d/smaps" % pid, encoding="ascii", errors="replace") as smaps:
        for line in smaps:
            span = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
            if span is not None:
                inside = int(span.group(1), 16) <= address < int(span.group(2), 16)
            elif inside and line.startswith("VmFlags:"):
                return set(line.split()[1:])
    return set()


def status_of(pid):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def role_pids(supervisor):
    pids = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/cmdline" % entry, "rb") as f:
                words = f.read().split(b"\0")
            with open("/proc/%s/stat" % entry, encoding="ascii", errors="replace") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == supervisor and words[1:2] == [b"--role"]:
            pids[words[2].decode()] = int(entry)
    return pids


def search(pids, wanted):
    """wanted: {piece: what}.  [(role, what, where)]"""
    pattern = re.compile(b"|".join(re.escape(p) for p in sorted(wanted)))
    found = []
    for role, pid in sorted(pids.items()):
        for mapping, begin, data in memory(pid):
            for hit in pattern.finditer(data):
                around = bytes(data[max(0, hit.start() - 40):hit.end() + 40])
                found.append((role, wanted[hit.group()], "%x in %s: %r" % (begin + hit.start(), mapping, around)))
    return found


def key_pieces(path):
    """The private numbers of the key, big-endian and as OpenSSL's words lie in memory."""
    text = subprocess.run(["openssl", "pkey", "-in", path, "-noout", "-text"], capture_output=True, text=True, check=True).stdout
    hexed = re.search(r"priv:\s*((?:[0-9a-f]{2}:?\s*)+)", text).group(1)
    number = bytes.fromhex(re.sub(r"[^0-9a-f]", "", hexed)).lstrip(b"\0")
    with open(path, encoding="ascii") as f:
        pem = f.read().split("\n")[1].encode()
    return {number[4:20]: "key", number[::-1][4:20]: "key", pem[30:50]: "key's text"}


# ---- the test ----


def set_password(server, account, password):
    done = subprocess.run([server.program, "account", "passwd", account, "--password-stdin", "--config", os.path.join(server.folder, "posthorn.conf")],
                          input=password + b"\n", capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError("account passwd: %r" % (done.stdout + done.stderr))


def sign_in(server, used, stays):
    """By every way; a third of the time with a wrong password; odd ones in pieces."""
    count = good = 0
    for plain_port, tls_port, ways in WAYS:
        for way in ways:
            for tls in (False, True):
                for pieces in (False, True):
                    count += 1
                    right = count % 3 != 0 and way is not smtp_xoauth2
                    user = b"u%d@example.test" % (count % server.accounts)
                    password = used["right", count % server.accounts] if right else secrets.token_hex(16).encode()
                    used["%s%s%s" % (way.__name__, " tls" if tls else "", " pieces" if pieces else ""), count] = password
                    c = Client(server.base + (tls_port if tls else plain_port), tls)
                    said = way(c, user, password, pieces)
                    good += said.startswith(GOOD)
                    check("%s is %s" % (way.__name__, "let in" if right else "refused"), said.startswith(GOOD) == right, said)
                    if count % 2 == 0:
                        stays.append(c)
                    else:
                        c.sock.close()
    return good


def is_found(server, mail):
    """A password of which the end has not come yet must be there: or nothing else here proves anything."""
    password = secrets.token_hex(16).encode()
    c = Client(server.base + 143)
    c.send(b"a LOGIN u0 " + password[:-1])
    Client(server.base + 143).ask(b"x NOOP", (b"x OK",))
    found = search({"mail": mail}, {piece: "half" for piece in traces(password[:-1])})
    c.ask(password[-1:], IMAP_END)
    c.sock.close()
    return found, password


def look_at_key(server, pids):
    """Where it lies; and that nobody but `auth` has it, or a hash."""
    wanted = key_pieces(os.path.join(server.folder, "key.pem"))
    wanted[b"$argon2id$v=19$"] = "a hash"
    found = search(dict(pids, supervisor=server.process.pid), wanted)
    keys = [int(where.split()[0], 16) for role, what, where in found if role == "auth" and what == "key"]
    check("the key is in `auth` (or this looks wrongly)", keys)
    flags = [flags_of(pids["auth"], at) for at in keys]
    check("in memory that is locked and left out of core files", all({"lo", "dd"} <= f for f in flags), flags)
    check("its text is nowhere", not any(what == "key's text" for _, what, _ in found), found[:5])
    elsewhere = [one for one in found if one[0] != "auth"]
    check("keys and hashes are in no other process", not elsewhere, elsewhere[:5])


def look_at_limits(pids):
    """Each role as it shut itself in."""
    for role, pid in pids.items():
        status = status_of(pid)
        check("%s gets no new privileges" % role, status["NoNewPrivs"] == "1", status)
        check("%s has its calls filtered" % role, status["Seccomp"] == "2", status)
        with open("/proc/%d/limits" % pid, encoding="ascii") as f:
            core = re.search(r"Max core file size\s+(\d+)\s+(\d+)", f.read())
        check("%s leaves no core" % role, core is not None and int(core.group(2)) <= 1, core)
    check("all of auth is locked", int(status_of(pids["auth"])["VmLck"].split()[0]) > 1000, status_of(pids["auth"])["VmLck"])


def leave_half(server, used):
    """Clients that go away, or only wait, in the middle of a password."""
    for i, (port, begin) in enumerate([(587, b"EHLO x\r\nAUTH PLAIN "), (143, b"a LOGIN u0 "), (110, b"USER u0\r\nPASS "),
                                       (465, b"EHLO x\r\nAUTH PLAIN "), (993, b"a LOGIN u0 "), (995, b"USER u0\r\nPASS ")]):
        password = secrets.token_hex(16).encode()
        used["left half", i] = password
        c = Client(server.base + port, port > 900 or port == 465)
        c.send(begin)
        c.send(b64(password) if port in (587, 465) else password)
        c.sock.shutdown(socket.SHUT_WR) if port < 400 or port == 587 else None
        c.sock.close()


def start(program, folder, base, accounts):
    server = Server(program, folder, base, accounts, os.path.join(os.path.dirname(folder), "server.log"))
    adopt_orphans()
    with open(server.log_path, "ab") as log:
        server.process = subprocess.Popen(
            [program, "demo", "--dir", folder, "--port-base", str(base), "--accounts", str(accounts)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
    server.wait_ready()
    return server


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?", default=PROGRAM)
    parser.add_argument("--port-base", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="leave its folder")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("skipped: only root may read the memory of `auth`")
        print("0 passed, 0 failed")
        return 0
    folder = tempfile.mkdtemp(prefix="posthorn-wiped-")
    server = start(args.program, os.path.join(folder, "data"), args.port_base or free_port_base(), 4)
    used, stays = {}, []
    try:
        for i in range(server.accounts):
            used["right", i] = secrets.token_hex(16).encode()
            set_password(server, "u%d@example.test" % i, used["right", i])
        good = sign_in(server, used, stays)
        check("most were let in", good > 30, good)
        leave_half(server, used)
        pids = role_pids(server.process.pid)
        check("all roles are there", set(pids) == set(ROLES), pids)
        half, used["half, then whole", 0] = is_found(server, pids["mail"])
        check("a password that is still coming is found", half)
        wanted = {piece: way for way, password in used.items() for piece in traces(password)}
        found = search(dict(pids, supervisor=server.process.pid), wanted)
        check("no process has a password that was used", not found, "%d times" % len(found))
        for one in found[:40]:
            print("   ", *one)
        look_at_key(server, pids)
        look_at_limits(pids)
    finally:
        server.stop()
    if not failed and not args.keep:
        remove_folder(folder)
    else:
        print("kept: " + folder)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
