"""posthorn probe: against the demo by every protocol, and against servers that say odd things."""

import json
import socket
import threading

LOCALHOST = "localhost"


def run(c):
    ann, bob, _ = c.users
    smtp(c, ann, bob)
    imap(c, ann)
    odd(c)
    typed(c)


def probe(c, name, where, *words, want=0, stdin=b""):
    status, said = c.command([c.server.program, "probe", where, "--timeout", "5", *words], stdin=stdin)
    said = said.decode(errors="replace")
    c.ok(name, status == want, "status %d\n%s" % (status, said))
    return said


def smtp(c, ann, bob):
    said = probe(c, "SMTP", "%s:%d" % (LOCALHOST, c.port("smtp")), "--from", "x@elsewhere.example", "--to", bob, want=1)
    for words in ("ok      SMTP: 220 ", "PIPELINING ", "commands without waiting", "ok      STARTTLS: 220", "ok      TLS: TLSv1.3",
                  "issuer: ", "not after: ", "FAILED  the certificate is not right for localhost: TLS: the certificate is self-signed",
                  "ok      message: 250 "):
        c.ok("SMTP: " + words, words in said, said)
    c.ok("SMTP: the test message arrives", b"test message" in c.messages(bob, count=1, empty=True)[0])
    said = probe(c, "submission", "127.0.0.1:%d" % c.port("submission"), "--no-tls", "-v", "--user", ann, "--password-stdin",
                 stdin=c.password(ann).encode() + b"\n")
    c.ok("submission: login", "ok      login: 235" in said, said)
    c.ok("submission: the wire, without the password", "    S: 250-" in said and "    C: (not shown)" in said and "AUTH PLAIN" not in said, said)
    said = probe(c, "submissions", "127.0.0.1:%d" % c.port("submissions"), "--tls", "--json", want=1)
    c.ok("submissions: JSON", any(s["step"].startswith("TLS: TLSv1.3") for s in json.loads(said)["steps"]), said)
    said = probe(c, "LMTP", "127.0.0.1:%d" % c.port("lmtp"))
    c.ok("LMTP: guessed", "ok      LHLO: what it offers" in said, said)
    said = probe(c, "wrong password", "127.0.0.1:%d" % c.port("submission"), "--no-tls", "--user", ann, "--password-stdin", want=1,
                 stdin=b"wrong\n")
    c.ok("wrong password: said", "FAILED  login: 535" in said, said)
    said = probe(c, "refused recipient", "127.0.0.1:%d" % c.port("smtp"), "--no-tls", "--from", "x@elsewhere.example", "--to",
                 "nosuch@example.test", want=1)
    c.ok("refused recipient: said", "FAILED  recipient: 550 5.1.1" in said, said)


def imap(c, ann):
    said = probe(c, "IMAP", "127.0.0.1:%d" % c.port("imap"), "--no-tls", "--user", ann, "--password-stdin",
                 stdin=c.password(ann).encode() + b"\n")
    for words in ("ok      IMAP: * OK", "IMAP4rev2 ", "ok      login: OK", 'ok      STATUS "INBOX" (MESSAGES ', "ok      LOGOUT: OK"):
        c.ok("IMAP: " + words, words in said, said)
    said = probe(c, "IMAPS", "127.0.0.1:%d" % c.port("imaps"), "--tls", want=1)
    c.ok("IMAPS: TLS comes first", said.index("ok      TLS: ") < said.index("ok      IMAP: "), said)


# ---- servers of our own: each line is sent when the one before was answered ----


def serve(replies):
    listening = socket.create_server(("127.0.0.1", 0))

    def talk():
        connection, _ = listening.accept()
        with connection, listening:
            try:
                for reply in replies:
                    connection.sendall(reply)
                    if not connection.recv(4096):
                        return
            except ConnectionError:  # it had enough of us
                pass

    threading.Thread(target=talk, daemon=True).start()
    return "127.0.0.1:%d" % listening.getsockname()[1]


def odd(c):
    said = probe(c, "POP3", serve([b"+OK ready\r\n", b"+OK\r\nTOP\r\nUIDL\r\nSASL PLAIN\r\n.\r\n", b"+OK\r\n", b"+OK 3 messages\r\n",
                                   b"+OK 3 900\r\n", b"+OK bye\r\n"]), "--user", "ann", "--password-stdin", stdin=b"secret\n")
    c.ok("POP3: explained", "UIDL " in said and "lasting ids of messages" in said and "ok      mailbox: +OK 3 900" in said, said)
    c.ok("POP3: no password is shown", "secret" not in said, said)
    said = probe(c, "control characters", serve([b"220 \x1b[31mred\x07\r\n", b"250 ok\r\n", b"221 bye\r\n"]))
    c.ok("control characters: none are passed on", "\x1b" not in said and "\x07" not in said and "?[31mred?" in said, repr(said))
    said = probe(c, "STARTTLS is not offered", serve([b"220 x\r\n", b"250 x\r\n", b"221 bye\r\n"]), "--starttls", want=1)
    c.ok("STARTTLS is not offered: said", "FAILED  STARTTLS is not offered" in said, said)
    said = probe(c, "more before TLS", serve([b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n"]), want=1)
    c.ok("more before TLS: said", "FAILED  the server sent more before TLS began" in said, said)
    said = probe(c, "closed at once", serve([b""]), want=1)
    said = probe(c, "an endless line", serve([b"220 " + b"x" * 70000]), want=1)
    c.ok("an endless line: said", "FAILED  a line of more than" in said, said[:300])
    said = probe(c, "refuses", serve([b"554 go away\r\n"]), want=1)
    c.ok("refuses: said", "FAILED  SMTP: 554 go away" in said, said)


def typed(c):
    probe(c, "nobody listens", "127.0.0.1:1", want=1)
    for bad in ("127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:x", ":25", "[::1", ""):
        probe(c, "not host:port: " + bad, bad, want=2)
    probe(c, "--from alone", "127.0.0.1:1", "--from", "a@b.example", want=2)
    probe(c, "a line end in an address", "127.0.0.1:1", "--from", "a@b.example>\r\nRSET", "--to", "c@d.example", want=2)
