#!/usr/bin/python3
"""Roles that were taken over: `posthorn check sandbox` finds every attempt refused, and finds out where it is not.

    sandbox.py [POSTHORN] [--port-base BASE]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

from post import PROGRAM, Server, free_port_base, remove_folder  # noqa: E402

ROLES = {"mail", "queue", "auth", "content", "fetch", "resolver"}
# What a role may do that nobody shut in: the attempts show that they are real ones.
OPEN_WITHOUT = {"exec", "fork", "write", "listen", "code", "handler"}
passed = failed = 0


def check(what, good, told=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print("not so: %s %s" % (what, told))


def try_sandbox(program, folder):
    done = subprocess.run([program, "check", "sandbox", "--json", "--config", os.path.join(folder, "posthorn.conf")],
                          capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?", default=PROGRAM)
    parser.add_argument("--port-base", type=int, default=0)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="posthorn-sandbox-")
    data = os.path.join(folder, "data")
    server = Server(args.program, data, args.port_base or free_port_base(), 1, os.path.join(folder, "server.log"))

    server.start()  # without its sandbox, as tests/fault starts them: the attempts must succeed then
    status, open_roles = try_sandbox(args.program, data)
    check("without a sandbox it says so", status == 1, open_roles)
    could = {a["attempt"] for a in open_roles["attempts"] if not a["refused"]}
    check("attempts are real ones", OPEN_WITHOUT <= could or not open_roles["seccomp"], could)
    server.stop()

    config = os.path.join(data, "posthorn.conf")
    with open(config, encoding="utf-8") as f:
        text = f.read()
    with open(config, "w", encoding="utf-8") as f:
        f.write(text.replace("sandbox = false\n", ""))
    status, shut = try_sandbox(args.program, data)
    check("every attempt is refused", status == 0, [a for a in shut["attempts"] if not a["refused"]])
    check("every role was tried", {a["role"] for a in shut["attempts"]} == ROLES)
    if shut["landlock"] == 0:
        print("this kernel has no Landlock: what it would refuse was not refused by it")
    if not failed:
        remove_folder(folder)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
