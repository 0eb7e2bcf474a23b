"""QRESYNC after a long absence: what a client missed is told in full, also where the log of expunges was trimmed.

A mailbox changes at random, and now and then a client takes down what it knows.  Then the server stops, all that was
expunged up to some moment is taken out of the log, as the daily purge does after `change_log_days`, and each client
comes back: with what it is told it must know exactly what is there, and nothing that is there may be told as gone.
"""

import glob
import os
import signal
import sqlite3
import subprocess

from demo import Demo, message

BOX = "absent"
ROUNDS, TRIMMED = 8, 5  # the log forgets what was expunged up to that round


def run(c):
    with Demo(c.server.program, None) as server:
        own, c.base = c.base, server.base
        try:
            absences(c, server)
        finally:
            c.base = own


def absences(c, server):
    user = c.users[0]
    m = c.imap(user)
    ask(m, "ENABLE QRESYNC")
    ask(m, "CREATE %s" % BOX)
    notes = []
    for number in range(ROUNDS):
        for _ in range(20):
            m.append(BOX, None, None, message("n", "x"))
        lines = ask(m, "SELECT %s" % BOX)
        count = int(next(line for line in lines if line.endswith(" EXISTS")).split()[1])
        for verb in [r"+FLAGS.SILENT (\Flagged)", r"-FLAGS.SILENT (\Flagged)", r"+FLAGS.SILENT (\Deleted)"]:
            some = c.random.sample(range(1, count + 1), count // 5)
            ask(m, "STORE %s %s" % (",".join(map(str, some)), verb))
        ask(m, "EXPUNGE")
        notes.append(look(m))
    m.logout()
    come_back(c, user, notes, 0, "whole log")
    trim(server, user, notes[TRIMMED]["modseq"])
    come_back(c, user, notes, notes[TRIMMED]["modseq"], "trimmed log")


def ask(m, text):
    """The untagged lines; the answer must be OK."""
    m.send(b"q " + text.encode() + b"\r\n")
    lines = []
    while not (line := m.readline().decode().rstrip("\r\n")).startswith("q "):
        lines.append(line)
    assert line.startswith("q OK"), "%s: %s" % (text, line)
    return lines


def code(lines, name):
    return int(next(line for line in lines if "[%s " % name in line).split("[%s " % name)[1].split("]")[0])


def flags_of(lines):
    """UID: flags, of FETCH responses; \\Recent is a session's own."""
    found = {}
    for line in lines:
        if " FETCH (" in line:
            uid = int(line.split("UID ")[1].split()[0].rstrip(")"))
            found[uid] = frozenset(line.split("FLAGS (")[1].split(")")[0].split()) - {"\\Recent"}
    return found


def vanished_of(lines):
    gone = set()
    for line in lines:
        if line.startswith("* VANISHED (EARLIER) "):
            for part in line.split()[3].split(","):
                first, _, last = part.partition(":")
                gone.update(range(int(first), int(last or first) + 1))
    return gone


def look(m):
    """What a client knows that has just asked for everything."""
    selected = ask(m, "SELECT %s" % BOX)
    return {"validity": code(selected, "UIDVALIDITY"), "modseq": code(selected, "HIGHESTMODSEQ"),
            "known": flags_of(ask(m, "UID FETCH 1:* (FLAGS)"))}


def trim(server, user, modseq):
    """As the purge: the rows go, and up to where is kept."""
    server.process.send_signal(signal.SIGTERM)
    server.process.communicate(timeout=60)
    account = int(user.split("@")[0][1:]) + 1
    files = glob.glob(os.path.join(server.folder, "data", "mail", "accounts", "*", "*", "%016x" % account, "mail.db"))
    with sqlite3.connect(files[0]) as db:
        rows = db.execute("DELETE FROM expunged WHERE modseq <= ?", (modseq,)).rowcount
        db.execute("UPDATE account SET forgotten_modseq = ?", (modseq,))
        assert rows > 0, "nothing was in the log of " + files[0]
    db.close()
    with open(server.log_path, "ab") as log:
        server.process = subprocess.Popen(
            [server.program, "demo", "--dir", os.path.join(server.folder, "data"), "--port-base", str(server.base)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    server.wait_until_ready(120)


def come_back(c, user, notes, trimmed, kind):
    m = c.imap(user)
    ask(m, "ENABLE QRESYNC")
    now = look(m)
    there = now["known"]
    for number, note in enumerate(notes):
        known = note["known"]
        uids = ",".join(map(str, sorted(known)))
        some = sorted(known)[::5]
        pairs = "(%s %s)" % (",".join(str(sorted(known).index(uid) + 1) for uid in some), ",".join(map(str, some)))
        exact = note["modseq"] >= trimmed
        for how, more in (("", ""), (" with known UIDs", " " + uids), (" with pairs", " %s %s" % (uids, pairs))):
            lines = ask(m, "SELECT %s (QRESYNC (%d %d%s))" % (BOX, note["validity"], note["modseq"], more))
            name = "%s, absent since round %d%s" % (kind, number, how)
            # Without known UIDs the client knows all; of new ones it hears by FETCH in any case.
            settle(c, name, known, there, flags_of(lines), vanished_of(lines), exact, only_known=bool(more))
        ask(m, "SELECT %s" % BOX)
        lines = ask(m, "UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)" % note["modseq"])
        settle(c, "%s, asked since round %d" % (kind, number), known, there, flags_of(lines), vanished_of(lines), exact)
    m.logout()


def settle(c, name, known, there, changed, gone, exact, only_known=False):
    c.same("%s: nothing is told as gone that is there" % name, gone & set(there), set())
    after = {uid: flags for uid, flags in {**known, **changed}.items() if uid not in gone}
    want = {uid: flags for uid, flags in there.items() if uid in known} if only_known else there
    c.same("%s: known is what is there" % name, after, want)
    if exact and not only_known:
        # what came and went meanwhile may be told too
        c.ok("%s: little more than what went" % name, known.keys() - there.keys() <= gone)
