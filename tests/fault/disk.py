#!/usr/bin/python3
"""Full disks, and disks that fail: said clearly, nothing acknowledged lost, and it goes on.

    disk.py [POSTHORN] [LIBFAULT.SO] [--only NAME] [--keep]

Each case makes the disk misbehave under load, by a preloaded shim (libfault.c) or,
as root, by a file system that is really full.  While it lasts, mail is refused
for now (4xx, NO) with words a person understands; when it is over, service resumes
by itself; everything acknowledged is there, once, also after a kill and a restart.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True

from ledger import Ledger, Mailbox, Names, verify, verify_all  # noqa: E402
from post import (PROGRAM, Dismissed, Lost, Refused, Server, address, free_port_base, make_message,  # noqa: E402
                  preload, remove_folder, select)

ACCOUNTS = 4
CLIENTS = 6
EACH = 15

# name, what the shim is told, message size, while it lasts: "some" is taken, "none" is, "all" is
CASES = [
    ("volume-sync-once", "sync EIO 0 1 .vol", 2000, "some"),
    ("volume-sync-thrice", "sync EIO 2 3 .vol", 2000, "some"),
    ("volume-write-once", "write EIO 3 1 .vol", 2000, "some"),
    ("volume-full", "write ENOSPC 0 0 .vol", 2000, "none"),
    ("volume-broken", "sync EIO 0 0 .vol", 2000, "none"),
    ("volume-none-new", "sync EIO 0 1 .vol\nopen ENOSPC 0 0 .vol", 2000, "none"),
    ("spool-full", "write ENOSPC 0 0 (deleted)", 400000, "none"),
    ("account-sync-once", "sync EIO 0 1 mail.db-wal", 2000, "some"),
    ("account-sync-often", "sync EIO 0 20 mail.db-wal", 2000, "some"),
    ("account-write-once", "write EIO 0 1 mail.db-wal", 2000, "some"),
    ("account-full", "write ENOSPC 0 0 mail.db-wal", 2000, "some"),
    ("node-full", "write ENOSPC 0 0 node.db-wal", 2000, "all"),
    ("index-full", "write ENOSPC 0 0 index.db", 2000, "all"),
    ("index-broken", "write EIO 0 0 index.db", 2000, "all"),
    ("index-none-new", "open ENOSPC 0 0 index.db", 2000, "all"),
]


class Case:
    """One server, its clients' ledger, and what was found wrong."""

    def __init__(self, args, folder, data, env=None):
        self.trigger = os.path.join(folder, "trigger")
        self.ledger, self.names, self.problems = Ledger(), Names(), []
        self.mailboxes = [Mailbox(a) for a in range(ACCOUNTS)]
        self.server = Server(os.path.abspath(args.posthorn), data, args.port_base, ACCOUNTS,
                             os.path.join(folder, "server.log"), env)
        self.answers = []

    def fault(self, rules):
        with open(self.trigger + ".new", "w", encoding="ascii") as f:
            f.write(rules + "\n")
        os.rename(self.trigger + ".new", self.trigger)

    def no_fault(self):
        os.unlink(self.trigger)

    def one(self, smtp, account, size):
        """One message to one account and to all."""
        for accounts in ((account,), tuple(range(ACCOUNTS))):
            name = self.names.make()
            self.ledger.sending(name, accounts)
            try:
                refused = smtp.send([address(a) for a in accounts], make_message(name, size))
                self.ledger.was_sent(name, [a for a in accounts if address(a) in refused])
                self.answers.extend(refused.values())
            except Refused as why:
                self.answers.append(str(why))

    def append(self, imap, account, size):
        name = self.names.make()
        self.ledger.sending(name, (account,))
        try:
            imap.append("INBOX", "", make_message(name, size))
            self.ledger.was_sent(name)
        except Refused as why:
            self.answers.append(str(why))

    def client(self, number, size):
        account, left = number % ACCOUNTS, EACH
        try:
            imap = self.server.imap(account)
            while left > 0:
                smtp = self.server.smtp()
                try:
                    while left > 0:
                        left -= 1
                        self.one(smtp, account, size)
                        if number % 2 == 0:
                            self.append(imap, account, size)
                except Dismissed:  # too many refusals: another client would come back, too
                    pass
                smtp.close()
            imap.close()
        except (Lost, AssertionError) as why:
            self.problems.append("client %d: connection lost: %s" % (number, why))
        except Refused as why:
            self.answers.append(str(why))

    def load(self, size):
        """How many were acknowledged."""
        before = self.ledger.acknowledged
        threads = [threading.Thread(target=self.client, args=(i, size)) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.ledger.acknowledged - before

    def check_answers(self):
        """For now, in words."""
        for answer in self.answers:
            if not re.fullmatch(r"(4\d\d 4\.\d+\.\d+ |NO (\[[A-Z]+\] )?)[A-Za-z][^/]{10,}", answer):
                self.problems.append("not a clear answer: " + answer)

    def resumes(self):
        """All of a small load is taken, within a while."""
        deadline = time.monotonic() + 30
        while True:
            self.answers.clear()
            if self.load(1500) == CLIENTS * EACH * 2 + CLIENTS // 2 * EACH and not self.answers:
                return
            if time.monotonic() > deadline:
                self.problems.append("service does not resume: %s" % self.answers[:1])
                return
            time.sleep(0.5)

    def finish(self):
        """Everything acknowledged is there now, and after a kill."""
        if not self.problems:
            verify(self.server, self.mailboxes, self.ledger, self.problems)
        self.server.kill()
        self.server.start()
        if not self.problems:
            verify_all(self.server, self.mailboxes, self.ledger, self.problems)
        status = self.server.stop()
        self.problems.extend(self.server.reports())
        if status != 0:
            self.problems.append("the server ended with status %d" % status)


def run_shim(args, folder, rules, size, taken):
    data = os.path.join(folder, "demo")
    env = dict(preload(args.libfault), FAULT_DIR=data, FAULT_TRIGGER=os.path.join(folder, "trigger"))
    case = Case(args, folder, data, env)
    try:
        return shim_case(case, rules, size, taken)
    finally:
        if case.server.process is not None:
            case.server.kill()


def shim_case(case, rules, size, taken):
    case.server.start()
    case.load(1500)
    if case.answers:
        case.problems.append("refused while all was well: " + case.answers[0])
    case.fault(rules)
    count = case.load(size)
    case.check_answers()
    if (count == 0) != (taken == "none"):
        case.problems.append("%d were acknowledged, expected %s" % (count, taken))
    if taken == "all" and case.answers:
        case.problems.append("refused: " + case.answers[0])
    if taken == "none" and not case.answers:
        case.problems.append("nothing was refused")
    refused = len(case.answers)
    case.no_fault()
    case.resumes()
    case.finish()
    return case.problems, "%d taken, %d refused" % (count, refused)


def mount(folder):
    """A small file system of its own; None if this machine or user may not."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m,mode=0700", "posthorn-test", folder],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def fill(folder, leave):
    """A file that leaves that many bytes free."""
    path = os.path.join(folder, "ballast")
    space = os.statvfs(folder)
    try:
        with open(path, "ab") as f:
            left = space.f_bavail * space.f_frsize - leave
            while left > 0:
                left -= f.write(b"x" * min(left, 1 << 20))
                f.flush()
    except OSError:
        pass
    return path


def expunge_some(case, imap, count):
    """Deleting works: the oldest messages of an INBOX, answered OK."""
    mailbox = case.mailboxes[0]
    uids = sorted(mailbox.uids.values())[:count]
    for uid in uids:
        case.ledger.flags[(0, mailbox.names[uid])] = [frozenset(), frozenset({"\\Deleted"})]
        case.ledger.expunges[(0, mailbox.names[uid])] = False
    try:
        text = ",".join(map(str, uids))
        imap.ask("UID STORE %s +FLAGS.SILENT (\\Deleted)" % text)
        imap.ask("UID EXPUNGE " + text)
        for uid in uids:
            case.ledger.expunges[(0, mailbox.names[uid])] = True
    except Refused as why:
        case.problems.append("deleting on a full disk: %s" % why)


def run_full(args, folder):
    """A disk that fills up: refused below the reserve, deleting works, goes on when there is room."""
    disk = os.path.join(folder, "disk")
    os.mkdir(disk)
    if not mount(disk):
        return None, "may not mount a file system"
    case = Case(args, folder, os.path.join(disk, "demo"))
    try:
        case.server.start()
        case.load(1500)
        verify(case.server, case.mailboxes, case.ledger, case.problems)
        ballast = fill(disk, 40 << 20)  # below the reserve, with room for deleting
        count = case.load(2000)
        case.check_answers()
        if count > 0 or not case.answers:
            case.problems.append("%d messages were taken on a full disk" % count)
        if not any(a.startswith("452 4.3.1") for a in case.answers):
            case.problems.append("no 452 4.3.1 among %s" % sorted(set(case.answers))[:3])
        refused = len(case.answers)
        imap = case.server.imap(0)
        select(imap, "INBOX")
        expunge_some(case, imap, 10)
        fill(disk, 0)  # not a byte left
        case.answers.clear()
        case.load(2000)
        case.check_answers()
        verify(case.server, case.mailboxes, case.ledger, case.problems)
        os.unlink(ballast)
        case.resumes()
        case.finish()
        return case.problems, "%d refused" % refused
    finally:
        if case.server.process is not None:
            case.server.kill()
        subprocess.run(["umount", "-l", disk], check=False)


def run_named(args, name, run):
    """True: passed, False: failed, None: skipped."""
    folder = tempfile.mkdtemp(prefix="posthorn-disk-")
    began = time.monotonic()
    try:
        problems, text = run(folder)
    except (AssertionError, Lost, Refused) as why:
        problems, text = ["%s: %s" % (type(why).__name__, why)], ""
    if problems is None:
        print("%-20s SKIPPED: %s" % (name, text), flush=True)
        remove_folder(folder)
        return None
    print("%-20s %s (%s, %.0f s)" % (name, "FAILED" if problems else "ok", text, time.monotonic() - began), flush=True)
    for problem in problems[:10]:
        print("    " + problem)
    if problems or args.keep:
        print("    left behind: " + folder)
    else:
        remove_folder(folder)
    return not problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("posthorn", nargs="?", default=PROGRAM)
    parser.add_argument("libfault", nargs="?")
    parser.add_argument("--only", help="one case")
    parser.add_argument("--port-base", type=int, default=free_port_base())
    parser.add_argument("--keep", action="store_true", help="leave the data folders behind")
    args = parser.parse_args()
    if args.libfault is None:
        args.libfault = os.path.join(os.path.dirname(args.posthorn), "tests/fault/libfault.so")
    if not os.access(args.libfault, os.R_OK):
        parser.error("no " + args.libfault)
    runs = [(name, lambda folder, r=rules, s=size, t=taken: run_shim(args, folder, r, s, t))
            for name, rules, size, taken in CASES]
    runs.append(("full-disk", lambda folder: run_full(args, folder)))
    results = [run_named(args, name, run) for name, run in runs if args.only in (None, name)]
    print("%d passed, %d failed, %d skipped" % (results.count(True), results.count(False), results.count(None)))
    return 1 if False in results or not results else 0


if __name__ == "__main__":
    sys.exit(main())
