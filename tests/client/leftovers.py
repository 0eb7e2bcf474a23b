"""Nothing is left over: after random commands, and RSET, EHLO, STARTTLS, UNAUTHENTICATE or a login that failed, a session
answers as a fresh one does.

SMTP and submission: half-made envelopes with every parameter, half-sent BDATs, refused messages, AUTH that is cancelled, fails
or stands in a transaction.  IMAP: what a user has enabled, selected, searched, saved and asked to be told of is gone when
the next one logs in on the same connection.  POP3: names, failed passwords and DELE.
"""

import base64
import re
import time

from demo import message
from injection import Link

ROUNDS = 150


def run(c):
    submitted(c, "smtp")
    submitted(c, "submission")
    next_user(c)
    maildrop(c)


# ---- SMTP ----


def plain(c, user, password=None):
    return base64.b64encode(b"\0%s\0%s" % (user.encode(), (password or c.password(user)).encode()))


class Mail(Link):
    def __init__(self, c, protocol):
        super().__init__(c, protocol)
        self.protocol, self.trace = protocol, []
        self.signed_in = self.secured = False
        self.over = False

    def ask(self, line):
        self.trace.append(line[:80])
        try:
            self.send(line if line.startswith(b"BDAT") else line + b"\r\n")
        except OSError:
            self.over = True
            return b""
        return self.answer()

    def answer(self):
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        self.over = lines[-1] == b"" or lines[-1].startswith(b"421")
        return re.sub(rb"kept as \S+|\d{4}-\d\d-\d\dT\S+Z", b"", b"".join(lines))


def random_commands(c, m, ann, bob):
    r = c.random
    mail = [b"MAIL FROM:<%s>" % ann, b"MAIL FROM:<> SIZE=1000", b"MAIL FROM:<%s> BODY=BINARYMIME" % ann, b"MAIL FROM:<%s> SMTPUTF8 BODY=8BITMIME" % ann,
            b"MAIL FROM:<%s> RET=HDRS ENVID=left-over" % ann, b"MAIL FROM:<%s> SIZE=99999999999" % ann, b"MAIL FROM:<nobody@elsewhere.example> MT-PRIORITY=3", b"MAIL FROM:<broken",
            b"MAIL FROM:<%s> HOLDFOR=100000" % ann, b"MAIL FROM:<%s> BY=100;N" % ann]
    rcpt = [b"RCPT TO:<%s>" % bob, b"RCPT TO:<%s> NOTIFY=NEVER" % bob, b"RCPT TO:<nosuch@example.test>", b"RCPT TO:<far@elsewhere.example>", b"RCPT TO:<broken", b"RCPT TO:<%s> ORCPT=rfc822;left@over.example" % bob]
    for _ in range(r.randrange(1, 9)):
        if m.over:
            return
        kind = r.random()
        if kind < 0.35:
            m.ask(r.choice(mail))
        elif kind < 0.6:
            m.ask(r.choice(rcpt))
        elif kind < 0.72:
            text = r.choice([b"abc", b"Subject: left over\r\n\r\nhalf a message", b"a\0b", b"x" * 5000])
            m.send(b"BDAT %d\r\n" % len(text) + text)
            m.trace.append(b"BDAT")
            m.answer()
        elif kind < 0.8:
            if m.ask(b"DATA").startswith(b"354"):
                m.send(b"Subject: left over\r\n\r\n%s\r\n.\r\n" % r.choice([b"text", b"a\0b"]))
                m.answer()
        elif kind < 0.86:
            said = m.ask(r.choice([b"AUTH PLAIN " + plain(c, c.users[0]), b"AUTH PLAIN", b"AUTH LOGIN", b"AUTH PLAIN !!", b"AUTH NONE"]))
            m.signed_in = m.signed_in or said.startswith(b"235")
            while said.startswith(b"334"):
                said = m.ask(r.choice([b"*", b"!!"]))
        else:
            m.ask(r.choice([b"NOOP", b"VRFY x", b"HELO other.example", b"RSET", b"EHLO other.example", b"HELP", b"DATA now", b"FROB", b"BDAT 3 LAST\r\nabc"]))


def behave(c, m, user, ann, bob):
    """What the session answers, and the message that it makes: (answers, (header fields, body))."""
    said = [m.ask(line) for line in (b"DATA", b"RCPT TO:<%s>" % bob, b"BDAT 3 LAST\r\nabc", b"MAIL FROM:<%s>" % ann, b"RCPT TO:<nosuch@example.test>", b"DATA", b"RCPT TO:<%s>" % bob)]
    said.append(m.ask(b"DATA"))
    if said[-1].startswith(b"354"):
        m.send(b"From: <%s>\r\nSubject: fresh\r\nMessage-ID: <fresh@example.test>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\ntext\r\n.\r\n" % ann)
        said.append(m.answer())
    said += [m.ask(b"NOOP"), m.ask(b"EHLO again.example")]
    return said


def is_kept(said):
    return said[7].startswith(b"354") and said[8].startswith(b"250")


def submitted(c, protocol):
    ann, bob = c.users[0].encode(), c.users[1].encode()
    fresh, wrong, ended, kept = {}, [], 0, 0
    for key in ((False, False), (True, False), (False, True), (True, True)):  # signed in, over TLS
        m = Mail(c, protocol)
        if key[1]:
            m.ask(b"EHLO client.example")
            m.ask(b"STARTTLS")
            m.secure()
        m.ask(b"EHLO client.example")
        if key[0] and protocol == "submission":
            m.ask(b"AUTH PLAIN " + plain(c, c.users[0]))
        fresh[key] = behave(c, m, c.users[0], ann, bob)
        kept += is_kept(fresh[key])
        m.close()
    for _ in range(ROUNDS):
        m = Mail(c, protocol)
        m.ask(b"EHLO client.example")
        random_commands(c, m, ann, bob)
        if m.over:
            ended += 1
            continue
        how = c.random.choice(["RSET", "EHLO", "TLS"])
        m.trace.append(how.encode())
        if how == "TLS":
            m.ask(b"RSET")
            if m.ask(b"STARTTLS").startswith(b"220"):
                m.secure()
                m.signed_in, m.secured = False, True
                m.ask(b"EHLO client.example")
        elif how == "EHLO":
            m.ask(b"EHLO client.example")
        else:
            m.ask(b"RSET")
            m.ask(b"EHLO client.example")
        got, want = behave(c, m, c.users[0], ann, bob), fresh[m.signed_in and protocol == "submission", m.secured]
        kept += is_kept(got)
        if got != want:
            wrong.append((m.trace, [(g, w) for g, w in zip(got, want) if g != w]))
        m.close()
    c.ok("%s: %d sessions answer like fresh ones" % (protocol, ROUNDS - ended), wrong == [] and ended < ROUNDS / 3, (ended, wrong[:3]))
    texts, until = [], time.monotonic() + 20
    while len(texts) < kept and time.monotonic() < until:
        texts += [text for text in c.messages(c.users[1], empty=True) if b"Subject: fresh" in text]
    shapes = {(text[text.index(b"From: <"):], re.sub(rb"Received: .*?\r\n(?![ \t])", b"", text[:text.index(b"From: <")], flags=re.S)) for text in texts}
    protocols = {how for text in texts for how in re.findall(rb"\sby localhost with (\S+)", text)}
    c.ok("%s: by no protocol of a message before" % protocol, protocols <= {b"ESMTP", b"ESMTPS", b"ESMTPA", b"ESMTPSA"}, protocols)
    c.ok("%s: and their messages are all the same" % protocol, len(texts) == kept > 1 and len(shapes) == 1 and not any(b"eft over" in text for text in texts), list(shapes)[:3])


# ---- IMAP ----


class Imap(Link):
    def __init__(self, c):
        super().__init__(c, "imap")
        self.n = 0

    def line(self):
        whole = super().line()
        literal = re.search(rb"\{(\d+)\}\r\n$", whole)
        if literal:
            while len(self.got) < int(literal[1]):
                self.got += self.socket.recv(65536)
            whole += self.got[:int(literal[1])]
            self.got = self.got[int(literal[1]):]
            whole += self.line()
        return whole

    def ask(self, text, tag=None):
        self.n += 1
        tag = tag or b"q%d" % self.n
        self.send(tag + b" " + text + b"\r\n")
        said = []
        while True:
            said.append(self.line())
            if said[-1] == b"" or said[-1].startswith(tag + b" "):
                return b"".join(said)


def look_around(m, user, password):
    """All that the state of a session may show in."""
    login = m.ask(b"LOGIN %s %s" % (user, password), b"t0")
    said = [re.sub(rb"UNAUTHENTICATE ", b"", login)]
    for n, line in enumerate((b"CAPABILITY", b"FETCH 1 (FLAGS)", b"SEARCH ALL", b"NOOP", b"COMPARATOR", b"LANGUAGE", b"LIST \"\" *", b"LIST (SUBSCRIBED) \"\" *", b"GETMETADATA \"\" (/private/comment)",
                              b"CANCELUPDATE \"x\"", b"EXAMINE INBOX", b"FETCH 1 (FLAGS)", b"UID FETCH 1 (FLAGS)", b"SEARCH $", b"SEARCH FILTER mine", b"SEARCH SUBJECT \"ONE\"", b"SEARCH RETURN () ALL",
                              b"UID SEARCH ALL", b"SORT (SUBJECT) UTF-8 ALL", b"CANCELUPDATE \"x\"", b"STATUS INBOX (MESSAGES)", b"LIST \"\" \"INB\xc3\xb6x\"", b"CREATE &AOQ-x&", b"UNSELECT", b"SELECT INBOX (QRESYNC (1 1))")):
        said.append(m.ask(line, b"t%d" % (n + 1)))
    return said


def next_user(c):
    ann, bob = c.users[0].encode(), c.users[1].encode()
    passwords = {ann: c.password(c.users[0]).encode(), bob: c.password(c.users[1]).encode()}
    for user in c.users[:2]:
        box = c.imap(user, "INBOX")
        box.append("INBOX", None, None, message("one"))
        box.append("INBOX", None, None, message("two"))
        box.select("INBOX")  # \Recent is gone
        box.logout()
    setter = Imap(c)
    setter.ask(b"LOGIN %s %s" % (ann, passwords[ann]))
    setter.ask(b"SETMETADATA \"\" (/private/filters/values/mine \"ALL\" /private/comment \"ann\")")
    setter.ask(b"CREATE only-ann")
    watcher = setter
    fresh = Imap(c)
    want = look_around(fresh, bob, passwords[bob])
    fresh.close()
    commands = [b"ENABLE CONDSTORE", b"ENABLE QRESYNC", b"ENABLE UTF8=ACCEPT", b"ENABLE IMAP4rev2", b"ENABLE UIDONLY", b"ENABLE METADATA-SERVER METADATA", b"SELECT INBOX", b"EXAMINE INBOX", b"SELECT nowhere",
                b"SELECT INBOX (CONDSTORE)", b"SEARCH RETURN (SAVE) ALL", b"SEARCH RETURN (UPDATE) ALL", b"UID SEARCH RETURN (SAVE ALL) ALL", b"NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))",
                b"NOTIFY SET (selected (MessageNew (FLAGS) MessageExpunge))", b"NOTIFY SET STATUS (selected-delayed (MessageNew MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange))",
                b"COMPARATOR i;octet", b"COMPARATOR i;ascii-casemap", b"LANGUAGE en", b"ID (\"name\" \"x\")", b"FETCH 1:* (FLAGS MODSEQ)", b"UNSELECT", b"FROB", b"SORT (DATE) UTF-8 ALL", b"CONVERT",
                b"ESEARCH IN (personal) RETURN (ALL) ALL", b"STATUS INBOX (MESSAGES HIGHESTMODSEQ)", b"GENURLAUTH \"imap://x@localhost/INBOX/;UID=1;URLAUTH=anonymous\" INTERNAL", b"CANCELUPDATE \"q1\"", b"CREATE"]
    wrong = []
    for number in range(ROUNDS // 3):
        m, trace = Imap(c), []
        for _ in range(c.random.randrange(1, 3)):
            if c.random.random() < 0.4:
                m.ask(c.random.choice([b"LOGIN %s wrong" % ann, b"AUTHENTICATE NONE", b"AUTHENTICATE PLAIN !!"])) if c.random.random() < 0.3 else None
            m.ask(b"LOGIN %s %s" % (ann, passwords[ann]))
            for _ in range(c.random.randrange(1, 10)):
                trace.append(c.random.choice(commands))
                m.ask(trace[-1])
            m.ask(b"UNAUTHENTICATE")
        # what happens to the one before is nobody's news now
        if number % 3 == 0:
            watcher.ask(b"APPEND only-ann {6+}\r\nx: y\r\n")
            watcher.ask(b"SETMETADATA \"\" (/private/comment \"ann %d\")" % number)
        got = look_around(m, bob, passwords[bob])
        if got != want:
            wrong.append((trace, [(g, w) for g, w in zip(got, want) if g != w][:3]))
        m.close()
    c.ok("IMAP: after UNAUTHENTICATE the next user finds what a fresh session finds", wrong == [], wrong[:2])


# ---- POP3 ----


def maildrop(c):
    ann, bob = c.users[0].encode(), c.users[1].encode()
    good, other = c.password(c.users[0]).encode(), c.password(c.users[1]).encode()
    for name, lines, want in (
            ("another name: the last one counts", [b"USER " + ann, b"USER " + bob, b"PASS " + good], [b"+OK", b"+OK", b"-ERR"]),
            ("another name: and signs in", [b"USER " + ann, b"USER " + bob, b"PASS " + other], [b"+OK", b"+OK", b"+OK"]),
            ("a name without a password is gone after AUTH", [b"USER " + ann, b"AUTH", b"PASS " + good], [b"+OK", b"+OK", b"-ERR"]),
            ("a failed password takes the name along", [b"USER " + ann, b"PASS wrong", b"PASS " + good], [b"+OK", b"-ERR", b"-ERR"]),
            ("a refused USER too", [b"USER " + ann, b"USER", b"PASS " + good], [b"+OK", b"-ERR", b"-ERR"]),
            ("AUTH cancelled", [b"USER " + ann, b"AUTH PLAIN", b"*", b"PASS " + good], [b"+OK", b"+", b"-ERR", b"-ERR"])):
        m = Link(c, "pop3")
        got = []
        for line in lines:
            m.send(line + b"\r\n")
            got.append(m.line())
            while line == b"AUTH" and not m.line().startswith(b"."):
                pass
        c.ok("POP3: " + name, all(g.startswith(w) for g, w in zip(got, want)), got)
        m.close()

    def signed_in():
        m = Link(c, "pop3")
        for line in (b"USER " + ann, b"PASS " + good, b"STAT"):
            m.send(line + b"\r\n")
            said = m.line()
        return m, said
    m, before = signed_in()
    m.send(b"DELE 1\r\nRSET\r\nDELE 2\r\n")
    for _ in range(3):
        m.line()
    m.close()
    m, after = signed_in()
    m.close()
    c.ok("POP3: DELE without QUIT leaves nothing", before == after and not before.startswith(b"+OK 0"), (before, after))
