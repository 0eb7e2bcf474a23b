#!/usr/bin/python3
"""Roles that were taken over: `posthorn check sandbox` finds every attempt refused, and finds out where it is not.

    sandbox.py [POSTHORN] [--port-base BASE]
"""

import argparse
import ctypes
import errno
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


def deny_landlock():
    """As on a kernel that lacks it: landlock_create_ruleset fails with ENOSYS here and in all that is started from here."""
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
    allow, fail = 0x7FFF0000, 0x00050000 | errno.ENOSYS
    rules = seccomp.seccomp_init(allow)
    if seccomp.seccomp_rule_add(rules, fail, 444, 0) != 0 or seccomp.seccomp_load(rules) != 0:
        os._exit(9)


def without_landlock(program, data, config, base):
    """It serves all the same, confined as far as it goes, and says so: in the log, and where it is asked."""
    log = os.path.join(os.path.dirname(data), "old-kernel.log")
    with open(config, encoding="utf-8") as f:
        before = f.read()
    with open(log, "wb") as out:
        server = subprocess.Popen([program, "demo", "--dir", data, "--port-base", str(base), "--accounts", "1"], stdout=subprocess.PIPE,
                                  stderr=out, preexec_fn=deny_landlock)
    ready = b"ready\n" in iter(server.stdout.readline, b"")
    check("without Landlock it serves", ready)
    server.terminate()
    server.stdout.close()
    server.wait(60)
    with open(log, encoding="utf-8") as f:
        said = f.read()
    check("and says so for each role", said.count("sandbox.no_landlock") == len(ROLES), said)
    check("no role died of it", "role.died" not in said, said)
    done = subprocess.run([program, "check", "sandbox", "--config", config], capture_output=True, text=True, timeout=120, check=False,
                          preexec_fn=deny_landlock)
    check("and when it is asked", "this kernel has no Landlock" in done.stdout, done.stdout)
    with open(config, "w", encoding="utf-8") as f:
        f.write(before)


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
    check("each attempt has its words", {"exec", "secret", "connect", "trace", "write", "signal", "local", "dump"} <=
          {a["attempt"] for a in shut["attempts"]} or not shut["seccomp"])
    without_landlock(args.program, data, config, server.base)
    if shut["landlock"] == 0:
        print("this kernel has no Landlock: what it would refuse was not refused by it")
    if not failed:
        remove_folder(folder)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
