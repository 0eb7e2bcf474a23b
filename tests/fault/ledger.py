"""What was asked, what was acknowledged, and whether the mailboxes agree."""

import threading
import time

from post import Dismissed, Lost, Refused, fetch, read_message, select


RECENT = 300  # messages of a mailbox that are read again every time


class Ledger:
    """What was asked for and what was acknowledged.  All clients write here."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sent = {}       # name -> (accounts, acknowledged)
        self.acknowledged = 0
        self.expunges = {}   # (account, name) -> acknowledged?
        self.flags = {}      # (account, name) -> [certain, possible]
        self.refusals = []

    def sending(self, name, accounts):
        with self.lock:
            self.sent[name] = (accounts, False)

    def was_sent(self, name, without=()):
        """Acknowledged, but for the accounts that were refused."""
        with self.lock:
            self.sent[name] = (tuple(a for a in self.sent[name][0] if a not in without), True)
            self.acknowledged += 1

    def refused(self, why):
        with self.lock:
            self.refusals.append(str(why))


class Names:
    """A new one for every attempt."""

    def __init__(self):
        self.lock, self.next = threading.Lock(), 0

    def make(self):
        with self.lock:
            self.next += 1
            return "m%d" % self.next


class Mailbox:
    """An INBOX as it has been seen so far."""

    def __init__(self, account):
        self.account = account
        self.uidvalidity = None
        self.uidnext = self.modseq = 0
        self.names = {}    # uid -> name: for ever
        self.uids = {}     # name -> uid, of what is there
        self.states = {}   # uid -> {modseq: flags}
        self.gone = set()

    def read(self, server, ledger, problems, whole=False):
        """All of it, or only the newest part of what is known and what has come since."""
        known = sorted(self.names)
        first = 1 if whole or len(known) <= RECENT else known[-RECENT]
        imap = server.imap(self.account)
        try:
            numbers = select(imap, "INBOX", "EXAMINE")
            self.check_numbers(numbers, problems)
            found = fetch(imap, "%d:*" % first, False) if numbers["exists"] > 0 else {}
            new = sorted(uid for uid in found if uid not in self.names)
            bodies = {}
            for at in range(0, len(new), 200):
                part = new[at:at + 200]
                bodies.update(fetch(imap, ",".join(map(str, part)), True))
        finally:
            imap.close()
        if whole and len(found) < numbers["exists"]:  # more may have come in between: what is recovered after a start
            problems.append("u%d: %d messages exist, %d were fetched" % (self.account, numbers["exists"], len(found)))
        self.check_new(new, bodies, ledger, problems)
        self.check_states([uid for uid in self.names if uid >= first], found, ledger, problems)
        self.uidnext, self.modseq = numbers["uidnext"], numbers["modseq"]

    def say(self, problems, uid, text):
        problems.append("u%d uid %d (%s): %s" % (self.account, uid, self.names.get(uid), text))

    def check_numbers(self, numbers, problems):
        if self.uidvalidity not in (None, numbers["uidvalidity"]):
            problems.append("u%d: UIDVALIDITY was %d, is %d" % (self.account, self.uidvalidity, numbers["uidvalidity"]))
        self.uidvalidity = numbers["uidvalidity"]
        for name, before in (("uidnext", self.uidnext), ("modseq", self.modseq)):
            if numbers[name] < before:
                problems.append("u%d: %s went back from %d to %d" % (self.account, name, before, numbers[name]))

    def check_new(self, new, bodies, ledger, problems):
        for uid in new:
            raw = bodies.get(uid, (0, 0, None))[2]
            name = read_message(raw) if raw is not None else None
            self.names[uid] = name
            if uid < self.uidnext:
                self.say(problems, uid, "new, but UIDNEXT had been %d" % self.uidnext)
            if name is None:
                self.say(problems, uid, "not whole: %r" % (raw[:60] if raw is not None else None))
            elif name not in ledger.sent or self.account not in ledger.sent[name][0]:
                self.say(problems, uid, "was never sent here")
            elif name in self.uids:
                self.say(problems, uid, "is there twice: uid %d too" % self.uids[name])
            elif name in self.gone:
                self.say(problems, uid, "came back")
            self.uids[name] = uid

    def check_states(self, uids, found, ledger, problems):
        for uid in uids:
            name = self.names[uid]
            key = (self.account, name)
            expunged = ledger.expunges.get(key)
            if uid not in found:
                if name in self.uids and expunged is None:
                    self.say(problems, uid, "is gone")
                self.gone.add(name)
                self.uids.pop(name, None)
                self.states.pop(uid, None)
                continue
            modseq, flags, _ = found[uid]
            if name in self.gone:
                self.say(problems, uid, "came back")
            if expunged is True:
                self.say(problems, uid, "was expunged, and acknowledged")
            certain, possible = ledger.flags.get(key, (frozenset(), frozenset()))
            if not certain <= flags <= possible:
                self.say(problems, uid, "flags %s, not between %s and %s" % (sorted(flags), sorted(certain), sorted(possible)))
            ledger.flags[key] = [flags, flags]  # what was not acknowledged is settled now
            seen = self.states.setdefault(uid, {})
            if seen and modseq < max(seen):
                self.say(problems, uid, "MODSEQ went back from %d to %d" % (max(seen), modseq))
            if seen.get(modseq, flags) != flags:
                self.say(problems, uid, "MODSEQ %d meant %s, means %s" % (modseq, sorted(seen[modseq]), sorted(flags)))
            seen[modseq] = flags

    def has(self, name):
        return name in self.uids or name in self.gone

    def missing(self, ledger):
        """Acknowledged, and neither here nor expunged."""
        return [name for name, (accounts, acknowledged) in ledger.sent.items()
                if acknowledged and self.account in accounts and not self.has(name)
                and ledger.expunges.get((self.account, name)) is None]


def verify(server, mailboxes, ledger, problems, whole=False):
    """Reads these mailboxes; what is recovered in the background may take a moment."""
    for mailbox in mailboxes:
        try:
            verify_one(server, mailbox, ledger, problems, whole)
        except (Dismissed, Lost, Refused) as why:
            problems.append("u%d: reading it: %s: %s" % (mailbox.account, type(why).__name__, why))


def verify_one(server, mailbox, ledger, problems, whole):
    deadline = time.monotonic() + 20
    mailbox.read(server, ledger, problems, whole)
    while not problems and mailbox.missing(ledger) and time.monotonic() < deadline:
        time.sleep(0.05)
        mailbox.read(server, ledger, problems)
    for name in mailbox.missing(ledger)[:5]:
        problems.append("u%d: %s was acknowledged and is lost" % (mailbox.account, name))


def verify_all(server, mailboxes, ledger, problems):
    """All of them, also each message against all of its recipients, and the server's own check."""
    verify(server, mailboxes, ledger, problems, whole=True)
    deadline = time.monotonic() + 20
    for name, (accounts, _) in list(ledger.sent.items()):
        there = [a for a in accounts if mailboxes[a].has(name)]
        while there and len(there) < len(accounts) and not problems:
            if time.monotonic() > deadline:
                problems.append("%s reached %d of %d recipients" % (name, len(there), len(accounts)))
            for a in set(accounts) - set(there):  # nobody was promised it: it may be on its way still
                mailboxes[a].read(server, ledger, problems)
            there = [a for a in accounts if mailboxes[a].has(name)]
    status, text = server.command("check")
    if status != 0:
        problems.append("posthorn check:\n" + text)
