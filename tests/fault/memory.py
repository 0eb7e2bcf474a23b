#!/usr/bin/python3
"""A role that gets no memory ends or says so, is started again, and nothing acknowledged is lost.

    memory.py [POSTHORN] [--every N] [--seed S] [--only STEP] [--role ROLE]

For each step of a post office's day (signing in, delivering, reading, sending, ...) and each role that
takes part in it, the n-th allocation of that role fails during the step: n from a random number below N
on, then every N-th (50), until the step is through before its turn comes.  Then

  * the role has ended with its own word for it ("out of memory", SIGABRT) or goes on; never another signal;
  * the client got an answer, or its connection ended, at once;
  * the next client is served as if nothing had been;
  * in the end everything acknowledged is there once, and `posthorn check` finds nothing.
"""

import argparse
import os
import random
import re
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True

from host import Host, role_pid, until  # noqa: E402
from ledger import Ledger, Mailbox, Names, verify, verify_all  # noqa: E402
from post import (HOST, PROGRAM, Dismissed, Lost, Refused, Server, address, free_port_base, make_message,  # noqa: E402
                  remove_folder, select)
from sink import Sink  # noqa: E402

ACCOUNTS = 2
HTML = ("From: ann@example.net\r\nSubject: html\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nplain text\r\n--b\r\nContent-Type: text/html; charset=iso-8859-1\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>sun<b>shine</b> =E4</p>\r\n--b--\r\n")


class Office:
    """The server, its clients, and what they know."""

    def __init__(self, args, folder):
        self.host, self.folder = Host(folder, args.posthorn), folder
        self.sink = Sink()
        self.log = os.path.join(folder, "server.log")
        self.server = Server(os.path.abspath(args.posthorn), os.path.join(folder, "demo"), args.port_base, ACCOUNTS,
                             self.log, self.host.env, ["--smarthost", "%s:%d" % (HOST, self.sink.port)])
        self.ledger, self.names = Ledger(), Names()
        self.mailboxes = [Mailbox(a) for a in range(ACCOUNTS)]
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        self.sent = []  # acknowledged, for elsewhere
        self.backups = 0

    # ---- the steps: each ends well, or with Refused, Dismissed or Lost ----

    def sign_in(self):
        self.server.imap(0).close()

    def tls_sign_in(self):
        with socket.create_connection((HOST, self.server.base + 993), timeout=30) as plain:
            try:
                with self.tls.wrap_socket(plain) as s:
                    s.sendall(b'a LOGIN "%s" "demo-u0"\r\n' % address(0).encode())
                    text = b""
                    while b"\na OK" not in text:
                        more = s.recv(4096)
                        if not more:
                            raise Lost("closed")
                        text += more
                        if b"\na NO" in text:
                            raise Refused(text[text.index(b"\na NO") + 3:].decode().strip())
            except OSError as why:
                raise Lost(str(why)) from why

    def deliver(self):
        name = self.names.make()
        self.ledger.sending(name, (0, 1))
        smtp = self.server.smtp()
        refused = smtp.send([address(0), address(1)], make_message(name, 1000))
        self.ledger.was_sent(name, [a for a in (0, 1) if address(a) in refused])
        smtp.close()

    def append(self):
        name = self.names.make()
        self.ledger.sending(name, (0,))
        imap = self.server.imap(0)
        imap.append("INBOX", "", make_message(name, 140000))
        self.ledger.was_sent(name)
        imap.close()

    def fetch(self):
        imap = self.server.imap(1)
        imap.ask('SELECT "Archive"')
        imap.ask("FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[2] BODY.PEEK[HEADER] PREVIEW)")
        imap.close()

    def search(self):
        imap = self.server.imap(1)
        imap.ask('SELECT "Archive"')
        for command in ("SEARCH BODY sunshine", "SORT (SUBJECT DATE) UTF-8 TEXT plain", "THREAD REFERENCES UTF-8 ALL"):
            imap.ask(command)
        imap.close()

    def change(self):
        """Flags, a copy, an expunge: in a mailbox whose messages are nobody's concern."""
        imap = self.server.imap(1)
        imap.ask('SELECT "Archive"')
        imap.ask("STORE 1:* +FLAGS.SILENT (\\Flagged $Work)")
        imap.ask('COPY 1 "Junk"')
        imap.ask('SELECT "Junk"')
        imap.ask("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        imap.ask("EXPUNGE")
        imap.close()

    def pop3(self):
        pop3 = self.server.pop3(0)
        pop3.lines("UIDL")
        pop3.lines("RETR 1")
        pop3.ask("QUIT")
        pop3.close()

    def send(self):
        name = self.names.make()
        smtp = self.server.submission(0)
        message = make_message(name, 1500).replace(b"fault@example.net", address(0).encode(), 1)
        smtp.send(["someone@elsewhere.example"], message, address(0))
        self.sent.append(name)
        smtp.close()
        deadline = time.monotonic() + 3  # part of the step: what the queue does with it; later is well, too
        while name not in self.sink.names and time.monotonic() < deadline and not self.hits():
            time.sleep(0.01)

    def command(self):
        for words in (("status",), ("account", "list"), ("queue", "list")):
            status, text = self.server.command(*words, "--json")
            if status != 0:
                raise Refused(text.strip())

    def backup(self):
        self.backups += 1
        folder = os.path.join(self.folder, "backup")
        status, text = self.server.command("backup", folder)
        if status != 0:
            raise Refused(text.strip())
        status, text = self.server.command("backup", "verify", folder)
        if status != 0:
            raise AssertionError("a backup that was made is none: " + text)

    # ---- around them ----

    def hits(self):
        return sum(self.host.get(role, "memory_hits") for role in ("mail", "queue", "auth", "content"))

    def begin(self):
        self.server.start()
        self.host.set("serve", "hurry", 5000)  # it forgives a role after ten seconds: here after two thousandths
        imap = self.server.imap(1)
        for _ in range(3):
            imap.append("Archive", "", HTML.encode())
        imap.close()
        self.deliver()
        self.ledger.flags[(0, "m1")] = [frozenset(), frozenset({"\\Seen"})]  # POP3 reads it


# name, roles that take part
STEPS = (
    ("sign_in", ("mail", "auth")),
    ("tls_sign_in", ("mail", "auth")),
    ("deliver", ("mail",)),
    ("append", ("mail",)),
    ("fetch", ("mail",)),
    ("search", ("mail", "content")),
    ("change", ("mail",)),
    ("pop3", ("mail",)),
    ("send", ("mail", "queue", "auth")),
    ("command", ("mail", "queue")),
    ("backup", ("mail", "queue")),
)
CLEAR = re.compile(r"(4\d\d[ -]4\.\d+\.\d+ |NO (\[[A-Z-]+\] )?|-ERR (\[[A-Z/-]+\] )?)[A-Za-z][^/]{8,}"
                   r"|posthorn: .{8,}|\{.*\"temporary\": true.*\}", re.S)  # who may run commands may see paths


class Trial:
    """One allocation that fails in one role during one step."""

    def __init__(self, office, step, role, at, run):
        self.office, self.step, self.role, self.at, self.run = office, step, role, at, run
        self.problems, self.outcome = [], "done"

    def fail_during(self):
        host, role = self.office.host, self.role
        host.set(role, "memory_hits", 0)
        host.set(role, "memory_run", self.run)
        host.set(role, "memory", self.at)
        try:
            getattr(self.office, self.step)()
        except (Refused, Dismissed) as why:
            self.outcome = "refused"
            if not CLEAR.match(str(why)) and not str(why).startswith("421 4."):
                self.problems.append("not a clear answer: %r" % str(why))
        except Lost as why:
            self.outcome = "lost"
            if "timed out" in str(why):
                self.problems.append("no answer: %s" % why)
        finally:
            host.set(role, "memory", 0)
        return host.get(role, "memory_hits") > 0

    def go(self):
        """False: the step was through before."""
        office = self.office
        before = role_pid(office.server, self.role)
        try:
            hit = self.fail_during()
            died = role_pid(office.server, self.role) != before
            if self.outcome != "done" and not hit:
                self.problems.append("%s although nothing failed" % self.outcome)
            until("service again after %s" % self.step, lambda: getattr(office, self.step)() or True, 30)
            self.outcome += ", ended" if died else ""
            return hit
        except AssertionError as why:
            self.problems.append(str(why))
            return True


def sweep(office, step, role, every, rng, problems, say):
    """Every so-manieth allocation of that role in that step."""
    at, outcomes = 1 + rng.randrange(every), {}
    while True:
        trial = Trial(office, step, role, at, 1 if rng.random() < 0.8 else 20)
        hit = trial.go()
        problems.extend("%s, allocation %d of %s: %s" % (step, at, role, p) for p in trial.problems)
        if len(problems) > 20:
            return sum(outcomes.values())
        if not hit:
            break
        outcomes[trial.outcome] = outcomes.get(trial.outcome, 0) + 1
        at += every
    if say:
        print("%-12s %-8s up to %6d: %s" % (step, role, at, outcomes), flush=True)
    return sum(outcomes.values())


def ends_in_order(path):
    """Roles end of it as they say they do."""
    with open(path, encoding="utf-8", errors="replace") as f:
        lines = f.read().splitlines()
    said = sum(line.startswith("posthorn: out of memory") for line in lines)
    died = [line for line in lines if "role.died" in line]
    wrong = [line for line in died if "signal=6" not in line] + [line for line in lines if "bug at" in line or "Sanitizer" in line]
    if len(died) > said:
        wrong.append("%d roles ended, %d said that they had no memory" % (len(died), said))
    return wrong, len(died)


def run(args, folder):
    rng = random.Random(args.seed)
    office, problems, trials = Office(args, folder), [], 0
    began = time.monotonic()
    try:
        office.begin()
        for step, roles in STEPS:
            for role in roles:
                if args.only in (None, step) and args.role in (None, role):
                    trials += sweep(office, step, role, args.every, rng, problems, args.verbose)
        office.host.set("serve", "hurry", 0)
        time.sleep(1.5)  # an account that failed is opened again after a second
        verify(office.server, office.mailboxes, office.ledger, problems)
        verify_all(office.server, office.mailboxes, office.ledger, problems)
        until("what was sent arrives", lambda: all(name in office.sink.names for name in office.sent), 30)
    except (AssertionError, Lost, Refused) as why:
        problems.append("%s: %s" % (type(why).__name__, why))
    finally:
        if problems:
            office.server.kill()
        else:
            office.server.stop()
        office.sink.close()
    wrong, died = ends_in_order(office.log)
    problems.extend(wrong[:10])
    print("memory: %d allocations failed, %d roles ended of it, every %d-th, seed %d, %.0f s"
          % (trials, died, args.every, args.seed, time.monotonic() - began))
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("posthorn", nargs="?", default=PROGRAM)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--only", help="one step")
    parser.add_argument("--role", help="one role")
    parser.add_argument("--port-base", type=int, default=free_port_base())
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    print("seed %d" % args.seed, flush=True)
    folder = tempfile.mkdtemp(prefix="posthorn-memory-")
    problems = run(args, folder)
    for problem in problems[:20]:
        print("not so: " + problem)
    if problems or args.keep:
        print("left behind: " + folder)
    else:
        remove_folder(folder)
    print("%d passed, %d failed" % (not problems, len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
