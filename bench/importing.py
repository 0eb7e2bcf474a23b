"""bench/importing.py - a Maildir of many messages brought in, beside the disk's own speed and Dovecot's `doveadm import`."""

import json
import os
import shutil
import subprocess
import time

SIZE = 4096


def scenario(bench, ours, theirs):
    many = bench.o.messages or (10_000 if bench.o.quick else 100_000)
    folder = bench.o.dir / "import"
    shutil.rmtree(folder, ignore_errors=True)
    make(folder / "Maildir", many)
    disk = disk_speed(folder / "disk", 20 if bench.o.quick else 400)
    target = min(disk / 2 * 1e6 / SIZE, 5000)
    ours.reset()
    began = time.monotonic()
    said = command(ours, folder / "Maildir")
    rate = many / (time.monotonic() - began)
    assert said["complete"] and said["messages"] == many, said
    again = time.monotonic()
    said = command(ours, folder / "Maildir")
    again = time.monotonic() - again
    assert said["messages"] == 0 and said["known"] == many, said
    rates, seconds = {ours.name: rate}, {ours.name: again}
    ours.stop()
    if theirs:
        rates[theirs.name] = many / dovecot(folder, "import")
    bench.row(f"import: {many} messages of 4 KB from a Maildir", "messages/s", rates, True, f"{target:.0f}/s")
    bench.row("import: the same again, nothing new", "s", seconds, False, None)
    bench.row("import: what the disk writes in a row", "MB/s", {ours.name: disk}, None, None)
    shutil.rmtree(folder, ignore_errors=True)


def make(path, many):
    """As Dovecot leaves it: in cur/, with a dovecot-uidlist."""
    for part in ("cur", "new", "tmp"):
        os.makedirs(path / part)
    with open(path / "dovecot-uidlist", "w") as uids:
        uids.write(f"3 V1700000000 N{many + 1} G0123456789abcdef0123456789abcdef\n")
        for n in range(many):
            base = f"{1600000000 + n}.M{n}P1.bench,S={SIZE},W={SIZE + 90}"
            head = (f"From: Sender {n} <s{n % 997}@elsewhere.example>\nTo: u0@example.test\nSubject: message {n}\n"
                    f"Message-ID: <{n}@bench.example>\nDate: Sat, 1 Jan 2022 00:00:00 +0000\n\n")
            with open(path / "cur" / f"{base}:2,{'S' if n % 3 else ''}", "w") as out:
                out.write(head + (f"A line of words, number {n}, of a message that nobody reads.\n" * 80)[:SIZE - len(head)])
            uids.write(f"{n + 1} :{base}\n")
    subprocess.run(["chmod", "-R", "a+rwX", path], check=True)
    os.sync()


def disk_speed(path, megabytes):
    block = os.urandom(1 << 20)
    began = time.monotonic()
    with open(path, "wb") as out:
        for _ in range(megabytes):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    took = time.monotonic() - began
    os.unlink(path)
    return megabytes * 1.048576 / took


def command(ours, maildir):
    done = subprocess.run([ours.build / "posthorn", "import", "maildir", maildir, "u0@example.test", "--json", "--config",
                           ours.dir / "data/posthorn.conf"], capture_output=True, text=True)
    return json.loads(done.stdout)


def dovecot(folder, what):
    """Into its own sdbox, as it is shipped, each message synced: seconds."""
    home = folder / "dovecot"
    home.mkdir()
    config = folder / "dovecot.conf"
    config.write_text(f"base_dir = {home}\nmail_location = sdbox:{home}/mail\nfirst_valid_uid = 1\nssl = no\nlog_path = {home}/log\n")
    for path in (folder, home):
        shutil.chown(path, "nobody", "nogroup")
    began = time.monotonic()
    subprocess.run(["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "env", "USER=bench", f"HOME={home}",
                    "doveadm", "-c", config, what, f"maildir:{folder}/Maildir", "", "all"], check=True, capture_output=True)
    return time.monotonic() - began
