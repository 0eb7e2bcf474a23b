"""posthorn domain quota: all accounts of a domain together, by every way in, and what is said; warnings by mail."""

import json
import os
import smtplib
import subprocess
import time

from demo import Configured

MAIL = "From: ann@example.org\r\nSubject: %s\r\n\r\n%s\r\n"
DOMAIN = "example.test"


class Warned(Configured):
    def edit(self, text):
        return "quota_warnings = {50, 90}\n" + text


def run(c):
    base = c.base
    with Warned(c.server.program, "", "") as server:
        c.base = server.base
        walk(c, Commands(server))
    c.base = base


class Commands:
    def __init__(self, server):
        self.program = os.path.abspath(server.program)
        self.config = os.path.join(server.folder, "data", "posthorn.conf")

    def __call__(self, *words):
        done = subprocess.run([self.program, *words, "--config", self.config], capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr

    def json(self, *words):
        status, out, err = self(*words, "--json")
        return json.loads(out) if status == 0 else {"failed": err}


def lmtp(c, to, text="x"):
    """The reply to each recipient: the first that is not 250, or 250."""
    with smtplib.LMTP(c.host, c.base + 24, timeout=60) as s:
        s.ehlo()
        s.mail("ann@example.org")
        code, said = s.rcpt(to)
        if code == 250:
            code, said = s.data(MAIL % (text, text))
        return code, said.decode()


def used(posthorn):
    quota = posthorn.json("domain", "quota", DOMAIN)["quota"]
    return quota["messages"]["used"]


def walk(c, posthorn):
    c.same("nothing is set", posthorn.json("domain", "quota", DOMAIN)["quota"]["messages"], {"limit": None, "used": 0})
    code, out, err = posthorn("domain", "quota", DOMAIN, "--messages", "4", "--storage", "1 MB")
    c.ok("set", code == 0 and "0 of 4" in out and "0 of 1048576" in out, out + err)
    for n in range(1, 4):
        c.same("for one and another", lmtp(c, "u%d@%s" % (n, DOMAIN))[0], 250)
    deadline = time.monotonic() + 30  # rows follow the answer
    while used(posthorn) < 3 and time.monotonic() < deadline:
        pass
    c.same("counted", used(posthorn), 3)
    m = c.imap("u4@" + DOMAIN)
    c.ok("by IMAP too", m.append("INBOX", None, None, b"Subject: x\r\n\r\nx\r\n")[0] == "OK")
    said = m.append("INBOX", None, None, b"Subject: x\r\n\r\nx\r\n")
    c.ok("until it is full", said[0] == "NO" and b"OVERQUOTA" in said[1][0] and DOMAIN.encode() in said[1][0], said)
    code, said = lmtp(c, "u5@" + DOMAIN)
    c.ok("for all", code == 452 and "4.2.2" in said and "domain" in said, (code, said))
    m.select("INBOX")
    m.store("1", "+FLAGS", "(\\Deleted)")
    m.expunge()
    c.same("room again", lmtp(c, "u5@" + DOMAIN)[0], 250)
    code, out, err = posthorn("account", "undelete", "u4@" + DOMAIN)
    c.ok("not for what was expunged", code == 1 and DOMAIN in err and "1 messages are missing" in err, out + err)
    counted = posthorn.json("domain", "recount", DOMAIN)
    c.ok("recounted", counted["accounts"] > 50 and counted["differences"] == 0, counted)

    code, out, err = posthorn("domain", "quota", DOMAIN, "--messages", "none", "--account-messages", "4")
    c.ok("each of them", code == 0 and "messages of each account   4" in out, out + err)
    c.same("an account has it", posthorn.json("account", "quota", "u6@" + DOMAIN)["quota"]["messages"],
           {"used": 0, "limit": 4, "own": False})
    for _ in range(2):
        lmtp(c, "u6@" + DOMAIN)
    m = c.imap("u6@" + DOMAIN, "INBOX")
    c.ok("warned", waits_for(m, 3), m.noop())
    c.same("who is told", m.search(None, "SUBJECT", '"Your mailbox is 50% full"')[1], [b"3"])
    c.ok("in time", b"2 of 4 messages (50%)" in m.fetch("3", "(BODY[TEXT])")[1][0][1])

    for what, status, words in (
            ("no such domain", 1, ("quota", "example.org")),
            ("no number", 2, ("quota", DOMAIN, "--messages", "many")),
            ("no default of all", 2, ("quota", DOMAIN, "--messages", "default")),
            ("nothing to recount", 1, ("recount", "example.org"))):
        code, out, err = posthorn("domain", *words)
        c.ok(what, code == status and err.startswith("posthorn: "), (code, out, err))


def waits_for(m, count):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if int(m.status("INBOX", "(MESSAGES)")[1][0].split()[-1].strip(b")")) == count:
            m.select("INBOX")
            return True
        time.sleep(0.05)
    return False
