#!/usr/bin/python3
"""Nothing acknowledged is lost, nothing comes twice, when the server is killed.

    kill.py [POSTHORN] [--rounds N] [--seed S] [--keep]

In each round clients send by SMTP (to one and to fifty recipients) and append,
flag and expunge by IMAP, while they write down what was asked and what was
acknowledged; then the whole process group is killed with SIGKILL at a random
moment, sometimes while it is starting.  Every third time the power is cut as well
(libpower.c): what was not synced is gone.  After the restart the mailboxes are read:

  * every acknowledged message is there once for each recipient, byte for byte;
    one that was not acknowledged at most once, and for all recipients or none;
  * acknowledged flags and expunges hold; what was not acknowledged holds or not;
  * UIDVALIDITY stays, UIDNEXT and HIGHESTMODSEQ never go back, a UID that was
    seen is the same message for ever, and a UID with a MODSEQ that was seen has
    the flags that were seen.

A few mailboxes are read after every round, all of them from time to time and at the
end, when `posthorn check` must find nothing either.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True

from ledger import Ledger, Mailbox, Names, verify, verify_all  # noqa: E402
from post import (PROGRAM, Dismissed, Lost, PowerCut, Refused, Server, address, free_port_base, make_message,  # noqa: E402
                  remove_folder, select)

ACCOUNTS = 50
BUSY = 4            # accounts 0..3: mail to one recipient, and the IMAP clients
SMTP_CLIENTS = 6
ALL_EVERY = 20      # rounds between readings of all mailboxes
LOAD_SECONDS = 0.5  # at most, before the kill
FIRST_STARTS = 4    # cut short before the one that may go on


def message_size(rng):
    """Small ones mostly; some of many frames, some that are spooled to a file."""
    return rng.choice([300, 1500, 4000, 4000, 4000, 9000, 9000, 30000, 70000, 300000]) if rng.random() < 0.3 else 2000


def smtp_client(server, ledger, names, rng, stop):
    try:
        smtp = server.smtp()
        while not stop.is_set():
            many = rng.random() < 0.06
            accounts = tuple(range(ACCOUNTS)) if many else (rng.randrange(BUSY),)
            name = names.make()
            message = make_message(name, 2000 if many else message_size(rng))
            ledger.sending(name, accounts)
            try:
                refused = smtp.send([address(a) for a in accounts], message)
                ledger.was_sent(name, [a for a in accounts if address(a) in refused])
                for answer in refused.values():
                    ledger.refused(answer)
            except Refused as why:
                ledger.refused(why)
    except (Lost, Dismissed):
        pass


def imap_client(server, account, ledger, names, rng, stop):
    """Appends; then flags, unflags and expunges what it appended."""
    try:
        imap = server.imap(account)
        select(imap, "INBOX")
        mine = {}
        while not stop.is_set():
            choice = rng.random()
            if choice < 0.4 or not mine:
                name = names.make()
                ledger.sending(name, (account,))
                uid = imap.append("INBOX", "", make_message(name, message_size(rng)))
                ledger.was_sent(name)
                mine[uid] = name
                continue
            uid, name = rng.choice(list(mine.items()))
            key = (account, name)
            if choice < 0.8:
                flag = rng.choice(["\\Seen", "\\Flagged", "$Forwarded"])
                certain, possible = ledger.flags.setdefault(key, [frozenset(), frozenset()])
                ledger.flags[key][1] = possible | {flag}
                imap.ask("UID STORE %d +FLAGS (%s)" % (uid, flag))
                ledger.flags[key][0] = certain | {flag}
            else:
                certain, possible = ledger.flags.setdefault(key, [frozenset(), frozenset()])
                ledger.flags[key][1] = possible | {"\\Deleted"}
                imap.ask("UID STORE %d +FLAGS (\\Deleted)" % uid)
                ledger.expunges[key] = False
                imap.ask("UID EXPUNGE %d" % uid)
                ledger.expunges[key] = True
                del mine[uid]
    except Lost:
        pass
    except Refused as why:
        ledger.refused(why)


def load(server, ledger, names, rng, seconds):
    """Clients at work until the server is killed under them: how many writes the power cut took, if it was one."""
    stop = threading.Event()
    threads = [threading.Thread(target=smtp_client, args=(server, ledger, names, random.Random(rng.random()), stop))
               for _ in range(SMTP_CLIENTS)]
    threads += [threading.Thread(target=imap_client,
                                 args=(server, a, ledger, names, random.Random(rng.random()), stop))
                for a in (0, 0, 1)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    taken = server.kill()
    stop.set()
    for thread in threads:
        thread.join()
    return taken


def power_cuts(args, data, folder):
    """None if the shim was not built."""
    library = os.path.join(os.path.dirname(args.posthorn), "tests/fault/libpower.so")
    if os.access(library, os.R_OK):
        return PowerCut(library, data, os.path.join(folder, "power"))
    print("no power cuts: no " + library)
    return None


def run(args, folder):
    rng = random.Random(args.seed)
    data = os.path.join(folder, "demo")
    server = Server(os.path.abspath(args.posthorn), data, args.port_base, ACCOUNTS, os.path.join(folder, "server.log"))
    power, cut, taken = power_cuts(args, data, folder), 0, 0
    ledger, names, problems = Ledger(), Names(), []
    mailboxes = [Mailbox(a) for a in range(ACCOUNTS)]
    began = time.monotonic()
    for attempt in range(FIRST_STARTS):  # also while its accounts are being made
        server.power = power if attempt % 2 else None
        server.spawn()
        time.sleep(rng.random() * 0.5)
        taken += server.kill()
    server.power = None
    server.start()
    for number in range(1, args.rounds + 1):
        taken += load(server, ledger, names, rng, 0.05 + rng.random() * LOAD_SECONDS)
        cut += server.power is not None
        server.power = power if number % 3 == 0 else None  # of the round that begins now
        while rng.random() < 0.15:  # and once more while it is coming up
            server.spawn()
            time.sleep(rng.random() * 0.3)
            taken += server.kill()
        server.start()
        some = mailboxes[:BUSY] + [mailboxes[rng.randrange(BUSY, ACCOUNTS)]]
        if number % ALL_EVERY == 0 or number == args.rounds:
            verify_all(server, mailboxes, ledger, problems)
        else:
            verify(server, some, ledger, problems)
        if problems:
            print("round %d of %d, seed %d:" % (number, args.rounds, args.seed))
            break
        if args.verbose:
            print("round %d: %d acknowledged, %.0f s" % (number, ledger.acknowledged, time.monotonic() - began), flush=True)
    for text in problems[:20]:
        print("  " + text)
    if ledger.refusals:  # a role may notice that another was killed a moment earlier
        print("  %d refusals, the first: %s" % (len(ledger.refusals), ledger.refusals[0]))
        if len(ledger.refusals) > args.rounds:
            problems.append("refusals")
    server.kill() if problems else server.stop()
    for text in server.reports():
        problems.append("log")
        print("  " + text)
    print("kill: %d rounds, %d power cuts (%d writes gone), seed %d, %d acknowledged of %d sent, %.0f s"
          % (number, cut, taken, args.seed, ledger.acknowledged, len(ledger.sent), time.monotonic() - began))
    return not problems and ledger.acknowledged > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("posthorn", nargs="?", default=PROGRAM)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--port-base", type=int, default=free_port_base())
    parser.add_argument("--keep", action="store_true", help="leave the data folder behind")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    print("seed %d" % args.seed, flush=True)
    folder = tempfile.mkdtemp(prefix="posthorn-kill-")
    ok = run(args, folder)
    if args.keep or not ok:
        print("left behind: " + folder)
    else:
        remove_folder(folder)
    print("1 passed, 0 failed" if ok else "0 passed, 1 failed")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
