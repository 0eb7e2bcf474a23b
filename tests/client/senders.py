"""swaks, msmtp, curl and smtplib bring mail in by every door."""

import email.message
import email.policy

from demo import DOMAIN, message


def run(c):
    ann, bob, carol = c.users
    swaks(c, ann, bob)
    msmtp(c, ann, bob)
    curl(c, ann, bob)
    python(c, ann, bob, carol)
    lmtp(c, bob, carol)


def subjects(c, user, count=0):
    """Of the mailbox, in order, once there are at least `count`; the mailbox is emptied."""
    found = c.messages(user, what="BODY.PEEK[HEADER.FIELDS (SUBJECT)]", count=count, empty=True)
    return [field.decode().strip()[len("Subject: "):] for field in found]


def arrives(c, name, user, want):
    c.same(name, subjects(c, user, len(want)), want)


# ---- swaks ----


def swaks(c, ann, bob):
    if not c.has("swaks"):
        return

    def send(name, *words, want=0, to=bob):
        status, said = c.command(["swaks", "--to", to, "--from", "x@elsewhere.example", "--header", "Subject: " + name,
                                  "--server", c.host, *words])
        c.ok("swaks: " + name, status == want, "status %d\n%s" % (status, said.decode(errors="replace")))
        if want == 0:
            arrives(c, "swaks: %s arrives" % name, bob, [name])
        return said

    login = ["--auth-user", ann, "--auth-password", c.password(ann), "--from", ann]
    send("MX", "--port", c.port("smtp"))
    send("MX with STARTTLS", "--port", c.port("smtp"), "--tls")
    send("MX with pipelining", "--port", c.port("smtp"), "--pipeline")
    send("an attachment", "--port", c.port("smtp"), "--attach", "@/proc/self/exe")
    send("PLAIN", "--port", c.port("submission"), "--tls", "--auth", "PLAIN", *login)
    send("LOGIN", "--port", c.port("submission"), "--tls", "--auth", "LOGIN", *login)
    send("submissions", "--port", c.port("submissions"), "--tls-on-connect", "--auth", "PLAIN", *login)
    send("LMTP", "--port", c.port("lmtp"), "--protocol", "LMTP")
    said = send("no such user", "--port", c.port("smtp"), to="nobody@" + DOMAIN, want=24)
    c.ok("swaks: no such user: 550 5.1.1", b"550 5.1.1" in said, said)
    said = send("relaying", "--port", c.port("smtp"), to="x@elsewhere.example", want=24)
    c.ok("swaks: relaying: 550 5.7.1", b"550 5.7.1" in said, said)
    said = send("without AUTH", "--port", c.port("submission"), want=23)
    c.ok("swaks: without AUTH: 530", b"530 5.7.0" in said, said)
    wrong = ["--auth-user", ann, "--auth-password", "wrong", "--from", ann]
    said = send("wrong password", "--port", c.port("submission"), "--tls", "--auth", "PLAIN", *wrong, want=28)
    c.ok("swaks: wrong password: 535 5.7.8", b"535 5.7.8" in said, said)
    arrives(c, "swaks: nothing of these arrives", bob, [])


# ---- msmtp ----


def msmtp(c, ann, bob):
    if not c.has("msmtp"):
        return
    for name, port, words in (
            ("submission", "submission", ["--tls=on", "--tls-starttls=on", "--auth=plain"]),
            ("submission, LOGIN", "submission", ["--tls=on", "--tls-starttls=on", "--auth=login"]),
            ("submissions", "submissions", ["--tls=on", "--tls-starttls=off", "--auth=on"])):
        name = "msmtp: " + name
        status, said = c.command(
            ["msmtp", "--host=" + c.host, "--port=%d" % c.port(port), "--user=" + ann, "--tls-certcheck=off",
             "--passwordeval=echo " + c.password(ann), "--from=" + ann, *words, "--", bob],
            stdin=message(name, ".\r\n..two dots\r\n.", From=ann).replace(b"\r\n", b"\n"))
        c.ok(name, status == 0, said)
        got = c.messages(bob, count=1)
        c.ok(name + ": lines of dots are whole", len(got) == 1 and got[0].endswith(b"\r\n\r\n.\r\n..two dots\r\n.\r\n"), got)
        arrives(c, name + " arrives", bob, [name])


# ---- curl ----


def curl(c, ann, bob):
    if not c.has("curl"):
        return
    path = c.file("curl.eml", message("by curl", From=ann))
    for name, url, words in (
            ("smtp", "smtp://%s:%d/me.example" % (c.host, c.port("smtp")), []),
            ("smtp with STARTTLS", "smtp://%s:%d/me.example" % (c.host, c.port("smtp")), ["--ssl-reqd", "-k"]),
            ("submission", "smtp://%s:%d" % (c.host, c.port("submission")),
             ["--ssl-reqd", "-k", "--user", "%s:%s" % (ann, c.password(ann))]),
            ("smtps", "smtps://%s:%d" % (c.host, c.port("submissions")),
             ["-k", "--user", "%s:%s" % (ann, c.password(ann))])):
        status, said = c.command(["curl", "-sSv", "--mail-from", ann, "--mail-rcpt", bob, "-T", path, *words, url])
        c.ok("curl: " + name, status == 0, said)
        arrives(c, "curl: %s arrives" % name, bob, ["by curl"])
    status, said = c.command(["curl", "-sS", "--mail-rcpt", bob, "-X", "VRFY " + bob, "smtp://%s:%d" % (c.host, c.port("smtp"))])
    c.ok("curl: VRFY says neither yes nor no", b"252" in said, said)


# ---- smtplib ----


def python(c, ann, bob, carol):
    with c.smtp() as s:
        s.ehlo("me.example")
        want = {"pipelining", "size", "8bitmime", "enhancedstatuscodes", "smtputf8", "chunking", "starttls"}
        c.ok("smtplib: EHLO at MX", want <= set(s.esmtp_features) and "auth" not in s.esmtp_features, s.esmtp_features)
        s.starttls(context=c.tls())
        s.ehlo("me.example")
        c.ok("smtplib: EHLO after STARTTLS", "starttls" not in s.esmtp_features, s.esmtp_features)
        refused = s.sendmail("x@elsewhere.example", [bob, "nobody@" + DOMAIN, carol], message("to some"))
        c.same("smtplib: one of three is refused", list(refused), ["nobody@" + DOMAIN])
        s.sendmail("", [bob], message("from nobody"))
        s.sendmail("x@elsewhere.example", ["postmaster"], message("to postmaster"))
        s.sendmail("x@elsewhere.example", [bob.replace("@", "+lists@")], message("plus"))
        s.send_message(utf8_message(bob), "j\u00f6rg@elsewhere.example", [bob], mail_options=["SMTPUTF8"])
    arrives(c, "smtplib: what arrives", bob, ["to some", "from nobody", "plus", "gr\u00fc\u00dfe"])
    arrives(c, "smtplib: to the other as well", carol, ["to some"])

    with c.smtp("submissions") as s:
        code, _ = s.login(ann, c.password(ann))
        c.same("smtplib: login", code, 235)
        s.sendmail(ann, [bob], message("submitted", From=ann))
        s.mail(ann)
        s.rcpt(bob)
        code, said = s.data(message("not mine"))
        c.ok("smtplib: another's address is not mine to have in From", code == 550 and b"5.7.1" in said, (code, said))
        code, said = refusal(s, carol, bob)
        c.ok("smtplib: another's address is not mine to send as", code in (550, 553), (code, said))
    got = c.messages(bob, count=1)
    c.ok("smtplib: Return-Path and Received are on top",
         len(got) == 1 and got[0].startswith(b"Return-Path: <%s>\r\n" % ann.encode()) and b"\r\nReceived: " in got[0], got)
    arrives(c, "smtplib: submitted", bob, ["submitted"])
    bdat(c, bob)


def utf8_message(to):
    m = email.message.EmailMessage(policy=email.policy.SMTPUTF8)
    m["From"], m["To"], m["Subject"] = "j\u00f6rg@elsewhere.example", to, "gr\u00fc\u00dfe"
    m.set_content("Stra\u00dfe\n", cte="8bit")
    return m


def refusal(s, sender, recipient):
    """The first reply to MAIL or RCPT that is no yes."""
    code, said = s.mail(sender)
    if code == 250:
        code, said = s.rcpt(recipient)
    s.rset()
    return code, said


def bdat(c, bob):
    body = message("in chunks", "x" * 5000)
    with c.smtp() as s:
        s.ehlo("me.example")
        s.mail("x@elsewhere.example")
        s.rcpt(bob)
        replies = []
        for at in range(0, len(body), 1000):
            chunk = body[at:at + 1000]
            s.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if at + 1000 >= len(body) else b"") + chunk)
            replies.append(s.getreply()[0])
    c.same("BDAT: each chunk is answered", set(replies), {250})
    got = c.messages(bob, count=1)
    c.ok("BDAT: whole", len(got) == 1 and got[0].endswith(body), got)
    arrives(c, "BDAT arrives", bob, ["in chunks"])


def lmtp(c, bob, carol):
    with c.smtp("lmtp") as s:
        s.ehlo("me.example")
        s.mail("x@elsewhere.example")
        codes = [s.rcpt(r)[0] for r in (bob, "nobody@" + DOMAIN, carol)]
        c.same("LMTP: recipients", codes, [250, 550, 250])
        code, _ = s.docmd("DATA")
        s.send(message("by LMTP") + b".\r\n")
        c.same("LMTP: a reply for each accepted recipient", (code, s.getreply()[0], s.getreply()[0]), (354, 250, 250))
        c.same("LMTP: and no more", s.noop()[0], 250)
    arrives(c, "LMTP arrives", bob, ["by LMTP"])
    arrives(c, "LMTP arrives twice", carol, ["by LMTP"])
