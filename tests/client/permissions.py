"""Rights: accounts that share mailboxes with each other give random IMAP commands, each against a model of who may do what.

Every mailbox has words of its own in its name, messages, keywords and annotations.  Whatever a session is told, asked for or
not, is looked through for words that its user may not see.  What is hidden must be answered like what does not exist.  Rights
change all the time, also while sessions have the mailbox selected or are told by NOTIFY and IDLE.  POP3 and the administrator's
commands by somebody else are looked through too.

    PERMISSIONS_STEPS=100000 tests/client/run permissions      # longer; the seed is printed and can be given
"""

import os
import re
import subprocess
import time

from imap_model import Wire, Wrong, parse
from sendmail import becoming

STEPS = int(os.environ.get("PERMISSIONS_STEPS", "6000"))
SECONDS = int(os.environ.get("PERMISSIONS_SECONDS", "20"))  # at most, unless steps were asked for
ALL = set("lrswipkxtea")
WORD = re.compile(rb"Z[nckap][0-9a-f]{12}")
LEVELS = 3


class Box:
    def __init__(self, owner, name, acl, real=True):
        self.owner, self.name, self.acl, self.real = owner, name, dict(acl), real

    def rights(self, user):
        """docs/imap.md: what all that concern somebody give, without what all that concern him take."""
        given, taken, named = set(), set(), False
        for who, rights in self.acl.items():
            negative, plain = who.startswith("-"), who.lstrip("-")
            if plain != user and (user == self.owner or plain not in ("anyone", "authenticated")):
                continue
            named = named or not negative
            (taken if negative else given).update(rights)
        if user == self.owner:
            return ((given if named else ALL) - taken) | set("la")
        return given - taken


class World:
    def __init__(self, c):
        self.c, self.random = c, c.random
        self.boxes = {}     # (owner, name) -> Box
        self.content = {}   # word -> boxes it was ever put in
        self.private = {}   # word of a private annotation -> (user, box)
        self.typed = set()  # (user, word): names that the user keeps a subscription to
        self.seconds = {}   # word of a message -> words of its keywords
        self.listeners = []
        self.wrong, self.counts, self.trace = [], {}, []

    def word(self, kind):
        return "Z%s%012x" % (kind, self.random.getrandbits(48))

    def remember(self):
        """How things stood before a step: what goes is told once to who could see it, listeners some steps later."""
        self.now = [Box(box.owner, box.name, box.acl) for box in self.boxes.values()]
        for s in self.listeners:
            s.past += self.now

    def may_see(self, session, word):
        user = session.user
        kind = word[1]
        if kind == "p":
            return self.private[word][0] == user
        if kind == "n":
            if (user, word) in self.typed:
                return True
            return any(word in box.name and (box.owner == user or box.rights(user) & set("lrikxa"))
                       for box in list(self.boxes.values()) + self.now + session.past)
        homes = self.content.get(word, ())
        if kind == "a":
            return any("l" in box.rights(user) and box.rights(user) & set("rswip") for box in homes)
        if any(box.owner == user for box in homes):  # what he took from himself he may give back; FLAGS names all his keywords
            return True
        return any("r" in box.rights(user) for box in homes)

    def fault(self, session, text):
        self.wrong.append("%s: %s\n    %s" % (session.name if session else "-", text, "\n    ".join(self.trace[-12:])))

    def look(self, session, data, asked=b""):
        for word in set(WORD.findall(data)) - set(WORD.findall(asked)):
            if not self.may_see(session, word.decode()):
                self.fault(session, "LEAK of %s after %r: %r" % (word.decode(), asked[:200], data[:1500]))

    def new_name(self, above=""):
        return above + ("/" if above else "") + self.word("n")

    def children(self, box):
        return [b for b in self.boxes.values() if b.owner == box.owner and b.name.startswith(box.name + "/")]

    def above(self, owner, name):
        """The nearest level above that is there."""
        while "/" in name:
            name = name.rpartition("/")[0]
            if (owner, name) in self.boxes:
                return self.boxes[owner, name]
        return None

    def make(self, owner, name):
        """What CREATE does: levels begin with the rights of the one above."""
        if (owner, name) in self.boxes:
            self.boxes[owner, name].real = True
            return self.boxes[owner, name]
        parent = name.rpartition("/")[0]
        if parent and (owner, parent) not in self.boxes:
            self.make(owner, parent).real = False
        acl = self.boxes[owner, parent].acl if parent else {}
        self.boxes[owner, name] = Box(owner, name, acl)
        return self.boxes[owner, name]


class Session:
    def __init__(self, world, user, name):
        self.world, self.user, self.name, self.past = world, user, "%s(%s)" % (name, user), []
        self.connect()

    def connect(self):
        """A fresh start, as after BYE."""
        c = self.world.c
        self.over = False
        self.wire = Wire(c.host, c.port("imap"))
        self.tags, self.box, self.uids, self.read_only = 0, None, {}, False
        self.wire.response()
        self.say("LOGIN %s %s" % (self.user, c.password(self.user)))

    def rights(self):
        """In the selected mailbox: one's own are asked for when it is selected."""
        return ALL if self.box.owner == self.user else self.box.rights(self.user)

    def full(self, box):
        return box.name if box.owner == self.user else "Shared/%s/%s" % (box.owner, box.name)

    def say(self, text, literal=None):
        """(status, the whole of what came); "BYE" when the session ended."""
        if self.over:
            self.connect()
        self.tags += 1
        tag = b"t%d" % self.tags
        line = text.encode() + (b" {%d+}\r\n" % len(literal) + literal if literal is not None else b"")
        self.world.trace.append("%s C: %s" % (self.name, line[:400]))
        self.wire.send(tag + b" " + line + b"\r\n")
        return self.hear(tag, line)

    def hear(self, tag, line):
        got = []
        try:
            while True:
                response = self.wire.response()
                got.append(response)
                if response.startswith(tag + b" "):
                    break
        except (Wrong, OSError):
            data = b"".join(got)
            self.world.trace.append("%s S: %s (the end)" % (self.name, data[:300]))
            self.world.look(self, data, line)
            box = self.box
            if box is None or (box.real and "r" in self.rights() and self.world.boxes.get((box.owner, box.name)) is box):
                self.world.fault(self, "the session ended at %s: %r" % (line, data[-200:]))
            self.over = True
            return "BYE", data
        data = b"".join(got)
        self.world.trace.append("%s S: %s" % (self.name, data[-300:]))
        self.world.look(self, data, line)
        self.over = b"* BYE " in data  # the mailbox was deleted; the command has its answer all the same
        verb = line.split(b" ")[0].decode()
        status = response.split(b" ")[1].decode()
        self.world.counts[verb, status] = self.world.counts.get((verb, status), 0) + 1
        return status, data

    def expect(self, ok, text, literal=None):
        status, data = self.say(text, literal)
        if status == "BYE":
            status, data = self.say(text, literal)
        if status != ("OK" if ok else "NO"):
            self.world.fault(self, "%s was answered %s, the model says %s: %r" % (text, status, "OK" if ok else "NO", data[-300:]))
        return status == "OK", data

    def hidden(self, box, *ways):
        """`ways` with the name of what this user may not know of, and with one that is not there: the same answers."""
        if self.box is not None:
            self.say("UNSELECT")
            self.box, self.uids = None, {}
        ghost = self.world.word("n")
        full = self.full(box)
        other = full[:-len(ghost)] + ghost if box.name != "INBOX" else full + "/" + ghost
        for way in ways:
            answers = []
            for name in (full, other):
                status, data = self.say(way % name)
                if status == "BYE":
                    return
                answers.append(re.sub(rb"t\d+ ", b"", data.replace(name.encode(), b"NAME")))
            if answers[0] != answers[1]:
                self.world.fault(self, "hidden %s is told from what is not there: %r" % (way, answers))


# ---- steps ----


def pick(w, s):
    """A mailbox, half of them another's."""
    mine = w.random.random() < 0.4
    some = [b for b in w.boxes.values() if (b.owner == s.user) == mine]
    return w.random.choice(some or list(w.boxes.values()))


def need(s, box, right, only_real=True):
    return right in box.rights(s.user) and (box.real or not only_real)


def select(w, s, box=None):
    box = box or pick(w, s)
    good, _ = s.expect(need(s, box, "r"), "%s %s" % (w.random.choice(["SELECT", "SELECT", "EXAMINE"]), s.full(box)))
    s.box, s.uids = None, {}
    if not good:
        return
    s.box = box
    learn(w, s)


def learn(w, s):
    """What lies in the selected mailbox, by UID; nothing else may be there."""
    status, data = s.say("UID FETCH 1:* (FLAGS PREVIEW BODY.PEEK[HEADER.FIELDS (SUBJECT)] EMAILID THREADID)")
    s.uids = {}
    if status == "BYE":
        return
    for uid, subject in re.findall(rb"UID (\d+).{0,400}?Subject: (Zc[0-9a-f]{12})", data, re.S):
        s.uids[int(uid)] = subject.decode()
        if s.box not in w.content.get(subject.decode(), ()):
            w.fault(s, "%s is in %s, where it was never put" % (subject, s.box.name))


def tell_selected(w, s):
    if s.box is not None:
        s.expect(True, "NOOP")


def message(w, word):
    return ("From: %s@example.net\r\nSubject: %s\r\nMessage-ID: <%s@example.net>\r\n\r\n%s %s\r\n" % (word, word, word, word, "x" * 100)).encode()


def append(w, s):
    box, word, key = pick(w, s), w.word("c"), w.word("k")
    rights = box.rights(s.user)
    w.content[word] = {box}
    if "w" in rights:
        w.content[key] = {box}
        w.seconds[word] = [key]
    else:
        w.content[key] = set()
    s.expect(need(s, box, "i"), "APPEND %s (%s)" % (s.full(box), key), message(w, word))


def put(w, word, box):
    w.content[word].add(box)
    for key in w.seconds.get(word, ()):
        w.content[key].add(box)


def copy(w, s):
    if not s.uids:
        return select(w, s)
    box, uid = pick(w, s), w.random.choice(list(s.uids))
    move = w.random.random() < 0.4 and not s.read_only
    put_word = s.uids[uid]
    before = {key: set(homes) for key, homes in w.content.items() if key in [put_word] + w.seconds.get(put_word, [])}
    put(w, put_word, box)  # it may be told of before the answer comes
    if move:
        writable = s.rights() & set("swite") != set() and {"t", "e"} <= s.rights()
        status, data = s.say("UID MOVE %d %s" % (uid, s.full(box)))
        good = status == "OK"
        if good and not (writable and need(s, box, "i")) and b"None of those" not in data:
            w.fault(s, "MOVE without the rights: %r" % data)
    else:
        status, data = s.say("UID COPY %d %s" % (uid, s.full(box)))
        good = status == "OK"
        if good != need(s, box, "i") and status != "BYE":
            w.fault(s, "COPY: %s: %r" % (status, data))
    if not good:
        w.content.update(before)
    elif s.box is not None:
        learn(w, s)


def replace(w, s):
    if not s.uids:
        return select(w, s)
    box, uid, word = pick(w, s), w.random.choice(list(s.uids)), w.word("c")
    w.content[word] = {box}
    status, data = s.say("UID REPLACE %d %s" % (uid, s.full(box)), message(w, word))
    if status == "OK" and not (need(s, box, "i") and {"t", "e"} <= s.rights()):
        w.fault(s, "REPLACE without the rights: %r" % data)
    if status != "BYE" and s.box is not None:
        learn(w, s)


def store(w, s):
    if not s.uids:
        return select(w, s)
    uid, rights = w.random.choice(list(s.uids)), s.rights()
    flag, right = w.random.choice([("\\Seen", "s"), ("\\Flagged", "w"), ("\\Deleted", "t"), (None, "w")])
    if flag is None:
        flag = w.word("k")
        w.content[flag] = {b for b in w.content[s.uids[uid]]} if "w" in rights else set()
        if "w" in rights:
            w.seconds.setdefault(s.uids[uid], []).append(flag)
    status, data = s.say("UID STORE %d %sFLAGS (%s)" % (uid, w.random.choice("+-"), flag))
    if status == "OK" and right not in rights and b"None of those" not in data:
        w.fault(s, "STORE without %s: %r" % (right, data))


def expunge(w, s):
    if s.box is None:
        return select(w, s)
    status, data = s.say("EXPUNGE")
    if status == "OK" and "e" not in s.rights():
        w.fault(s, "EXPUNGE without e: %r" % data)
    if status != "BYE":
        learn(w, s)


def search(w, s):
    """Words of messages here are found, of others never; by every way of looking."""
    if s.box is None:
        return select(w, s)
    learn(w, s)
    if s.box is None or not w.content:
        return
    word = w.random.choice([x for x in w.content if x[1] == "c"] or ["Zc000000000000"])
    here = word in s.uids.values()
    way = w.random.choice(["UID SEARCH TEXT %s", "UID SEARCH SUBJECT %s", "UID SEARCH BODY %s", "UID SEARCH FUZZY TEXT %s", "UID SEARCH RETURN (ALL) HEADER MESSAGE-ID %s",
                           "UID SORT (SUBJECT) UTF-8 TEXT %s", "UID THREAD REFERENCES UTF-8 TEXT %s"]) % word
    status, data = s.say(way)
    if status == "BYE":
        return
    found = any(re.search(rb"\b%d\b" % uid, re.sub(rb"\(TAG[^)]*\)|t\d+ ", b"", data)) for uid, what in s.uids.items() if what == word)
    any_found = re.search(rb"(SEARCH|SORT|THREAD|ALL) .*\d", re.sub(rb"\(TAG[^)]*\)|t\d+ ", b"", data)) is not None and b" ALL " in data or re.search(
        rb"\* (SEARCH|SORT|THREAD) [(\d]", data) is not None
    if found != here or (any_found and not here):
        if "FUZZY" not in way or here:  # a word with a slip is another's word
            w.fault(s, "%s: here %s, found %s: %r" % (way, here, found, data))


def search_all(w, s):
    names = " ".join('"%s"' % s.full(box) for box in w.random.sample(list(w.boxes.values()), min(6, len(w.boxes))))
    word = w.random.choice([x for x in w.content if x[1] == "c"] or ["Zc000000000000"])
    where = w.random.choice(["mailboxes (%s)" % names, "subtree (%s)" % names, "personal", "subtree (Shared)", "subscribed"])
    command = "ESEARCH IN (%s) RETURN (COUNT ALL) SUBJECT %s" % (where, w.random.choice([word, "Zc"]))
    status, data = s.say(command)
    if status == "BYE":
        return
    for line in data.split(b"\r\n"):
        named = re.search(rb'MAILBOX "?([^"()]*?)"? UIDVALIDITY', line)
        if line.startswith(b"* ESEARCH") and named:
            name = named[1].decode()
            boxes = [b for b in w.boxes.values() if s.full(b) == name]
            if not boxes or "r" not in boxes[0].rights(s.user):
                w.fault(s, "ESEARCH in %s: %r" % (name, line))


def listing(w, s):
    command = w.random.choice(['LIST "" "*"', 'LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN) MYRIGHTS CHILDREN)', 'LIST "" ("*" "Shared/*") RETURN (METADATA (/shared/comment /private/comment))',
                               'LIST "" "Shared/%" RETURN (CHILDREN)', 'LIST (RECURSIVEMATCH SUBSCRIBED) "" "%"', 'LSUB "" "*"', 'LIST (SUBSCRIBED) "" "*" RETURN (STATUS (SIZE))',
                               'LIST (SPECIAL-USE) "" "*"', 'LIST "" (Shared/*)'])
    status, data = s.say(command)
    if status == "BYE":
        return
    if command.startswith('LIST "" "*"'):
        listed = {line.rpartition(b' "/" ')[2].strip(b'"').decode() for line in data.split(b"\r\n") if line.startswith(b"* LIST") and b"\\NonExistent" not in line}
        want = {s.full(b) for b in w.boxes.values() if "l" in b.rights(s.user)}
        if listed != want | (listed & DEFAULTS):
            w.fault(s, "LIST: too many %s, missing %s" % (listed - want - DEFAULTS, want - listed))
    for line in data.split(b"\r\n"):
        for what, right in ((b"* STATUS ", "r"),):
            if line.startswith(what):
                name = line[len(what):].rpartition(b" (")[0].strip(b'"').decode()
                box = [b for b in w.boxes.values() if s.full(b) == name]
                if name not in DEFAULTS and (not box or right not in box[0].rights(s.user)):
                    w.fault(s, "LIST: %r" % line)


DEFAULTS = {"INBOX", "Drafts", "Sent", "Trash", "Junk", "Archive"}


def asking(w, s):
    box = pick(w, s)
    rights, full = box.rights(s.user), s.full(box)
    if not rights & set("lrswikxtea"):
        if any("l" in b.rights(s.user) for b in w.children(box)):
            return  # it is known as the level above them
        return s.hidden(box, *w.random.sample(["SELECT %s", "STATUS %s (MESSAGES)", "MYRIGHTS %s", "GETACL %s", "SETACL %s anyone lr", "DELETEACL %s anyone", "LISTRIGHTS %s anyone",
                                               "DELETE %s", "RENAME %s Elsewhere", "GETMETADATA %s /shared/comment", "SETMETADATA %s (/shared/comment NIL)", "GETQUOTAROOT %s",
                                               "ESEARCH IN (mailboxes %s) ALL", 'LIST "" %s', 'LIST "" %s RETURN (STATUS (MESSAGES))', "APPEND %s ~{1+}\r\nx",
                                               "APPEND INBOX CATENATE (URL \"/%s/;UID=1\")"], 3))
    what = w.random.choice(["STATUS", "MYRIGHTS", "GETACL", "LISTRIGHTS", "GETQUOTAROOT", "EXAMINE"])
    if what == "STATUS":
        s.expect(need(s, box, "r"), "STATUS %s (MESSAGES UIDNEXT UNSEEN SIZE MAILBOXID)" % full)
    elif what == "MYRIGHTS":
        good, data = s.expect(bool(rights & set("lrikxa")), "MYRIGHTS " + full)
        if good:
            told = set(data.split(b"\r\n")[0].rpartition(b" ")[2].strip(b'"').decode()) - set("cd")
            if told != rights:
                w.fault(s, "MYRIGHTS: told %s, has %s" % (sorted(told), sorted(rights)))
    elif what == "GETACL":
        s.expect("a" in rights, "GETACL " + full)
    elif what == "LISTRIGHTS":
        s.expect("a" in rights, "LISTRIGHTS %s anyone" % full)
    elif what == "GETQUOTAROOT" and box.real and "r" in rights:
        s.expect(True, "GETQUOTAROOT " + full)
    elif what == "EXAMINE":
        select(w, s, box)


def change_rights(w, s):
    owners = [b for b in w.boxes.values() if b.owner == s.user]
    box = w.random.choice(owners) if w.random.random() < 0.8 else pick(w, s)
    may = "a" in box.rights(s.user)
    who = w.random.choice([u for u in w.users] + ["anyone", "authenticated"])
    who = ("-" if w.random.random() < 0.25 else "") + who
    base = ALL if who == box.owner else set()
    if w.random.random() < 0.25:
        after = dict(box.acl)
        after.pop(who, None)
        command = "DELETEACL %s %s" % (s.full(box), who)
    else:
        op = w.random.choice(["", "", "+", "-"])
        rights = set(w.random.sample(sorted(ALL), w.random.choice([0, 1, 3, 6, 11]))) | (set("lr") if w.random.random() < 0.4 else set())
        now = box.acl.get(who, base)
        then = rights if op == "" else now | rights if op == "+" else now - rights
        after = dict(box.acl)
        after[who] = then
        if then == base:
            after.pop(who)
        command = 'SETACL %s %s "%s%s"' % (s.full(box), who, op, "".join(sorted(rights)))
    old = box.acl
    if may:
        box.acl = after
    good, _ = s.expect(may, command)
    if not good:
        box.acl = old


def create(w, s):
    place = pick(w, s)
    if place.name.count("/") >= LEVELS - 1 or len(w.boxes) > 40 or w.random.random() < 0.2:
        name, owner = w.new_name(), s.user
    else:
        name, owner = w.new_name(place.name if place.name != "INBOX" else ""), place.owner
    if w.random.random() < 0.2 and name.count("/") < LEVELS - 1:
        name = w.new_name(name)
    above = w.above(owner, name)
    may = owner == s.user if above is None else "k" in above.rights(s.user)
    if may:
        w.make(owner, name)
    good, data = s.expect(may, "CREATE " + s.full(Box(owner, name, {})))
    if may and not good:
        w.fault(s, "CREATE failed: the model is off from here")


def delete(w, s):
    box = pick(w, s)
    if len(w.boxes) < 8 or box.name == "INBOX":
        return
    below = w.children(box)
    may = "x" in box.rights(s.user) and (box.real or not below)
    if may:
        del w.boxes[box.owner, box.name]
        if below:
            w.boxes[box.owner, box.name] = Box(box.owner, box.name, box.acl, real=False)
    if s.box is box:
        s.say("UNSELECT")
        s.box, s.uids = None, {}
    s.expect(may, "DELETE " + s.full(box))


def rename(w, s):
    box, place = pick(w, s), pick(w, s)
    if box.name == "INBOX" or place.name == "INBOX" or place.owner != box.owner or place.name.startswith(box.name):
        return
    below = w.children(box)
    if place.name.count("/") + 2 + max([b.name.count("/") - box.name.count("/") for b in below] or [0]) > LEVELS + 2:
        return
    name = w.new_name(place.name)
    may = "x" in box.rights(s.user) and "k" in place.rights(s.user)
    moved = [box] + below
    if may:
        for b in moved:
            del w.boxes[b.owner, b.name]
        old = box.name
        for b in moved:
            b.name = name + b.name[len(old):]
            w.boxes[b.owner, b.name] = b
        s.expect(True, "RENAME %s %s" % (s.full(Box(box.owner, old, {})), s.full(box)))
    else:
        s.expect(False, "RENAME %s %s" % (s.full(box), s.full(Box(box.owner, name, {}))))


def metadata(w, s):
    box = pick(w, s)
    rights, full = box.rights(s.user), s.full(box)
    business = "l" in rights and bool(rights & set("rswip"))
    if w.random.random() < 0.5:
        s.expect(business, "GETMETADATA (DEPTH infinity) %s (/shared /private)" % full)
    elif w.random.random() < 0.5:
        word = w.word("a")
        w.content[word] = {box} if business and "w" in rights else set()
        s.expect(business and "w" in rights, 'SETMETADATA %s (/shared/vendor/x/%x "%s")' % (full, w.random.randrange(4), word))
    else:
        word = w.word("p")
        w.private[word] = (s.user, box)
        s.expect(business, 'SETMETADATA %s (/private/vendor/x/%x "%s")' % (full, w.random.randrange(4), word))


def subscribe(w, s):
    box = pick(w, s)
    for word in box.name.split("/"):
        w.typed.add((s.user, word))
    s.expect(True, "SUBSCRIBE " + s.full(box))


def urls(w, s):
    """A URL reaches whom its maker let it; CATENATE only what one may read."""
    host = "localhost"
    box = pick(w, s)
    if w.random.random() < 0.5:
        status, data = s.say('APPEND INBOX CATENATE (URL "/%s/;UID=%d/;SECTION=HEADER")' % (s.full(box), w.random.randrange(1, 4)))
        if status == "OK":
            if "r" not in box.rights(s.user):
                w.fault(s, "CATENATE of what may not be read: %r" % data)
            inbox = w.boxes[s.user, "INBOX"]
            for word, homes in w.content.items():
                if box in homes and word[1] == "c":
                    homes.add(inbox)
        return
    status, data = s.say('GENURLAUTH "imap://%s@%s/%s/;UID=1;URLAUTH=authuser" INTERNAL' % (box.owner, host, box.name))
    if status == "OK" and box.owner != s.user:
        w.fault(s, "GENURLAUTH for another's mailbox: %r" % data)
    forged = "imap://%s@%s/%s/;UID=1;URLAUTH=anonymous:internal:%064x" % (box.owner, host, box.name, w.random.getrandbits(256))
    status, data = s.say('URLFETCH "%s"' % forged)
    if status == "OK" and b" NIL\r\n" not in data:
        w.fault(s, "URLFETCH of a forged URL: %r" % data)


def ids(w, s):
    """Object ids are no keys, and one user never finds two messages under one (RFC 8474 section 5.1)."""
    mine = [known[1:] for known in w.ids if known[0] == s.user]
    if s.box is None or not mine:
        return
    learn(w, s)
    if s.box is None:
        return
    kind, word, value, owner = w.random.choice(mine)
    status, data = s.say("UID SEARCH %s %s" % (kind, value))
    if status == "BYE":
        return
    found = re.search(rb"\* SEARCH \d", data) is not None
    if found and (owner != s.box.owner or (kind == "EMAILID" and word not in s.uids.values())):
        w.fault(s, "EMAILID of %s found in %s: %r" % (word, s.box.name, data))


def note_ids(w, s):
    if s.box is None:
        return
    status, data = s.say("UID FETCH 1:* (EMAILID THREADID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    for one, two, word in re.findall(rb"EMAILID \(([^)]*)\) THREADID \(([^)]*)\).{0,200}?Subject: (Zc[0-9a-f]{12})", data, re.S):
        w.ids += [(s.user, "EMAILID", word.decode(), one.decode(), s.box.owner), (s.user, "THREADID", word.decode(), two.decode(), s.box.owner)]
    del w.ids[:-200]


ACTIONS = [(select, 8), (append, 8), (copy, 6), (replace, 2), (store, 4), (expunge, 1), (search, 6), (search_all, 4), (listing, 6), (asking, 14), (change_rights, 12), (create, 4),
           (delete, 2), (rename, 2), (metadata, 6), (subscribe, 1), (urls, 3), (ids, 2), (note_ids, 1), (tell_selected, 4)]


# ---- who only listens ----


def listening(w, user, how):
    s = Session(w, user, "listens ")
    s.say("ENABLE QRESYNC METADATA")
    s.say("SELECT INBOX")
    s.say("NOTIFY SET STATUS (selected-delayed (MessageNew (FLAGS PREVIEW) MessageExpunge FlagChange)) (%s (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange))" % how)
    return s


def hear_all(w, listeners):
    for s in listeners:
        if w.random.random() < 0.5:
            status, data = s.say("NOOP")
        else:
            s.tags += 1
            tag = b"t%d" % s.tags
            s.wire.send(tag + b" IDLE\r\n")
            got = b""
            while b"+ " not in got[-200:] and not re.search(rb"(^|\n)\+ ", got):
                got += s.wire.response()
            w.trace.append("%s IDLE: %s" % (s.name, got[:300]))
            w.look(s, got)
            s.wire.send(b"DONE\r\n")
            status, data = s.hear(tag, b"DONE")
        for line in data.split(b"\r\n"):
            if line.startswith(b"* STATUS "):
                name = line[9:].rpartition(b" (")[0].strip(b'"').decode()
                box = [b for b in w.boxes.values() if s.full(b) == name]
                if name not in DEFAULTS and (not box or "r" not in box[0].rights(s.user)):
                    w.fault(s, "NOTIFY: %r" % line)
        s.past = []


# ---- the rest ----


def pop3(c, w):
    for user in w.users:
        status, said = c.command(["curl", "-s", "--user", "%s:%s" % (user, c.password(user)), "pop3://%s:%d/" % (c.host, c.port("pop3"))])
        numbers = [int(line.split()[0]) for line in said.splitlines() if line.split()]
        inbox = w.boxes[user, "INBOX"]
        texts = b""
        for n in numbers[:30]:
            texts += c.command(["curl", "-s", "--user", "%s:%s" % (user, c.password(user)), "pop3://%s:%d/%d" % (c.host, c.port("pop3"), n)])[1]
        foreign = [x for x in set(WORD.findall(texts)) if x[1:2] == b"c" and inbox not in w.content.get(x.decode(), ())]
        c.ok("POP3: INBOX and nothing else, %s" % user, foreign == [], foreign)


def admin(c):
    """The control sockets are for the administrator: nobody else is told anything."""
    if os.getuid() != 0:
        return
    config = os.path.join(c.server.folder, "data", "posthorn.conf")
    os.chmod(c.server.folder, 0o755)
    user = c.users[0]
    for words in (["account", "list"], ["account", "passwd", user], ["account", "quota", user, "--storage", "1"], ["account", "undelete", user, "--list"], ["account", "restore", user, "--at", "-1h"],
                  ["account", "purge", user, "--all-expunged"], ["account", "recount", user], ["domain", "list"], ["alias", "list"], ["alias", "add", "x@example.test", user],
                  ["session", "list"], ["session", "kick", user], ["queue", "list"], ["queue", "stats"], ["trace", "x"], ["check"], ["export", "maildir", user, "/tmp/posthorn-export-%d" % os.getpid()],
                  ["backup", "/tmp/posthorn-backup-%d" % os.getpid()], ["account", "app-password", "list", user], ["account", "sender", "add", user, "@"]):
        status, said = c.command([*becoming("nobody"), c.server.program, *words], stdin=b"x\nx\n", env={"POSTHORN_CONFIG": config})
        c.ok("admin: %s: not for everybody" % " ".join(words[:2]), status != 0 and not WORD.search(said) and b"u1@example.test" not in said, "%d %r" % (status, said[:300]))


def run(c):
    w = World(c)
    w.users, w.ids = c.users, []
    began = time.monotonic()
    for user in w.users:
        w.boxes[user, "INBOX"] = Box(user, "INBOX", {})
    w.now = []
    sessions = [Session(w, user, "s%d" % n) for n in range(2) for user in w.users]
    listeners = [listening(w, user, how) for user, how in zip(w.users, ("personal", "subtree Shared", "subtree (Shared INBOX)"))]
    w.listeners = listeners
    actions = [action for action, weight in ACTIONS for _ in range(weight)]
    for s in sessions:
        for _ in range(3):
            w.remember()
            create(w, s)
    steps = 0
    while steps < STEPS and not w.wrong and ("PERMISSIONS_STEPS" in os.environ or time.monotonic() - began < SECONDS):
        steps += 1
        w.remember()
        s = w.random.choice(sessions)
        w.random.choice(actions)(w, s)
        hear_all(w, [w.random.choice(listeners)] if steps % 3 else listeners)
        del w.trace[:-100]
    c.ok("%d steps, and everybody saw and did what he may" % steps, w.wrong == [], "\n" + "\n".join(w.wrong[:2]))
    both = sorted(verb for verb, status in w.counts if status == "OK" and (verb, "NO") in w.counts)
    c.ok("both outcomes were had, of many commands", len(both) >= 12 or w.wrong, both)
    for s in sessions + listeners:
        s.wire.close()
    pop3(c, w)
    admin(c)
