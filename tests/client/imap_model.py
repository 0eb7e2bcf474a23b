#!/usr/bin/env python3
"""Many IMAP sessions on the same mailboxes, each checked against a model of what it has been told.

    imap_model.py --port 2143 [--user u0@example.test --password demo-u0] [--sessions 20] [--steps 2000] [--seed N]

Every step gives random commands to some sessions at once and reads their answers.  A session's model is what its
client knows: how many messages there are, their UIDs, flags and modseqs.  An answer fails the run when the model
forbids it:

* EXISTS that goes down, EXPUNGE of a number that is not there or at a moment RFC 3501 section 7.4.1 forbids;
* a UID out of order or for another message than before; a modseq that goes back;
* the same UID with the same modseq but other flags, in whichever session;
* SEARCH for flags that does not find what the session has been told;
* a UID that comes back after it was expunged, or names another message than the one that was put there;
* VANISHED of what the session was never told of, or of what is still there;
* after SELECT with QRESYNC, a message that went and was not told as vanished, or flags that changed and were not told,
  since the HIGHESTMODSEQ that a client works out by the rules of RFC 7162 section 6;
* at times all sessions fall silent: then each must know what a fresh session sees; those that IDLE or have used NOTIFY
  without being asked, and the latter of mailboxes that are not selected and of names too.

The commands follow from the printed seed; how the server's threads run beside each other does not.
"""

import argparse
import os
import random
import re
import select
import socket
import sys
import time

SYSTEM = ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"]
KEYWORDS = ["$Junk", "$Forwarded", "work"]
BOXES = ["model-a", "model-b", "model-c"]
RENAMED = ["model-c", "model-d"]  # the last one is now called this, now that


class Wrong(Exception):
    """The server said what it must not say."""


# ---- reading responses ----

TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"|([^\s()]*\[[^\]]*\][^\s()]*|[^\s()]+)')


def parse(data):
    """A response's words: bytes, and lists for what stands in parentheses.  Literals are inside `data`."""
    out, stack, at = [], [], 0
    here = out
    while at < len(data):
        c = data[at:at + 1]
        if c in b" \r\n":
            at += 1
        elif c == b"(":
            stack.append(here)
            here.append([])
            here = here[-1]
            at += 1
        elif c == b")":
            here = stack.pop()
            at += 1
        elif c == b"{":
            end = data.index(b"}\r\n", at)
            n = int(data[at + 1:end])
            here.append(data[end + 3:end + 3 + n])
            at = end + 3 + n
        else:
            m = TOKEN.match(data, at)
            here.append(m.group(2) if m.group(2) is not None else m.group(1))
            at = m.end()
    return out


def numbers(text):
    """The numbers of a set without "*"."""
    for part in text.decode().split(","):
        first, _, last = part.partition(":")
        a, b = int(first), int(last or first)
        yield from range(min(a, b), max(a, b) + 1)


class Wire:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""

    def send(self, data):
        self.socket.sendall(data)

    def length(self):
        """Of the response that is there; 0 if it is not whole."""
        at = 0
        while True:
            end = self.held.find(b"\r\n", at)
            if end < 0:
                return 0
            m = re.search(rb"\{(\d+)\}$", self.held[at:end])
            at = end + 2
            if m is None:
                return at
            at += int(m.group(1))
            if at > len(self.held):
                return 0

    def fill(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise Wrong("the connection ended after %r" % self.held[-200:])
        self.held += data

    def ready(self, seconds):
        """Is there a whole response, or is there one within that time?"""
        end = time.monotonic() + seconds
        while self.length() == 0:
            left = end - time.monotonic()
            if left < 0 or not select.select([self.socket], [], [], left)[0]:
                return False
            self.fill()
        return True

    def response(self):
        while self.length() == 0:
            self.fill()
        n = self.length()
        out, self.held = self.held[:n], self.held[n:]
        return out

    def close(self):
        self.socket.close()


# ---- what is true for all sessions ----


class World:
    """What UIDs have meant so far, by (mailbox, UIDVALIDITY, UID)."""

    def __init__(self):
        self.flags = {}      # (box, validity, uid, modseq) -> flags
        self.content = {}    # (box, validity, uid) -> message
        self.expunged = set()
        self.appended = 0
        self.boxes = list(BOXES)
        self.renames = 0

    def saw_flags(self, where, uid, modseq, flags):
        known = self.flags.setdefault((where, uid, modseq), flags)
        if known != flags:
            raise Wrong("%s uid %d modseq %d has flags %s, had %s" % (where, uid, modseq, sorted(flags), sorted(known)))

    def saw_content(self, where, uid, message):
        known = self.content.setdefault((where, uid), message)
        if known != message:
            raise Wrong("%s uid %d is message %s, was %s" % (where, uid, message, known))


class Message:
    """One message as a session knows it; None: not told."""

    __slots__ = ("uid", "flags", "modseq", "stamped")  # stamped: the command during which MODSEQ was told last

    def __init__(self):
        self.uid = self.flags = self.modseq = self.stamped = None


# ---- one session ----


class Session:
    def __init__(self, opts, world, name):
        self.opts, self.world, self.name = opts, world, name
        self.trace = []
        self.away = {}  # validity -> (modseq, {uid: flags}, [uids in order, if all are known]): what is kept while away
        self.connect()

    def connect(self):
        self.wire = Wire(self.opts.host, self.opts.port)
        self.tags = 0
        self.box, self.validity, self.read_only = None, None, False
        self.messages = []
        self.condstore = self.idling = self.qresync = self.rev2 = False
        self.notify = None       # "selected", "delayed", "none"
        self.status = {}         # of other mailboxes, by name: what NOTIFY told; None: not known
        self.names = None        # by NOTIFY
        self.highest = None      # HIGHESTMODSEQ as RFC 7162 section 6 has a client work it out
        self.code = self.seen = None
        self.earlier, self.gone = set(), set()
        self.pending = None  # (tag, verb, by_uid, detail)
        self.note("S", self.wire.response())
        self.run("LOGIN %s %s" % (self.opts.user, self.opts.password))

    def note(self, who, data):
        self.trace.append("%s%s: %s" % (self.name, who, data[:300].decode("latin-1").rstrip()))
        del self.trace[:-int(os.environ.get("MODEL_TRACE", "60"))]

    @property
    def where(self):
        return self.validity  # no two mailboxes have the same

    # ---- commands ----

    def start(self, line, literal=None, detail=None):
        self.tags += 1
        tag = b"%s%d" % (self.name.encode(), self.tags)
        words = line.split()
        by_uid = words[0] == "UID"
        self.pending = (tag, words[1] if by_uid else words[0], by_uid, detail)
        self.touched = set()   # positions told of in FETCH with FLAGS during this command
        self.found = None
        data = tag + b" " + line.encode()
        if literal is not None:
            data += b" {%d+}\r\n" % len(literal) + literal
        self.note("C", data)
        self.wire.send(data + b"\r\n")

    def finish(self):
        """Reads to the tagged answer; its status and text."""
        tag = self.pending[0]
        while True:
            data = self.wire.response()
            self.note("S", data)
            if data.startswith(b"* "):
                self.untagged(data)
            elif data.startswith(b"+ "):
                if self.pending[1] != "IDLE":
                    raise Wrong("an invitation nobody waits for")
                self.idling = True
                return None, data
            elif data.startswith(tag + b" "):
                self.idling = False
                status, text = data[len(tag) + 1:].rstrip().split(b" ", 1)
                self.code_of(text)
                self.take_modseq()
                self.done(status, text)
                self.pending = None
                return status, text
            else:
                raise Wrong("a tagged answer nobody waits for: %r" % data[:100])

    def run(self, line, **more):
        self.start(line, **more)
        status, text = self.finish()
        if status != b"OK":
            raise Wrong("%s: %s %r" % (line[:100], status, text[:200]))
        return text

    def drain(self, seconds=0.0):
        """Reads what comes while no command is being given."""
        while self.wire.ready(seconds):
            data = self.wire.response()
            self.note("S", data)
            self.untagged(data)
            return True
        return False

    def code_of(self, text):
        m = re.match(rb"\[HIGHESTMODSEQ (\d+)\]", text)
        if m:
            self.code = int(m.group(1))

    def take_modseq(self):
        if self.code is not None:
            self.highest = self.code
        elif self.seen is not None and self.highest is not None and self.seen > self.highest:
            self.highest = self.seen
        self.code = self.seen = None

    # ---- untagged ----

    def untagged(self, data):
        words = parse(data[2:])
        kind = words[1].upper() if len(words) > 1 and words[0].isdigit() else words[0].upper()
        if kind == b"EXISTS":
            self.exists(int(words[0]))
        elif kind == b"EXPUNGE":
            self.expunge(int(words[0]))
        elif kind == b"FETCH":
            self.fetch(int(words[0]), words[2])
        elif kind == b"VANISHED":
            if words[1] == [b"EARLIER"]:
                self.vanished_earlier(set(numbers(words[2])))
            else:
                for uid in numbers(words[1]):
                    self.vanished(uid)
        elif kind == b"STATUS":
            self.told_status(words[1].decode(), dict(zip(words[2][::2], words[2][1::2])))
        elif kind == b"LIST":
            self.told_name(words)
        elif kind == b"ESEARCH":
            found = words[words.index(b"ALL") + 1] if b"ALL" in words else None
            self.searched(set(numbers(found)) if found else set())
        elif kind == b"RECENT":
            if self.rev2:
                raise Wrong("RECENT in IMAP4rev2")
            if int(words[0]) > len(self.messages):
                raise Wrong("more recent messages than there are")
        elif kind == b"SEARCH":
            self.searched({int(w) for w in words[1:] if isinstance(w, bytes)})
        elif kind == b"BYE":
            if self.pending is None or self.pending[1] != "LOGOUT":
                raise Wrong("BYE: %r" % data)
        elif kind == b"OK":
            self.code_of(data[5:])
            if data.startswith(b"* OK [CLOSED]"):
                self.box, self.messages, self.code, self.seen, self.highest = None, [], None, None, None
                self.earlier, self.gone = set(), set()
            m = re.match(rb"\* OK \[UIDVALIDITY (\d+)\]", data)
            if m:
                self.validity = int(m.group(1))
            m = re.match(rb"\* OK \[COPYUID (\d+) (\S+) (\S+)\]", data)
            if m:
                self.copied(m)

    def exists(self, n):
        selecting = self.pending is not None and self.pending[1] in ("SELECT", "EXAMINE")
        if self.box is None and not selecting:
            raise Wrong("EXISTS without a mailbox")
        if n < len(self.messages):
            raise Wrong("EXISTS %d after %d" % (n, len(self.messages)))
        self.messages += [Message() for _ in range(n - len(self.messages))]

    def may_expunge(self):
        if self.notify == "selected":
            return
        if self.pending is None:
            raise Wrong("EXPUNGE while no command runs")
        _, verb, by_uid, _ = self.pending
        if verb in ("FETCH", "STORE", "SEARCH") and not by_uid:
            raise Wrong("EXPUNGE while %s runs" % verb)

    def vanished(self, uid):
        """VANISHED without EARLIER: RFC 7162 section 3.2.10.2."""
        self.may_expunge()
        if not self.qresync:
            raise Wrong("VANISHED for who did not ask for it")
        for i, m in enumerate(self.messages):
            if m.uid == uid:
                return self.take_away(i)
        below = max((i for i, m in enumerate(self.messages) if m.uid is not None and m.uid < uid), default=-1)
        above = min((i for i, m in enumerate(self.messages) if m.uid is not None and m.uid > uid),
                    default=len(self.messages))
        if above - below < 2:
            raise Wrong("VANISHED %d, which was never there" % uid)
        for i in range(below + 1, above):  # it was one of these: nothing is known of any now
            self.messages[i].flags = self.messages[i].modseq = None
        self.messages[below + 1].uid = uid
        self.take_away(below + 1)

    def vanished_earlier(self, uids):
        if self.pending is None or self.pending[1] not in ("SELECT", "EXAMINE", "FETCH"):
            raise Wrong("VANISHED (EARLIER) nobody asked for")
        self.earlier |= uids
        there = {m.uid for m in self.messages} & uids
        if there:
            raise Wrong("VANISHED (EARLIER) of what is there: %s" % sorted(there)[:10])

    def told_status(self, box, items):
        known = self.status.get(box)
        if known is not None:
            known.update({k.decode(): int(v) for k, v in items.items()})
        elif self.notify is not None and self.pending is not None and self.pending[1] == "NOTIFY":
            self.status[box] = {k.decode(): int(v) for k, v in items.items()}

    def told_name(self, words):
        if self.names is None:
            return
        name = words[3].decode()
        if b"\\NonExistent" in words[1]:
            self.names.discard(name)
        else:
            self.names.add(name)
        if len(words) > 4:
            old = words[4][1][0].decode()
            self.names.discard(old)
            if old in self.status:
                self.status[name] = self.status.pop(old)

    def expunge(self, n):
        self.may_expunge()
        if self.qresync:
            raise Wrong("EXPUNGE for who asked for VANISHED")
        if not 1 <= n <= len(self.messages):
            raise Wrong("EXPUNGE %d of %d" % (n, len(self.messages)))
        self.take_away(n - 1)

    def take_away(self, position):
        n = position + 1
        gone = self.messages.pop(position)
        self.gone.add(gone.uid)
        self.touched = {p - 1 if p > n - 1 else p for p in self.touched if p != n - 1}
        if gone.uid is not None:
            self.world.expunged.add((self.where, gone.uid))

    def fetch(self, n, items):
        if not 1 <= n <= len(self.messages):
            raise Wrong("FETCH %d of %d" % (n, len(self.messages)))
        m = self.messages[n - 1]
        told = {}
        for i in range(0, len(items), 2):
            told[items[i].upper()] = items[i + 1]
        if b"UID" in told:
            self.learn_uid(n - 1, int(told[b"UID"]))
        elif self.pending and self.pending[2]:
            raise Wrong("FETCH without UID in a UID command")
        if b"FLAGS" in told:
            m.flags = frozenset(f.decode() for f in told[b"FLAGS"] if f != b"\\Recent")
            self.touched.add(n - 1)
        if b"MODSEQ" in told:
            modseq = int(told[b"MODSEQ"][0])
            if m.modseq is not None and modseq < m.modseq:
                raise Wrong("message %d: modseq %d after %d" % (n, modseq, m.modseq))
            m.modseq, m.stamped = modseq, self.tags
            self.seen = max(self.seen or 0, modseq)
            if b"FLAGS" in told and m.uid is not None:
                self.world.saw_flags(self.where, m.uid, modseq, m.flags)
        elif b"FLAGS" in told:
            m.modseq = None
            enabling = self.pending is not None and self.pending[1] in ("ENABLE", "SELECT", "EXAMINE")
            if self.condstore and not enabling:
                raise Wrong("FLAGS without MODSEQ for a client that knows it")
        for name, value in told.items():
            if name.startswith(b"BODY[HEADER.FIELDS") and m.uid is not None:
                self.world.saw_content(self.where, m.uid, value.strip().split(b":")[1].strip().decode())

    def learn_uid(self, position, uid):
        m = self.messages[position]
        if m.uid is not None and m.uid != uid:
            raise Wrong("message %d has UID %d, had %d" % (position + 1, uid, m.uid))
        if m.uid is None:
            below = next((x.uid for x in reversed(self.messages[:position]) if x.uid is not None), 0)
            above = next((x.uid for x in self.messages[position + 1:] if x.uid is not None), 1 << 32)
            if not below < uid < above:
                raise Wrong("UID %d between %d and %d" % (uid, below, above))
            m.uid = uid

    def searched(self, found):
        if self.pending is None or self.pending[1] != "SEARCH":
            raise Wrong("SEARCH nobody asked for")
        _, _, by_uid, test = self.pending
        if self.notify == "none":
            return  # its messages are those of a moment, its flags are not
        for i, m in enumerate(self.messages):
            number = m.uid if by_uid else i + 1
            if m.flags is None or number is None:
                found.discard(number)
                continue
            if test(m.flags) != (number in found):
                raise Wrong("SEARCH: message %d (uid %s, flags %s): found is %s" %
                            (i + 1, m.uid, sorted(m.flags), number in found))
            found.discard(number)
        unknown = {m.uid for m in self.messages} if not by_uid else set()
        if by_uid and None not in {m.uid for m in self.messages} and found - unknown:
            raise Wrong("SEARCH found what is not there: %s" % sorted(found)[:10])
        if not by_uid and found:
            raise Wrong("SEARCH found what is not there: %s" % sorted(found)[:10])

    # ---- what a tagged answer means ----

    def copied(self, m):
        """COPYUID: source and destination name the same messages (RFC 4315 section 3)."""
        source, target = list(numbers(m.group(2))), list(numbers(m.group(3)))
        if len(source) != len(target):
            raise Wrong("COPYUID of %d to %d messages" % (len(source), len(target)))
        where = int(m.group(1))
        for a, b in zip(source, target):
            content = self.world.content.get((self.where, a))
            if content is not None:
                self.world.saw_content(where, b, content)

    def done(self, status, text):
        _, verb, by_uid, detail = self.pending
        if status == b"BAD":
            raise Wrong("BAD: %r" % text)
        if verb in ("SELECT", "EXAMINE"):
            self.box = None
            if status == b"OK":
                self.box, self.read_only = detail[0], verb == "EXAMINE"
        elif verb == "NOTIFY" and status == b"OK":
            self.notify = detail
            if self.names is None:  # NONE: what came before it does not count
                self.status = {}
        elif verb in ("CLOSE", "UNSELECT"):
            self.box, self.messages = None, []
        elif verb == "APPEND" and status == b"OK":
            m = re.match(rb"\[APPENDUID (\d+) (\d+)\]", text)
            self.world.saw_content(int(m.group(1)), int(m.group(2)), detail[1])
        elif verb == "COPY" and status == b"OK":
            m = re.match(rb"\[COPYUID (\d+) (\S+) (\S+)\]", text)
            if m:
                self.copied(m)
        elif verb == "STORE" and detail is not None:
            self.stored(status, text, by_uid, *detail)

    def stored(self, status, text, by_uid, targets, op, flags, silent):
        """A .SILENT client works out by itself what became of the flags."""
        m = re.match(rb"\[MODIFIED (\S+)\]", text)
        refused = set(numbers(m.group(1))) if m else set()
        for i, message in enumerate(self.messages):
            if silent and by_uid and message.uid is None:
                message.flags = None  # it may have been among them
                continue
            if (message.uid if by_uid else i + 1) not in targets or (message.uid if by_uid else i + 1) in refused:
                continue
            if not silent or message.flags is None:
                continue
            now = message.flags | flags if op == "+" else message.flags - flags if op == "-" else frozenset(flags)
            if i in self.touched or status != b"OK":
                message.flags = None  # told before or after our change: a client cannot know which
            elif self.condstore and now != message.flags and message.stamped != self.tags:
                message.flags = None  # a change would have had its MODSEQ (RFC 7162 section 3.1.3): it is gone
            else:
                message.flags = now
            if not self.condstore:
                message.modseq = None

    # ---- the random client ----

    def pick_set(self, rng, by_uid):
        """A set for the wire, and what it names."""
        known = [m.uid for m in self.messages if m.uid is not None] if by_uid else list(range(1, len(self.messages) + 1))
        if not known:
            return None, None
        kind = rng.random()
        if kind < 0.4:
            n = rng.choice(known)
            return str(n), {n}
        if kind < 0.8:
            a, b = sorted((rng.choice(known), rng.choice(known)))
            return "%d:%d" % (rng.choice([(a, b), (b, a)])), set(range(a, b + 1))
        some = rng.sample(known, min(len(known), rng.randint(1, 6)))
        return ",".join(map(str, some)), set(some)

    def choose(self, rng):
        """Starts something."""
        if self.idling:
            self.wire.send(b"DONE\r\n")
            self.note("C", b"DONE")
            return
        if self.notify is None and not self.condstore and self.box is None and rng.random() < 0.3:
            return self.do_enable(rng)
        if self.box is None or rng.random() < 0.03:
            return self.do_select(rng)
        if rng.random() < 0.02:
            return self.do_notify(rng)
        if rng.random() < 0.01:
            return self.do_rename(rng)
        rng.choices([self.do_fetch, self.do_store, self.do_search, self.do_append, self.do_copy, self.do_expunge,
                     self.do_idle, self.do_other], [20, 25, 8, 8, 5, 6, 6, 8])[0](rng)

    def do_enable(self, rng):
        what = rng.choice(["CONDSTORE", "QRESYNC", "QRESYNC IMAP4rev2", "IMAP4rev2"])
        self.condstore = "STORE" in what or "QRESYNC" in what
        self.qresync = "QRESYNC" in what
        self.rev2 = self.rev2 or "rev2" in what
        self.start("ENABLE " + what)

    def do_notify(self, rng):
        kind = rng.choice(["selected", "delayed", "none", "none"])
        flags = " FlagChange"
        groups = "(personal (MessageNew MessageExpunge%s MailboxName))" % flags
        self.status, self.names, self.highest = {}, set(self.world.boxes), self.highest if kind != "none" else None
        if kind == "none" and rng.random() < 0.5:
            self.names = None
            return self.start("NOTIFY NONE", detail=kind)
        if kind != "none":
            items = rng.choice([" (UID FLAGS)", " (UID FLAGS)", "", " (UID BODY.PEEK[HEADER.FIELDS (X-Model)])"])
            groups = "(selected%s (MessageNew%s MessageExpunge%s)) %s" % (
                "-delayed" if kind == "delayed" else "", items, flags, groups)
        self.notify = kind if self.notify is None or kind == "selected" else self.notify  # it may begin at once
        self.start("NOTIFY SET STATUS " + groups, detail=kind)

    def do_rename(self, rng):
        """Whoever comes second finds that it is called otherwise already."""
        self.forget_own(None)
        old, new = rng.sample(RENAMED, 2)
        self.start("RENAME %s %s" % (old, new), detail=(old, new))

    def leave(self):
        """What a client keeps of a mailbox."""
        if self.qresync and self.highest is not None and self.box is not None and self.notify != "none":
            known = {m.uid: m.flags for m in self.messages if m.uid is not None and m.flags is not None}
            order = [m.uid for m in self.messages] if all(m.uid is not None for m in self.messages) else []
            self.away[self.validity] = (self.highest, known, order)

    def do_select(self, rng):
        self.leave()
        box = rng.choice(self.world.boxes)
        verb = "EXAMINE" if rng.random() < 0.15 else "SELECT"
        extra, resync = "", None
        if self.qresync and self.away and rng.random() < 0.8:
            validity = rng.choice(sorted(self.away))
            modseq, known, order = self.away[validity]
            asked = set(known)
            extra = "%d %d" % (validity, modseq)
            if rng.random() < 0.4 and known:
                some = sorted(rng.sample(sorted(known), rng.randint(1, len(known))))[:200]
                asked = set(some)
                extra += " " + ",".join(map(str, some))
            if rng.random() < 0.4 and order:
                pairs = sorted(rng.sample(range(len(order)), min(len(order), 8)))
                extra += " (%s %s)" % (",".join(str(p + 1) for p in pairs), ",".join(str(order[p]) for p in pairs))
            extra = " (QRESYNC (%s))" % extra
            resync = (validity, {uid: known[uid] for uid in asked})
        elif not self.condstore and rng.random() < 0.2:
            extra = " (CONDSTORE)"
            self.condstore = True
        if self.box is None:
            self.highest = self.seen = None
            self.messages = []
            self.earlier, self.gone = set(), set()
        self.start("%s %s%s" % (verb, box, extra), detail=(box, resync))

    def check_resync(self, validity, known):
        """All that changed while the session was away has been told."""
        if self.box is None or validity != self.validity or not known:
            return
        told = {m.uid: m.flags for m in self.messages if m.uid is not None}
        earlier, highest = set(self.earlier), self.highest
        self.run("UID FETCH 1:* (FLAGS)")
        there = {m.uid: m for m in self.messages}
        back = earlier & set(there)
        if back:
            raise Wrong("vanished, and there: %s" % sorted(back)[:10])
        for uid, flags in known.items():
            if uid in earlier:
                continue
            if uid not in there:
                if uid not in self.gone:
                    raise Wrong("UID %d went while the session was away, and it was not told" % uid)
            elif there[uid].modseq <= highest and told.get(uid, flags) != there[uid].flags:
                raise Wrong("UID %d: the session knew %s and was told %s, true is %s" %
                            (uid, sorted(flags), told.get(uid), sorted(there[uid].flags)))

    def forget_own(self, box):
        """What a session does itself is not told by NOTIFY: nobody knows what is told with it."""
        for name in list(self.status):
            if box is None or name == box or (box in RENAMED and name in RENAMED):
                self.status[name] = None
        if box is None:
            self.names = None

    def do_fetch(self, rng):
        by_uid = rng.random() < 0.6 or self.notify == "selected"
        some, _ = self.pick_set(rng, by_uid)
        if self.qresync and self.highest is not None and rng.random() < 0.2:
            return self.start("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)" % self.highest)
        if some is None or rng.random() < 0.3:
            some = "1:*" if self.messages or by_uid else None
        if some is None:
            return self.start("NOOP")
        items = rng.choice(["(UID FLAGS)", "(UID FLAGS)", "(UID BODY.PEEK[HEADER.FIELDS (X-Model)])",
                            "(UID BODY[TEXT])", "(FLAGS RFC822.SIZE INTERNALDATE)", "(UID ENVELOPE)"])
        if self.condstore and rng.random() < 0.5:
            items = "(UID FLAGS MODSEQ)"
        self.start("%sFETCH %s %s" % ("UID " if by_uid else "", some, items))

    def do_store(self, rng):
        by_uid, silent, op = rng.random() < 0.5 or self.notify == "selected", rng.random() < 0.5, rng.choice("+-+- ").strip()
        some, targets = self.pick_set(rng, by_uid)
        if some is None or self.read_only:
            return self.start("NOOP")
        flags = frozenset(rng.sample(SYSTEM + KEYWORDS, rng.randint(1, 3)))
        if op == "+" and "\\Deleted" in flags and rng.random() < 0.6:
            flags -= {"\\Deleted"}
        unchanged = ""
        if self.condstore and rng.random() < 0.3:
            known = [m.modseq for m in self.messages if m.modseq is not None]
            unchanged = "(UNCHANGEDSINCE %d) " % (rng.choice(known) if known else 1)
        self.start("%sSTORE %s %s%sFLAGS%s (%s)" % ("UID " if by_uid else "", some, unchanged, op,
                                                    ".SILENT" if silent else "", " ".join(sorted(flags))),
                   detail=(targets, op, flags, silent))

    def do_search(self, rng):
        flag = rng.choice(SYSTEM)
        word = flag[1:].upper()
        un = rng.random() < 0.5
        test = (lambda flags: flag not in flags) if un else (lambda flags: flag in flags)
        if rng.random() < 0.2:
            keyword = rng.choice(KEYWORDS)
            self.start("UID SEARCH KEYWORD " + keyword, detail=lambda flags: keyword in flags)
        else:
            by_uid = "UID " if self.notify == "selected" else rng.choice(["", "UID "])
            self.start("%sSEARCH %s%s" % (by_uid, "UN" if un else "", word), detail=test)

    def do_append(self, rng):
        self.world.appended += 1
        name = "m%d" % self.world.appended
        text = b"From: model@example.test\r\nSubject: %s\r\nX-Model: %s\r\n\r\n" % (name.encode(), name.encode())
        text += b"line of text\r\n" * rng.randint(0, 200)
        box = rng.choice(self.world.boxes)
        self.forget_own(box)
        flags = rng.choice(["", " (\\Seen)", " (\\Flagged $Junk)"])
        self.start("APPEND %s%s" % (box, flags), literal=text, detail=(box, name))

    def do_copy(self, rng):
        by_uid = rng.random() < 0.5 or self.notify == "selected"
        some, _ = self.pick_set(rng, by_uid)
        if some is None or (len(self.messages) > 150 and rng.random() < 0.8):
            return self.start("NOOP")
        verb = "MOVE" if not self.read_only and rng.random() < 0.5 else "COPY"
        box = rng.choice(self.world.boxes)
        self.forget_own(box)
        if verb == "MOVE":
            self.forget_own(self.box)
        self.start("%s%s %s %s" % ("UID " if by_uid else "", verb, some, box), detail=box)

    def do_expunge(self, rng):
        if self.read_only:
            return self.start("NOOP")
        some, _ = self.pick_set(rng, True)
        if some is not None and rng.random() < 0.4:
            self.start("UID EXPUNGE " + some)
        else:
            self.start("EXPUNGE")

    def do_idle(self, rng):
        self.start("IDLE")

    def do_other(self, rng):
        what = rng.choice(["NOOP", "NOOP", "NOOP", "CHECK", "CLOSE", "UNSELECT", "STATUS", "ENABLE", "LOGOUT"])
        if what == "STATUS":
            box = rng.choice(self.world.boxes)
            what = "STATUS %s (MESSAGES UIDNEXT UNSEEN UIDVALIDITY SIZE)" % box
            self.forget_own(box)
        elif what == "ENABLE":
            what = "ENABLE CONDSTORE"
            self.condstore = True
        elif what in ("CLOSE", "UNSELECT"):
            self.forget_own(self.box)
            self.leave()
        elif what == "LOGOUT":
            self.leave()
        self.start(what)

    def answer(self):
        """Reads what was started; a LOGOUT is followed by a new connection."""
        _, verb, _, detail = self.pending
        status, _ = self.finish()
        if verb in ("SELECT", "EXAMINE") and status == b"OK":
            self.forget_own(self.box)
            if detail[1] is not None:
                self.check_resync(*detail[1])
        if verb == "RENAME" and status == b"OK":
            self.world.boxes = [detail[1] if b == detail[0] else b for b in self.world.boxes]
        if verb == "LOGOUT":
            self.wire.close()
            self.connect()


# ---- all of them ----


def differs(s, truth):
    """What a session does not know, or None."""
    want, validity = truth[s.validity], s.validity
    if len(want) != len(s.messages):
        return "knows %d messages in %s, there are %d" % (len(s.messages), s.box, len(want))
    for i, (m, w) in enumerate(zip(s.messages, want)):
        if m.uid not in (None, w.uid) or m.flags not in (None, w.flags) or m.modseq not in (None, w.modseq):
            return "message %d in %s (%d): knows %s %s %s, true is %s %s %s" % (
                i + 1, s.box, validity, m.uid, sorted(m.flags or ()), m.modseq, w.uid, sorted(w.flags or ()), w.modseq)
    return None


def others_differ(s, counts, world):
    """What NOTIFY should have told of mailboxes that are not selected, and of names."""
    for box, told in s.status.items():
        true = counts.get(box)
        if told is None or true is None or (s.box is not None and s.validity == true["UIDVALIDITY"]):
            continue
        for item in ("MESSAGES", "UIDNEXT", "UNSEEN"):
            if item in told and told[item] != true[item]:
                return "was told %s %d of %s, true is %d" % (item, told[item], box, true[item])
    if s.names is not None and not set(world.boxes) <= s.names:
        return "knows the names %s, there are %s" % (sorted(s.names), world.boxes)
    return None


def learn_truth(opts, world):
    """By validity what is in the mailboxes, by name how many."""
    truth, counts = {}, {}
    fresh = Session(opts, world, "z")
    for box in world.boxes:
        fresh.run("EXAMINE %s (CONDSTORE)" % box, detail=(box, None))
        fresh.condstore = True
        if fresh.messages:
            fresh.run("FETCH 1:* (UID FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (X-Model)])")
        for m in fresh.messages:
            if (fresh.where, m.uid) in world.expunged:
                raise Wrong("%s: UID %d is back" % (box, m.uid))
        truth[fresh.validity] = fresh.messages
        fresh.status = {box: {}}
        fresh.run("STATUS %s (MESSAGES UIDNEXT UNSEEN UIDVALIDITY)" % box)
        counts[box] = fresh.status[box]
    fresh.wire.close()
    return truth, counts


def settle(sessions, opts, world):
    """Everybody hears what there is to hear; then all must know what a fresh session sees."""
    truth, counts = learn_truth(opts, world)
    for s in sessions:
        unasked = s.box is not None and (s.idling or s.notify == "selected") and s.notify != "none"
        end = time.monotonic() + 10
        while True:  # those that idle or have said what they want to hear are not asked
            wrong = (differs(s, truth) if unasked else None) or (
                others_differ(s, counts, world) if s.notify is not None else None)
            if wrong is None or time.monotonic() > end:
                break
            s.drain(0.2)
        while s.drain():
            pass
        if wrong is not None:
            s.trace.append("%s: %s" % (s.name, wrong))
            raise Wrong("session %s was not told of a change" % s.name)
        if s.idling:
            s.wire.send(b"DONE\r\n")
            s.finish()
    for s in sessions:
        if s.box is None:
            continue
        if s.notify != "none":
            s.run("NOOP")
            wrong = differs(s, truth)
            if wrong is not None:
                s.trace.append("%s: %s" % (s.name, wrong))
                raise Wrong("session %s was not told of a change" % s.name)


def play(opts):
    rng = random.Random(opts.seed)
    world = World()
    sessions, acting = [], None
    try:
        maker = Session(opts, world, "y")
        for box in BOXES:
            maker.start("CREATE " + box)
            maker.finish()
        maker.wire.close()
        for i in range(opts.sessions):
            sessions.append(Session(opts, world, "s%dx" % i))
        for step in range(opts.steps):
            active = rng.sample(sessions, rng.randint(1, min(6, len(sessions))))
            for acting in active:
                acting.choose(rng)
            for acting in rng.sample(active, len(active)):
                acting.answer()
            if step % 100 == 99:
                acting = None
                settle(sessions, opts, world)
        settle(sessions, opts, world)
    except (Wrong, OSError) as why:
        while acting is not None and acting.wire.held + b"" and acting.wire.ready(0.3):
            acting.note("S (afterwards)", acting.wire.response())
        for s in [acting] if acting is not None else sessions:
            if s is not None and (acting is not None or ("session %s " % s.name) in str(why)):
                print("\n".join(line.split("\n")[0] for line in s.trace))
        print("FAILED: %s (seed %d)" % (why, opts.seed))
        return 1
    return 0


def run(c):
    """As a theme of tests/client/run."""
    user, seed = c.users[0], c.random.randrange(1 << 30)
    opts = argparse.Namespace(host=c.host, port=c.port("imap"), user=user, password=c.password(user), sessions=20,
                              steps=int(os.environ.get("MODEL_STEPS", "1500")), seed=seed)
    c.ok("%d steps of %d sessions, seed %d" % (opts.steps, opts.sessions, seed), play(opts) == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2143)
    parser.add_argument("--user", default="u0@example.test")
    parser.add_argument("--password", default="demo-u0")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    opts = parser.parse_args()
    print("seed %d" % opts.seed, flush=True)
    began = time.monotonic()
    status = play(opts)
    if status == 0:
        print("%d steps of %d sessions in %.0f s: nothing the model forbids" %
              (opts.steps, opts.sessions, time.monotonic() - began))
    return status


if __name__ == "__main__":
    sys.exit(main())
