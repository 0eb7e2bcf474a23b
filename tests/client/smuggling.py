"""SMTP smuggling: every way known of ending a message that one server sees and another does not, in and out.

In: whatever stands where the end of a message might be, a message is one message, what follows is never a command unless
the end was CRLF dot CRLF, and what is kept is what was sent.  Out: whatever was taken in, what another server is sent can be
read in one way only, however leniently: every line ends in CRLF, no line is a dot alone, no byte is NUL.
"""

import itertools
import os
import re
import socket
import threading
import time

from outbound import Sending, free_port

TRIES = 60
# What some server takes, or has taken, for the end of a line (CVE-2023-51764, -51765, -51766 and those before and after).
ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r", b"\n\n", b"\r\r", b"\0\r\n", b"\r\0\n", b"\r\n\0", b"\0", b"\x0b", b"\x0c",
        b"\x1a", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\x0d\x8a", b"\x8d\x0a", b" \r\n", b"\r \n", b"\t\n", b"\x1c\r\n", b""]
DOTS = [b".", b"..", b". ", b"\0.", b".\0", b" .", b".\x08", b"\xe2\x80\xa4", b"."]
FORGED = b"MAIL FROM:<forged@example.net>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n"


def run(c):
    ann, bob, _ = c.users
    inbound(c, ann, bob)
    splits(c, ann, bob)
    chunks(c, ann, bob)
    commands(c, bob)
    outbound(c)


# ---- in ----


class Talk:
    def __init__(self, c, protocol="smtp", hello=b"EHLO client.example\r\n"):
        self.socket = socket.create_connection((c.host, c.port(protocol)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.reply()
        self.send(hello)
        self.reply()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # it has hung up, which is an answer

    def reply(self):
        """A reply's code, "" at the end of the connection."""
        while True:
            try:
                line = self.file.readline()
            except OSError:
                return ""
            if line[3:4] != b"-":
                return line[:3].decode()

    def ask(self, *lines):
        for line in lines:
            self.send(line + b"\r\n")
        return [self.reply() for _ in lines]

    def rest(self, quit=b"QUIT\r\n"):
        """All codes to come, QUIT being said."""
        self.send(quit)
        codes = []
        while True:
            code = self.reply()
            if code == "":
                self.close()
                return codes
            codes.append(code)

    def close(self):
        self.file.close()
        self.socket.close()


def begun(c, to, protocol="smtp"):
    talk = Talk(c, protocol, b"LHLO client.example\r\n" if protocol == "lmtp" else b"EHLO client.example\r\n")
    assert talk.ask(b"MAIL FROM:<ann@example.net>", b"RCPT TO:<%s>" % to, b"DATA") == ["250", "250", "354"]
    return talk


def lines_of(data):
    """The messages that a strict reader finds in what followed 354: the text of the first, and what comes behind it."""
    at = 0 if data.startswith(b".\r\n") else data.find(b"\r\n.\r\n")
    if data.startswith(b".\r\n"):
        return b"", data[3:]
    text, rest = data[:at + 2], data[at + 5:]
    return re.sub(rb"(^|(?<=\r\n))\.", b"", text), rest


def inbound(c, ann, bob):
    """Every end in front of a dot and behind it, and more than one sort of dot between."""
    victim = bob.encode()
    wanted, wrong, tried, true_ends = [], [], 0, 0
    cases = sorted(set(itertools.product(ENDS, DOTS, ENDS)))
    often = [case for case in cases if case[1] == b"." and case[0] in ENDS[:12] and case[2] in ENDS[:12]]  # the known ones, all
    c.random.shuffle(cases)
    for number, (before, dot, behind) in enumerate(often + cases[:500]):
        mark = b"case %d" % number
        data = b"Subject: %s\r\n\r\nfirst" % mark + before + dot + behind + FORGED % victim + b"NOOP\r\n"
        text, rest = lines_of(data)
        clean = re.sub(rb"\r\n", b"", text)
        bare = b"\r" in clean or b"\n" in clean
        talk = begun(c, ann.encode(), "lmtp" if number % 5 == 4 else "smtp")
        talk.send(data)
        got = talk.rest()
        if bare:
            want = ["550"]  # and the end: nobody knows where this message ended elsewhere
        else:
            want = ["550" if b"\0" in text else "250"]
            if b"\0" not in text:
                wanted.append(text)
            if rest.startswith(b"MAIL"):  # it was the true end
                want += ["250", "250", "354", "250"]
                true_ends += 1
            elif rest != b"NOOP\r\n":  # so was this, but what comes behind it is no command
                want += ["500", "503", "503", "500", "500", "500", "500"]
            want += ["250", "221"]
        if got != want:
            wrong.append((before, dot, behind, got, want))
        tried += 1
    c.ok("in: what an end is, of %d" % tried, wrong == [], wrong[:5])
    bodies = sorted(whole[whole.index(b"Subject: case"):] for whole in c.messages(ann, count=len(wanted), empty=True))
    c.same("in: what is kept is what was sent", bodies, sorted(wanted))
    forged = c.messages(bob, count=true_ends, empty=True)
    c.ok("in: the control: behind a true end commands are commands", true_ends > 0 and len(forged) == true_ends, (true_ends, len(forged)))


def unread(port, peer):
    """Bytes that the server's side of that connection has not read yet."""
    with open("/proc/net/tcp") as table:
        for line in table:
            words = line.split()
            if words[1].endswith(":%04X" % port) and words[2].endswith(":%04X" % peer):
                return int(words[4].split(":")[1], 16)
    return 0


def settle(c, talk):
    port, peer = c.port("smtp"), talk.socket.getsockname()[1]
    deadline = time.monotonic() + 10
    while unread(port, peer) > 0 and time.monotonic() < deadline:
        pass


def splits(c, ann, bob):
    """The stream is cut in two at every byte, each half read by itself."""
    wrong, kept, tried = [], 0, 0
    for before, behind in ((b"\r\n", b"\r\n"), (b"\n", b"\n"), (b"\r", b"\r\n"), (b"\r\n", b"\n"), (b"\r\n", b"\r\r\n"), (b"\n", b"\r\n")):
        true = before == behind == b"\r\n"
        data = b"Subject: s\r\n\r\n..a\r\n.b" + before + b"." + behind + b"NOOP\r\n" + b"\r\n.\r\n"
        for at in range(12, len(data)):
            talk = begun(c, ann.encode())
            talk.send(data[:at])
            settle(c, talk)
            talk.send(data[at:])
            got = talk.rest()
            want = ["250", "250", "500", "500", "221"] if true else ["550"]
            kept += true
            tried += 1
            if got != want:
                wrong.append((before, behind, at, got, want))
    talk = begun(c, ann.encode())
    for byte in b"Subject: s\r\n\r\n..a\r\n.b\r\n.\r\n":
        talk.send(bytes([byte]))
        settle(c, talk)
    c.same("in: byte by byte", talk.rest(), ["250", "221"])
    c.ok("in: cut at every byte, %d times" % tried, wrong == [], wrong[:5])
    texts = {whole[whole.index(b"Subject: s"):] for whole in c.messages(ann, count=kept + 1, empty=True)}
    c.same("in: and the text is the same", texts, {b"Subject: s\r\n\r\n.a\r\nb\r\n"})


def chunks(c, ann, bob):
    """BDAT: a chunk is as long as it says, whatever is in it; a size that is none ends the session."""
    to = b"RCPT TO:<%s>" % ann.encode()
    forged = FORGED % bob.encode()
    text = b"Subject: chunks\r\n\r\nfirst\r\n.\r\n" + forged
    wrong, kept = [], 0
    for at in range(0, len(text) + 1):  # one message in two chunks, whatever the edge cuts
        talk = Talk(c)
        talk.send(b"MAIL FROM:<ann@example.net>\r\n" + to + b"\r\nBDAT %d\r\n" % at + text[:at] + b"BDAT %d LAST\r\n" % (len(text) - at) + text[at:])
        got = talk.rest()
        kept += 1
        if got != ["250", "250", "250", "250", "221"]:
            wrong.append((at, got))
    c.ok("BDAT: the edge at every byte", wrong == [], wrong[:5])
    bodies = {whole[whole.index(b"Subject: chunks"):] for whole in c.messages(ann, count=kept, empty=True)}
    c.same("BDAT: the text is what was sent", bodies, {text})

    envelope = b"MAIL FROM:<ann@example.net>\r\n" + to + b"\r\n"
    for name, sent, want in (
            ("bare LF in a chunk: refused, commands go on behind it", envelope + b"BDAT 8 LAST\r\na\n.\nb\r\n\r\nNOOP\r\n", ["250", "250", "550", "500", "250", "221"]),
            ("CR and LF in two chunks are a line end", envelope + b"BDAT 13\r\nSubject: x\r\n\rBDAT 5 LAST\r\n\nhi\r\n", ["250", "250", "250", "250", "221"]),
            ("CR alone at the end", envelope + b"BDAT 13 LAST\r\nSubject: x\r\n\r", ["250", "250", "550", "221"]),
            ("NUL", envelope + b"BDAT 5 LAST\r\na\0\r\n.NOOP\r\n", ["250", "250", "550", "250", "221"]),
            ("longer than what comes: the rest is taken from behind", envelope + b"BDAT 17 LAST\r\nS: x\r\n\r\nMAIL FRO\rM:<\r\n", ["250", "250", "550", "500", "221"]),
            ("no size", envelope + b"BDAT\r\n" + forged, ["250", "250", "501"]),
            ("a sign", envelope + b"BDAT +5 LAST\r\nabcde" + forged, ["250", "250", "501"]),
            ("a negative size", envelope + b"BDAT -1 LAST\r\n" + forged, ["250", "250", "501"]),
            ("hexadecimal", envelope + b"BDAT 0x10 LAST\r\n" + forged, ["250", "250", "501"]),
            ("2^64", envelope + b"BDAT 18446744073709551616 LAST\r\n" + forged, ["250", "250", "501"]),
            ("2^64 - 1", envelope + b"BDAT 18446744073709551615 LAST\r\n" + forged, ["250", "250", "552"]),
            ("2^32", envelope + b"BDAT 4294967296 LAST\r\n" + forged, ["250", "250", "552"]),
            ("two words behind", envelope + b"BDAT 5 LAST LAST\r\nabcde" + forged, ["250", "250", "501"]),
            ("LAST without a blank", envelope + b"BDAT 5LAST\r\nabcde" + forged, ["250", "250", "501"]),
            ("a bare LF behind the command", envelope + b"BDAT 5 LAST\n" + forged, ["250", "250", "500"]),
            ("a NUL in the command", envelope + b"BDAT 5 LAST\0\r\n" + forged, ["250", "250", "500"]),
            ("a tab for the blank", envelope + b"BDAT\t5 LAST\r\n" + forged, ["250", "250", "500"]),
            ("an endless command", envelope + b"BDAT 5" + b" " * 5000 + b"LAST\r\n" + forged, ["250", "250", "500"]),
            ("DATA between chunks", envelope + b"BDAT 3\r\na\r\nDATA\r\nRSET\r\n", ["250", "250", "250", "503", "250", "221"]),
            ("MAIL between chunks", envelope + b"BDAT 3\r\na\r\nMAIL FROM:<x@y.example>\r\nRSET\r\n", ["250", "250", "250", "503", "250", "221"]),
            ("half a message, then RSET: nothing is left of it", envelope + b"BDAT 16\r\nSubject: old\r\n\r\nRSET\r\nBDAT 3 LAST\r\nabc" + envelope +
             b"BDAT 14 LAST\r\nSubject: n\r\n\r\n", ["250", "250", "250", "250", "503", "250", "250", "250", "221"]),
            ("without recipients the chunk is read and dropped", b"MAIL FROM:<ann@example.net>\r\nBDAT %d LAST\r\n" % len(forged) + forged, ["250", "503", "221"]),
            ("without a sender too", b"BDAT %d LAST\r\n" % len(forged) + forged, ["503", "221"])):
        talk = Talk(c)
        talk.send(sent)
        c.same("BDAT: " + name, talk.rest(), want)
    c.messages(ann, empty=True)
    c.ok("BDAT: nothing was smuggled", b"smuggled" not in b"".join(c.messages(bob)))


def commands(c, bob):
    """What looks like one line here is one line everywhere."""
    to = bob.encode()
    for name, line in (("bare LF", b"MAIL FROM:<a@example.net>\nRCPT TO:<%s>" % to), ("bare CR", b"MAIL FROM:<a@example.net>\rRCPT TO:<%s>" % to),
                       ("NUL", b"MAIL FROM:<a@example.net>\0"), ("CR CR LF", b"MAIL FROM:<a@example.net>\r"),
                       ("a quoted CR", b'MAIL FROM:<"a\r"@example.net>'), ("bare LF in a name", b"EHLO a.example\nMAIL FROM:<a@example.net>")):
        talk = Talk(c)
        talk.send(line + b"\r\n")
        got = talk.rest()
        c.ok("in: a command with " + name, got[0] == "500" and "250" not in got[:1] and got[-1] == "221", got)


# ---- out ----


class RawPeer:
    """An SMTP server that keeps the bytes of each message as they came, and believes nothing about them."""

    def __init__(self, offers, lmtp=False, refuses=False):
        self.offers, self.lmtp, self.refuses = offers, lmtp, refuses
        self.messages, self.lines, self.odd = [], [], []
        self.changed = threading.Condition()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(50)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.session, args=(connection,), daemon=True).start()

    def session(self, connection):
        with connection, connection.makefile("rb") as f:
            say = lambda text: connection.sendall(text + b"\r\n")
            say(b"220 peer")
            body, count = b"", 0
            while True:
                line = f.readline()
                if not line:
                    return
                with self.changed:
                    self.lines.append(line)
                    if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
                        self.odd.append(line)
                word = line[:4].upper()
                if word in (b"EHLO", b"LHLO"):
                    say(b"\r\n".join([b"250-peer"] + [b"250-" + offer for offer in self.offers] + [b"250 HELP"]))
                elif word == b"DATA":
                    say(b"354 go on")
                    body = b""
                    while not (b"\r\n" + body).endswith(b"\r\n.\r\n"):
                        more = f.readline()
                        if not more:
                            return
                        body += more
                    self.take(say, "DATA", body[:-3], count)
                elif word == b"BDAT":
                    words = line.split()
                    body += f.read(int(words[1]))
                    if words[-1].upper() == b"LAST":
                        self.take(say, "BDAT", body, count)
                        body = b""
                    else:
                        say(b"250 2.0.0 more")
                elif word == b"QUIT":
                    say(b"221 bye")
                    return
                else:
                    if word == b"MAIL":
                        body, count = b"", 0
                    count += word == b"RCPT"
                    say(b"250 2.0.0 yes")

    def take(self, say, how, body, count):
        with self.changed:
            self.messages.append((how, body))
            self.changed.notify_all()
        for _ in range(count if self.lmtp else 1):
            say(b"550 5.7.1 no such thing here" if self.refuses else b"250 2.0.0 taken")

    def wait(self, count):
        with self.changed:
            self.changed.wait_for(lambda: len(self.messages) >= count, TRIES)
            return list(self.messages)


def readable_in_one_way(how, body):
    """None, or what a lenient server could see in it."""
    if how == "DATA":
        if body and not body.endswith(b"\r\n"):
            return "the last line has no end"
        for line in body.split(b"\r\n"):
            if line.startswith(b".") and not line.startswith(b".."):
                return "a dot that is not doubled: %r" % line
    if b"\0" in body:
        return "NUL"
    if re.search(rb"\r(?!\n)|(?<!\r)\n", body):
        return "a bare CR or LF"
    lines = re.split(rb"[\r\n]+", body)
    if how == "DATA" and b"." in lines:
        return "a line of one dot"
    return None


# What somebody might keep here in the hope that it goes out as it is.
BODIES = [b"x" + before + dot + behind + b"MAIL FROM:<forged@example.net>" + before + b"y"
          for before in (b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\r\n", b"\r\0\n") for dot in (b".", b"..", b".\0") for behind in (b"\r\n", b"\n", b"\r", b"\r\0\n", b"\n\0")]


def outbound(c):
    plain, chunking = [b"8BITMIME", b"SMTPUTF8"], [b"8BITMIME", b"PIPELINING", b"CHUNKING", b"SIZE", b"DSN"]
    peers = {"data": RawPeer(plain), "bdat": RawPeer(chunking), "binary": RawPeer(chunking + [b"BINARYMIME"]), "old": RawPeer([]),
             "lmtp": RawPeer(chunking, lmtp=True), "no": RawPeer(chunking, refuses=True)}
    settings = "queue {\n    retry_first_seconds = 1\n}\n" + "".join(
        'route "%s" {\n    recipient_domain = {"%s.test"}\n    hosts = {"127.0.0.1:%d"}\n    tls = none\n%s}\n' % (
            name, name, peer.port, "    protocol = lmtp\n" if peer.lmtp else "") for name, peer in peers.items())
    own = c.base
    with Sending(c.server.program, settings) as server:
        c.base = server.base
        try:
            send_all(c, server, peers)
        finally:
            c.base = own
    for name, peer in peers.items():
        wrong = [(how, said, body[-300:]) for how, body in peer.messages for said in [readable_in_one_way(how, body)] if said is not None]
        c.ok("out: %s: %d messages, each can be read in one way" % (name, len(peer.messages)), peer.messages != [] and wrong == [], wrong[:3])
        c.same("out: %s: commands are clean" % name, peer.odd, [])


def posthorn(c, server, *words, stdin=b""):
    config = os.path.join(server.folder, "data", "posthorn.conf")
    return c.command([server.program, *words], stdin=stdin, env={"POSTHORN_CONFIG": config})


def send_all(c, server, peers):
    names = [name.encode() + b".test" for name in peers if name != "no"]
    everybody = b"".join(b"RCPT TO:<to@%s>\r\n" % name for name in names)
    sent = 0
    taken = {"binary": 0, "clean": 0, "sendmail": 0, "forward": 0}
    status, said = posthorn(c, server, "alias", "add", "away@example.test", *["to@" + name.decode() for name in names])
    c.ok("out: an alias that leads away", status == 0, said)
    talk = Talk(c, "submission")
    signed = talk.ask(b"AUTH PLAIN AHUwQGV4YW1wbGUudGVzdABkZW1vLXUw")  # u0@example.test, demo-u0
    assert signed == ["235"], signed
    for number, body in enumerate(BODIES):
        head = b"From: <u0@example.test>\r\nSubject: out %d\r\n" % number
        # binary: kept as it is, and sent on only encoded, or to who takes such
        mime = head + b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: binary\r\n\r\n" + body
        talk.send(b"MAIL FROM:<u0@example.test> BODY=BINARYMIME\r\n" + everybody + b"BDAT %d LAST\r\n" % len(mime) + mime)
        got = [talk.reply() for _ in range(len(names) + 2)]
        taken["binary"] += got[-1] == "250"
        # and clean: dots alone, in DATA, small and across the client's buffers
        if number % 5 == 0:
            text = head + b"\r\n" + b"z" * (number * 300) + b"\r\n" + b"".join(b"..%s\r\n" % (b"." * n) for n in range(4)) + b" .\r\n..\r\n"
            got = talk.ask(b"MAIL FROM:<u0@example.test>") + [talk.ask(b"RCPT TO:<to@%s>" % name)[0] for name in names] + talk.ask(b"DATA")
            talk.send(text + b".\r\n")
            taken["clean"] += talk.reply() == "250"
            # by the command, and by the alias, whatever they make of it
            status, said = posthorn(c, server, "sendmail", "-i", "-f", "u0@example.test", *["to@" + name.decode() for name in names],
                                    stdin=b"Subject: sendmail %d\n\n" % number + body)
            taken["sendmail"] += status == 0
            outside = Talk(c)
            got = outside.ask(b"MAIL FROM:<far@no.test>", b"RCPT TO:<away@example.test>", b"DATA")
            outside.send(text + b".\r\n")
            taken["forward"] += outside.rest()[:1] == ["250"]
    talk.rest()
    c.ok("out: enough is taken in", taken["binary"] > 60 and taken["clean"] == 21 and taken["forward"] == 21 and taken["sendmail"] > 5, taken)
    count = sum(taken.values())
    for name, peer in peers.items():
        if name != "no":
            c.same("out: %s: one message for each that was taken" % name, len(peer.wait(count)), count)
    returned(c, server, peers)
    settled = {name: len(peer.messages) for name, peer in peers.items() if name != "no"}
    c.same("out: and no more", settled, {name: count + (name == "data") * 2 for name in settled})


def returned(c, server, peers):
    """Notifications carry the message, and words that others have chosen; one to who is elsewhere goes out too."""
    for number, (notify, text) in enumerate(((b"a+0D+0A.+0D+0Ab", b"..\r\n. \r\n...\r\n"), (b"a+00b+0Ac", b"..MAIL FROM:<x@y>\r\n"))):
        talk = Talk(c, "submission")
        assert talk.ask(b"AUTH PLAIN AHUwQGV4YW1wbGUudGVzdABkZW1vLXUw") == ["235"]
        got = talk.ask(b"MAIL FROM:<u0@example.test> RET=FULL ENVID=" + notify, b"RCPT TO:<who@no.test> NOTIFY=FAILURE ORCPT=rfc822;" + notify)
        if got != ["250", "250"]:
            c.ok("out: parameters with control characters are refused: %d" % number, set(got) <= {"501", "503", "553"}, got)
            talk.rest()
            continue
        talk.ask(b"DATA")
        talk.send(b"From: <u0@example.test>\r\nSubject: back\r\n\r\n" + text + b".\r\n")
        talk.rest()
    status, said = posthorn(c, server, "account", "sender", "add", "u0@example.test", "@")
    c.ok("out: u0 may send as anybody", status == 0, said)
    before = len(peers["data"].messages)
    for text in (b"..\r\n. \r\n...\r\n..MAIL FROM:<x@y>\r\n", b"x\r\n" * 20000 + b"..\r\n" * 2000):
        talk = Talk(c, "submission")
        assert talk.ask(b"AUTH PLAIN AHUwQGV4YW1wbGUudGVzdABkZW1vLXUw") == ["235"]
        got = talk.ask(b"MAIL FROM:<back@data.test> RET=FULL", b"RCPT TO:<who@no.test>", b"DATA")
        talk.send(b"From: <u0@example.test>\r\nSubject: back\r\n\r\n" + text + b".\r\n")
        talk.rest()
    got = peers["data"].wait(before + 2)[before:]
    c.ok("out: notifications have the message", len(got) == 2 and all(b"multipart/report" in body for _, body in got), [body[:200] for _, body in got])
