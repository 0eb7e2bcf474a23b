#!/usr/bin/python3
"""What docs/faults.md promises of clocks, roles, sockets, descriptors, damaged files and certificates.

    faults.py [POSTHORN] [--only CASE] [--keep] [--verbose]

Each case has a server of its own, breaks one thing, and looks at what the table says: what a client sees, what
the log says, and that service comes back.
"""

import argparse
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

from host import library, role_pid, until, wait_for_role  # noqa: E402
from ledger import verify_all  # noqa: E402
from memory import Office  # noqa: E402
from post import HOST, PROGRAM, Dismissed, Lost, Refused, address, free_port_base, make_message, remove_folder, select  # noqa: E402

DAY = 86400 * 1000000
problems = []


def check(what, good, told=""):
    if not good:
        problems.append("%s %s" % (what, str(told)[:600]))
    return good


def refused(ask):
    """What a client is told who is refused; "" if he is not; "lost: ..." where nobody answers."""
    try:
        ask()
        return ""
    except (Refused, Dismissed) as why:
        return str(why)
    except Lost as why:
        return "lost: %s" % why


def log_of(office):
    with open(office.log, encoding="utf-8", errors="replace") as f:
        return f.read()


def send(office):
    """One message for elsewhere, acknowledged; its name."""
    name = office.names.make()
    smtp = office.server.submission(0)
    smtp.send(["someone@elsewhere.example"], make_message(name, 800).replace(b"fault@example.net", address(0).encode(), 1), address(0))
    smtp.close()
    return name


def arrives(office, name, seconds=30):
    until("%s arrives elsewhere" % name, lambda: name in office.sink.names, seconds)


def in_order(office):
    """Everything acknowledged is there, and nobody finds anything wrong."""
    verify_all(office.server, office.mailboxes, office.ledger, problems)


# ---- clocks ----


def deferred(office):
    """A message that was tried and waits for its next attempt."""
    office.sink.answer = b"451 4.7.1 not now\r\n"
    before = office.sink.count
    name = send(office)
    until("a first attempt", lambda: office.sink.count > before)
    until("it is deferred", lambda: '"attempts": 1' in office.server.command("queue", "list", "--json")[1])
    office.sink.answer = b"250 2.0.0 taken\r\n"
    return name


def clock_back(office):
    """Waits that were begun in a time that is not yet do not last until then."""
    office.host.set_all("clock", 30 * DAY)
    waits, fresh = deferred(office), None
    imap = office.server.imap(0)
    imap.append("Archive", "", b"Subject: from the future\r\n\r\nx\r\n")
    before = select(imap, "Archive")
    office.host.set_all("clock", 0)
    fresh = send(office)
    arrives(office, fresh)
    until("the queue noticed", lambda: "queue.clock_set" in log_of(office))

    def due():
        text = office.server.command("queue", "list", "--json")[1]
        found = re.search(r'"next": (\d+)', text)
        return found is not None and int(found.group(1)) < time.time() + 3600
    until("its next attempt is near again", due)
    check("retry", office.server.command("queue", "retry", "--all")[0] == 0)
    arrives(office, waits)
    office.deliver()
    imap.append("Archive", "", b"Subject: from now\r\n\r\nx\r\n")
    after = select(imap, "Archive")
    check("UIDVALIDITY stays", after["uidvalidity"] == before["uidvalidity"])
    check("UIDNEXT and HIGHESTMODSEQ go on", after["uidnext"] > before["uidnext"] and after["modseq"] > before["modseq"], (before, after))
    imap.ask("CREATE Later")
    imap.ask("DELETE Later")
    imap.ask("CREATE Later")
    office.tls_sign_in()
    in_order(office)


def clock_back_while_away(office):
    """The same where the machine comes up with an older clock."""
    waits = deferred(office)
    office.server.stop()
    office.host.set_all("clock", -30 * DAY)
    office.server.start()
    arrives(office, send(office))
    until("what waited is tried within its usual time",
          lambda: waits in office.sink.names or '"next": %d' % 0 not in office.server.command("queue", "list", "--json")[1])
    text = office.server.command("queue", "list", "--json")[1]
    found = re.search(r'"next": (\d+)', text)
    check("its next attempt is near", waits in office.sink.names or (found and int(found.group(1)) < time.time() - 29 * 86400), text)
    office.host.set_all("clock", 0)


def clock_ahead(office):
    """What a jump makes too old is tried once more; it is not returned untried."""
    waits = deferred(office)
    office.host.set_all("clock", 400 * DAY)
    arrives(office, waits)
    office.deliver()
    office.sign_in()
    office.host.set_all("clock", 0)
    office.deliver()
    in_order(office)


# ---- roles ----


def role_killed(office, role):
    """Killed thrice: others go on, it comes back, the back-off is short."""
    others = {r: role_pid(office.server, r) for r in ("mail", "queue", "auth", "resolver", "fetch", "content") if r != role}
    for _ in range(3):
        pid = wait_for_role(office.server, role)
        os.kill(pid, signal.SIGKILL)
        while_away(office, role)
        wait_for_role(office.server, role, but=pid, seconds=10)
    until("all service is back", lambda: (office.sign_in(), office.deliver(), office.append(), True)[-1], 20)
    arrives(office, send(office))
    check("nobody else died", others == {r: role_pid(office.server, r) for r in others})
    check("the log says it", log_of(office).count("role.died role=serve role=%s signal=9" % role) == 3)
    in_order(office)


def while_away(office, role):
    """A moment after: whatever is answered is clear."""
    for ask in (office.sign_in, office.deliver, lambda: arrives_later(office)):
        told = refused(ask)
        good = (told == "" or re.match(r"(4\d\d 4\.\d\.\d |NO \[UNAVAILABLE\] )[A-Za-z]", told)
                or (role == "mail" and told.startswith("lost") and "timed out" not in told))
        check("%s away: a clear answer" % role, good, told)


def arrives_later(office):
    office.sent.append(send(office))


def role_stopped(office, role):
    """SIGSTOP: whoever needs it is told to come back, within the time a call may take; the others do not notice."""
    imap = office.server.imap(1)
    os.kill(wait_for_role(office.server, role), signal.SIGSTOP)
    try:
        imap.ask('SELECT "Archive"')
        imap.ask("FETCH 1:* (FLAGS ENVELOPE)")
        office.deliver()
        began = time.monotonic()
        told = refused(office.sign_in if role == "auth" else lambda: arrives_later(office))
        check("%s stopped: a temporary answer" % role, (told == "" and role != "auth") or re.match(r"NO \[UNAVAILABLE\] |4\d\d 4\.", told), told)
        check("%s stopped: within its time" % role, time.monotonic() - began < 50, time.monotonic() - began)
    finally:
        os.kill(role_pid(office.server, role), signal.SIGCONT)
    until("service is back", lambda: (office.sign_in(), True)[-1], 20)
    arrives(office, send(office))
    for name in office.sent:
        arrives(office, name)
    in_order(office)


def socket_full(office):
    """More requests than a socket holds, to a role that does not read: every client is answered, and later served."""
    from post import Imap, Wire
    os.kill(wait_for_role(office.server, "auth"), signal.SIGSTOP)
    wires = []
    try:
        for number in range(500):
            wire = Wire(office.server.base + 143, seconds=60)
            wire.line()
            wire.send(b'a LOGIN "u0@example.test" "%s"\r\n' % (b"x" * 900))
            wires.append(wire)
        alive = office.server.smtp()
        alive.ask("NOOP", "250")
        alive.close()
        answers = [wire.line().decode() for wire in wires]
        bad = [a for a in answers if not a.startswith("a NO [UNAVAILABLE] ")]
        check("everybody is told to come back", not bad, bad[:3])
    finally:
        os.kill(role_pid(office.server, "auth"), signal.SIGCONT)
        for wire in wires:
            wire.close()
    until("sign-in works again", lambda: (office.sign_in(), True)[-1], 20)


# ---- descriptors, short calls ----


def cpu_of(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def no_descriptors(office):
    """Who is connected is served, who comes waits, nobody spins; then all goes on."""
    imap = office.server.imap(0)
    select(imap, "INBOX")
    for role in ("mail", "queue", "auth"):
        pid = wait_for_role(office.server, role)
        office.host.set(role, "files", 1)
        if role == "mail":
            waiting = socket.create_connection((HOST, office.server.base + 143), timeout=30)
            before = cpu_of(pid)
            time.sleep(1)
            check("no busy loop without descriptors", cpu_of(pid) - before < 30, cpu_of(pid) - before)
            imap.ask("NOOP")
            imap.ask("FETCH 1:* (FLAGS)")
            told = refused(lambda: imap.ask('STATUS "Archive" (MESSAGES)'))
            check("a clear answer", told == "" or told.startswith("NO [UNAVAILABLE] "), told)
            office.host.set(role, "files", 0)
            check("who waited is served", waiting.recv(100).startswith(b"* OK"))
            waiting.close()
        else:
            told = refused(lambda: arrives_later(office))
            check("%s: a clear answer" % role, told == "" or re.match(r"4\d\d 4\.", told), told)
            time.sleep(0.3)
            office.host.set(role, "files", 0)
        check("%s did fail" % role, office.host.get(role, "files_hits") > 0 or role == "auth")
        check("%s lives" % role, role_pid(office.server, role) == pid)
        until("service is back", lambda: (office.sign_in(), office.deliver(), True)[-1], 20)
    for name in office.sent:
        arrives(office, name, 90)
    in_order(office)


def rough(office):
    """Every sixth read, write and wait is short or interrupted: nobody notices."""
    office.host.set_all("rough", 6)
    for _ in range(10):
        for step in ("sign_in", "tls_sign_in", "deliver", "append", "fetch", "search", "change", "pop3", "send", "command"):
            told = refused(getattr(office, step))
            check("%s under interrupted calls" % step, told == "", told)
    told = refused(office.backup)
    check("backup under interrupted calls", told == "", told)
    check("calls were interrupted", office.host.get("mail", "rough_hits") > 1000 and office.host.get("queue", "rough_hits") > 50)
    for name in office.sent:
        arrives(office, name)
    office.host.set_all("rough", 0)
    for name, count in office.sink.names.items():
        check("%s arrived once" % name, count == 1, count)
    in_order(office)


# ---- certificates ----


def make_certificate(folder, name, days):
    for kind in ("key", "certificate"):
        path = os.path.join(folder, "%s-%s.pem" % (name, kind))
        if os.path.exists(path):
            os.unlink(path)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days),
                    "-subj", "/CN=" + name, "-keyout", os.path.join(folder, name + "-key.pem"),
                    "-out", os.path.join(folder, name + "-certificate.pem")], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def shown(office):
    """The certificate that a client is shown."""
    with socket.create_connection((HOST, office.server.base + 993), timeout=30) as plain, office.tls.wrap_socket(plain) as s:
        return ssl.DER_cert_to_PEM_cert(s.getpeercert(True))


def certificate(office):
    """Unreadable, broken, not of its key: the one before stays, with a line in the log; a good one is taken."""
    data = office.server.folder
    certificate_path, key_path = os.path.join(data, "certificate.pem"), os.path.join(data, "key.pem")
    first = shown(office)
    make_certificate(office.folder, "second", 90)
    make_certificate(office.folder, "soon", 3)

    def reload(what, certificate_text, key_text, logged):
        count = log_of(office).count("tls.reload_failed")
        for path, text in ((certificate_path, certificate_text), (key_path, key_text)):
            if text is None:
                os.rename(path, path + ".away")
            else:
                with open(path + ".new", "w", encoding="ascii") as f:
                    f.write(text)
                os.rename(path + ".new", path)
        office.server.process.send_signal(signal.SIGHUP)
        if logged:
            until("%s: a line in the log" % what, lambda: log_of(office).count("tls.reload_failed") > count, 10)
            until("%s: the one before is shown" % what, lambda: shown(office) == first, 10)
        for path in (certificate_path, key_path):
            if os.path.exists(path + ".away"):
                os.rename(path + ".away", path)

    def text(name):
        with open(os.path.join(office.folder, name), encoding="ascii") as f:
            return f.read()
    with open(key_path, encoding="ascii") as f:
        key = f.read()
    reload("gone", None, key, True)
    reload("no certificate", "nonsense\n", key, True)
    reload("of another key", text("second-certificate.pem"), key, True)
    reload("good", text("second-certificate.pem"), text("second-key.pem"), False)
    until("a good one is taken", lambda: shown(office).split() == text("second-certificate.pem").split(), 10)
    reload("ends soon", text("soon-certificate.pem"), text("soon-key.pem"), False)
    until("another good one", lambda: shown(office).split() == text("soon-certificate.pem").split(), 10)
    status, told = office.server.command("check")
    check("check says that it ends soon", "certificate" in told, told)
    status, told = office.server.command("status")
    check("status says that it ends soon", "certificate" in told, told)
    office.host.set_all("clock", 10 * DAY)
    office.tls_sign_in()  # whoever does not look at it is served, as before
    office.host.set_all("clock", 0)


# ---- damaged files ----


def change_byte(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 0x55]))


def volume_record(office):
    """One message cannot be read and is named; the others are served."""
    imap = office.server.imap(0)
    mark = b"spoiled-here-%d" % random.randrange(1 << 30)
    uid = imap.append("Archive", "", b"Subject: spoiled\r\n\r\n" + mark + b"\r\n")
    good = imap.append("Archive", "", b"Subject: good\r\n\r\nwhole\r\n")
    imap.close()
    office.server.stop()
    hit = 0
    volumes = os.path.join(office.server.folder, "mail", "volumes")
    for name in os.listdir(volumes):
        path = os.path.join(volumes, name)
        with open(path, "rb") as f:
            at = f.read().find(mark)
        if at >= 0:
            change_byte(path, at)
            hit += 1
    check("the record was found", hit == 1, hit)
    office.server.start()
    imap = office.server.imap(0)
    imap.ask('SELECT "Archive"')
    told = refused(lambda: imap.ask("UID FETCH %d (UID FLAGS BODY.PEEK[])" % uid))
    if told.startswith("lost"):  # its length had been promised
        imap = office.server.imap(0)
        imap.ask('SELECT "Archive"')
        told = refused(lambda: imap.ask("UID FETCH %d (UID FLAGS BODY.PEEK[])" % uid))
    check("a clear answer", re.match(r"NO \[(CORRUPTION|UNAVAILABLE|SERVERBUG)\] [A-Za-z]", told), told)
    _, lines = imap.ask("UID FETCH %d (BODY.PEEK[])" % good)
    check("the other is served", b"whole" in b"".join(p for parts in lines for p in parts))
    pop3 = office.server.pop3(0)
    pop3.ask("NOOP")
    pop3.close()
    until("the log names it", lambda: re.search(r"volume [0-9a-f]+: the record at \d+ is damaged", log_of(office)), 5)
    status, told = office.server.command("check")
    check("check names it", status != 0 and "damaged" in told, told)


def disk_unreadable(office):
    """EIO from a volume, then from an account's file: told so, and served again when it is over."""
    trigger = os.path.join(office.folder, "trigger")
    imap = office.server.imap(0)
    uid = imap.append("Archive", "", b"Subject: unreadable\r\n\r\nx\r\n" + b"y" * 60 + b"\r\n")
    good = imap.append("Archive", "", b"Subject: later\r\n\r\nwhole\r\n")
    imap.close()
    office.server.stop()
    env = office.server.env
    env["LD_PRELOAD"] += ":" + library(office.server.program, "libfault.so")
    env.update(FAULT_DIR=office.server.folder, FAULT_TRIGGER=trigger)
    office.server.start()
    with open(trigger, "w", encoding="ascii") as f:
        f.write("read EIO 0 0 .vol\n")
    told = []
    for _ in range(2):
        imap = office.server.imap(0)
        imap.ask('SELECT "Archive"')
        told.append(refused(lambda: imap.ask("UID FETCH %d (BODY.PEEK[])" % uid)))
    check("a clear answer, at the latest when it is asked again", told[-1].startswith("NO [CORRUPTION] "), told)
    told = refused(office.deliver)
    check("mail is taken", told == "", told)
    os.unlink(trigger)
    imap = office.server.imap(0)
    imap.ask('SELECT "Archive"')
    imap.ask("UID FETCH %d (BODY.PEEK[])" % good)
    imap.close()
    office.server.stop()
    office.server.start()
    with open(trigger, "w", encoding="ascii") as f:
        f.write("read EIO 0 0 mail.db\n")
    told = refused(lambda: office.server.imap(1).ask('SELECT "Archive"'))
    check("an account that cannot be read: a clear answer", re.match(r"NO \[[A-Z]+\] [A-Za-z][^/]+$", told), told)
    smtp = office.server.smtp()
    told = refused(lambda: smtp.send([address(1)], make_message(office.names.make(), 500)))
    check("mail for it is not sent back", told == "" or told.startswith("4"), told)
    os.unlink(trigger)
    until("it is served again", lambda: (office.server.imap(1).ask('SELECT "Archive"'), True)[-1], 20)


DATABASES = {
    "account": ("mail/accounts/01/00/0000000000000001/mail.db", "entry"),
    "queue": ("queue/queue.db", "message"),
    "node": ("mail/node.db", None),
    "auth": ("auth/auth.db", None),
    "directory": ("mail/directory.db", None),
}


def spoil_database(path):
    """All pages but the first are nonsense."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        for page in range(1, size // 4096):
            f.seek(page * 4096)
            f.write(os.urandom(4096))


def database(office, which):
    """Noticed, named, and what mends it."""
    path = os.path.join(office.server.folder, DATABASES[which][0])
    imap = office.server.imap(0)
    for _ in range(200):
        imap.append("Archive", "", b"Subject: many\r\n\r\nx\r\n")
    imap.close()
    if which == "queue":
        office.sink.answer = b"451 4.7.1 not now\r\n"
        for _ in range(30):
            send(office)
    office.backup()
    office.server.stop()
    spoil_database(path)
    began = True
    office.server.spawn()
    try:
        office.server.wait_ready(30)
    except AssertionError:
        began = False
        office.server.kill()
    DATABASE_CHECKS[which](office, began, path)


def spoiled_account(office, began, path):
    check("the server starts", began)
    told = refused(lambda: office.server.imap(0).ask('SELECT "Archive"'))
    check("its owner is told", re.match(r"NO \[(CORRUPTION|UNAVAILABLE)\] [A-Za-z][^/]+$", told), told)
    office.server.imap(1).close()
    smtp = office.server.smtp()
    told = refused(lambda: smtp.send([address(0)], make_message(office.names.make(), 500)))
    check("mail for it is not sent back", told == "" or told.startswith("4"), told)
    check("the log names the file", path in log_of(office), log_of(office)[-500:])
    status, told = office.server.command("check")
    check("check names it", status != 0 and "account 1" in told, told)
    status, told = office.server.command("rebuild", address(0))
    check("rebuild", status == 0, told)
    imap = office.server.imap(0)
    count = sum(int(m.group(1)) for name in ("INBOX", "Archive", "Recovered")
                for m in [re.search(r"MESSAGES (\d+)", status_of(imap, name))] if m)
    check("its mail is back", count >= 200, count)
    status, told = office.server.command("check")
    check("check finds nothing more", status == 0, told)


def status_of(imap, name):
    try:
        return b"".join(b"".join(parts) for parts in imap.ask('STATUS "%s" (MESSAGES)' % name)[1]).decode()
    except Refused:
        return ""


def spoiled_queue(office, began, path):
    told = log_of(office)
    check("the log names it", "queue.db" in told, told[-500:])
    if not began:
        check("what to do is said", re.search(r"queue\.db.*(damaged|malformed|rebuild)", told), told[-500:])
        move_aside(path)
        office.server.start()
    until("what waited is there again", lambda: office.server.command("queue", "list", "--json")[1].count('"id"') >= 30 or
          office.server.command("queue", "list", "--json")[1].count('"trace"') >= 30, 20)


def spoiled_node(office, began, path):
    """Without it, it is made anew from the accounts' files."""
    check("it does not start", not began)
    check("it is named, and where to read what to do", re.search(r"node\.db: .*malformed; docs/faults\.md", log_of(office)), log_of(office)[-500:])
    move_aside(path)
    status, told = office.server.command("rebuild")
    check("rebuild", status == 0, told)
    office.server.start()
    office.sign_in()
    office.deliver()
    in_order(office)


def move_aside(path):
    os.rename(path, path + ".damaged")
    for end in ("-wal", "-shm"):
        if os.path.exists(path + end):
            os.unlink(path + end)


def spoiled_primary(office, began, path):
    """Accounts, or passwords, are not written down anywhere else: they come out of the backup."""
    check("it does not start", not began)
    check("it is named, and where to read what to do", re.search(r"\.db: .*malformed; docs/faults\.md", log_of(office)), log_of(office)[-500:])
    move_aside(path)
    status, told = office.server.command("restore", os.path.join(office.folder, "backup"))
    check("a restore does not write over what is there", status == 1, told)
    os.rename(office.server.folder, office.server.folder + ".broken")
    os.mkdir(office.server.folder)
    for name in ("posthorn.conf", "certificate.pem", "key.pem"):
        shutil.copy(os.path.join(office.server.folder + ".broken", name), office.server.folder)
    status, told = office.server.command("restore", os.path.join(office.folder, "backup"))
    check("a restore into an empty folder", status == 0, told)
    office.server.start()
    office.sign_in()
    office.deliver()


DATABASE_CHECKS = {"account": spoiled_account, "queue": spoiled_queue, "node": spoiled_node, "auth": spoiled_primary,
                   "directory": spoiled_primary}

CASES = {
    "clock-back": clock_back,
    "clock-back-while-away": clock_back_while_away,
    "clock-ahead": clock_ahead,
    **{"killed-" + role: lambda office, role=role: role_killed(office, role)
       for role in ("mail", "queue", "auth", "content", "fetch", "resolver")},
    **{"stopped-" + role: lambda office, role=role: role_stopped(office, role) for role in ("auth", "queue", "content")},
    "socket-full": socket_full,
    "no-descriptors": no_descriptors,
    "rough": rough,
    "certificate": certificate,
    "volume-record": volume_record,
    "disk-unreadable": disk_unreadable,
    **{"database-" + which: lambda office, which=which: database(office, which) for which in DATABASES},
}
SLOW = ("stopped-auth", "socket-full")


def run(args, name):
    folder = tempfile.mkdtemp(prefix="posthorn-faults-")
    problems.clear()
    began = time.monotonic()
    office = Office(args, folder)
    try:
        office.begin()
        CASES[name](office)
    except (AssertionError, Lost, Refused, Dismissed, OSError) as why:
        problems.append("%s: %s" % (type(why).__name__, why))
    finally:
        if office.server.process is not None:
            office.server.kill()
        office.sink.close()
    problems.extend(line for line in log_of(office).splitlines() if "bug at" in line or "Sanitizer" in line)
    print("%-24s %s (%.0f s)" % (name, "FAILED" if problems else "ok", time.monotonic() - began), flush=True)
    for problem in problems[:10]:
        print("not so: " + problem)
    if problems or args.keep:
        print("    left behind: " + folder, flush=True)
    else:
        remove_folder(folder)
    return not problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("posthorn", nargs="?", default=PROGRAM)
    parser.add_argument("--only", help="cases whose names begin so")
    parser.add_argument("--quick", action="store_true", help="without those that wait for a call's half minute")
    parser.add_argument("--port-base", type=int, default=None)
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    results = []
    for name in CASES:
        if args.quick and name in SLOW:
            continue
        if args.only is None or name.startswith(args.only):
            args.port_base = free_port_base()
            results.append(run(args, name))
    print("%d passed, %d failed" % (results.count(True), results.count(False)))
    return 1 if False in results or not results else 0


if __name__ == "__main__":
    sys.exit(main())
