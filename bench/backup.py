"""bench/backup.py - a large store copied, and looked through again when nothing has changed.  Posthorn only."""

import json
import shutil
import subprocess
import time

SIZE = 100_000  # bytes of a message: not compressed, so that the store is as large as it is said to be


def scenario(bench, ours, theirs):
    messages = bench.o.messages or (10_000 if bench.o.quick else 100_000)
    folder = bench.o.dir / "backup"
    shutil.rmtree(folder, ignore_errors=True)
    ours.reset()
    bench.load(ours, "smtp", messages=messages, accounts=1000, size=SIZE)
    size = "%.1f GB" % (messages * SIZE / 1e9)
    rows = [("first, %s" % size, command(ours, "backup", folder), None)]
    wait_until_still(ours, folder)
    rows.append(("again, nothing changed", command(ours, "backup", folder), "10"))
    bench.load(ours, "smtp", messages=100, accounts=100, size=SIZE)
    rows.append(("again, 100 messages came to 100 accounts", command(ours, "backup", folder), None))
    rows.append(("backup verify", command(ours, "backup", "verify", folder), None))
    ours.stop()
    for what, (seconds, said), target in rows:
        if "copied_bytes" in said:
            what += " (%d MB copied)" % (said["copied_bytes"] >> 20)
        bench.row("backup: " + what, "s", {ours.name: seconds}, False, target)
    shutil.rmtree(folder, ignore_errors=True)


def command(ours, *words):
    began = time.monotonic()
    done = subprocess.run([ours.build / "posthorn", *words, "--json", "--config", ours.dir / "data/posthorn.conf"], check=True,
                          capture_output=True, text=True)
    return time.monotonic() - began, json.loads(done.stdout)


def wait_until_still(ours, folder):
    """What was written just now is not trusted to be unchanged; and a large first index is still being made."""
    ours.wait_indexed()
    while command(ours, "backup", folder)[1]["copied_bytes"] > 0:
        time.sleep(1)
