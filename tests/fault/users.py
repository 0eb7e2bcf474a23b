#!/usr/bin/python3
"""Each role as a user of its own, as a server has it that root started: what separates them then.

    users.py [POSTHORN] [--port-base BASE]

Needs root; says so and skips without.  The users are such as every Debian has.
"""

import argparse
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

from post import PROGRAM, Imap, Server, free_port_base, remove_folder  # noqa: E402
from wiped import role_pids, status_of  # noqa: E402

USERS = {"mail": "games", "queue": "man", "auth": "lp", "content": "news", "fetch": "uucp", "resolver": "irc"}
passed = failed = 0


def check(what, good, told=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print("not so: %s %s" % (what, told))


def as_user(uid, code, *words):
    """Runs a line of Python as that user: what it printed."""
    done = subprocess.run([sys.executable, "-I", "-c", code, *words], user=uid, group=uid, extra_groups=[], capture_output=True, text=True,
                          timeout=30, check=False)
    return done.stdout.strip() or done.stderr.strip()


# Asks for the list of logins (auth/protocol.h, net/ipc_wire.h) at auth's control socket; for anything at the others.
CONNECT = """
import socket, sys
path, kind = sys.argv[1], int(sys.argv[2])
ask = bytes.fromhex("4850080001000000" + "0100000000000000" + "75" + "00" * 8) if kind == socket.SOCK_SEQPACKET else b'{"do":"%s"}\\n' % sys.argv[3].encode()
s = socket.socket(socket.AF_UNIX, kind)
s.settimeout(10)
try:
    s.connect(path)
    s.send(ask)
    said = s.recv(60000)
    print("answered" if b"u0@example.test" in said or b'"ok":true' in said else "closed")
except OSError:
    print("closed")
"""


def look(pids, folder):
    """What the kernel says of each."""
    uids = {}
    for role, pid in pids.items():
        status = status_of(pid)
        uids[role] = int(status["Uid"].split()[0])
        check("%s is nobody else" % role, len(set(status["Uid"].split())) == 1 and uids[role] != 0, status["Uid"])
        check("%s has no rights of root" % role, int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0, status["CapEff"])
        check("%s is in no other group" % role, set(status["Groups"].split()) <= set(status["Gid"].split()), status["Groups"])
        check("%s is not to be traced" % role, os.stat("/proc/%d/mem" % pid).st_uid == 0)
    check("no two are the same user", len(set(uids.values())) == len(USERS), uids)
    for role in ("mail", "queue", "auth"):
        st = os.stat(os.path.join(folder, role))
        check("%s's folder is its own" % role, st.st_uid == uids[role] and st.st_mode & 0o777 == 0o700, st)
    return uids


def look_between(uids, data, run):
    """What one role's user can do to another role, were its filter gone."""
    key = os.path.join(run, "tls/key.pem")
    for role, uid in uids.items():
        can = as_user(uid, "import os,sys; print([p for p in sys.argv[1:] if os.access(p, os.R_OK)])", os.path.join(data, "auth"),
                      os.path.join(data, "auth/auth.db"), key, os.path.join(data, "key.pem"))
        check("%s reads %s" % (role, "secrets" if role == "auth" else "no secrets"), (can == "[]") == (role != "auth"), can)
        for other, kind, ask in (("auth", socket.SOCK_SEQPACKET, ""), ("mail", socket.SOCK_STREAM, "status"),
                                 ("queue", socket.SOCK_STREAM, "queue.stats")):
            said = as_user(uid, CONNECT, os.path.join(run, other + ".control"), str(int(kind)), ask)
            check("%s is %s at %s's control socket" % (role, "heard" if role == other else "not heard", other),
                  said == ("answered" if role == other else "closed"), said)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?", default=PROGRAM)
    parser.add_argument("--port-base", type=int, default=0)
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("skipped: only root can give each role a user of its own")
        print("0 passed, 0 failed")
        return 0
    folder = tempfile.mkdtemp(prefix="posthorn-users-")
    os.chmod(folder, 0o755)
    data = os.path.join(folder, "data")
    server = Server(args.program, data, args.port_base or free_port_base(), 1, os.path.join(folder, "server.log"))
    server.start()
    server.stop()
    config = os.path.join(data, "posthorn.conf")
    with open(config, encoding="utf-8") as f:
        text = f.read().replace("sandbox = false\n", "")
    for role, user in USERS.items():
        name = "user" if role == "mail" else role + "_user"
        text = re.sub(r'(?m)^%s = ""$' % name, '%s = "%s"' % (name, user), text)
        if role in ("mail", "queue", "auth"):
            subprocess.run(["chown", "-R", user + ":", os.path.join(data, role)], check=True)
    with open(config, "w", encoding="utf-8") as f:
        f.write(text)
    with open(server.log_path, "ab") as log:
        serving = subprocess.Popen([args.program, "serve", "--config", config], stdin=subprocess.DEVNULL, stderr=log)
    try:
        for _ in range(300):
            try:
                Imap(server.base + 143, "u0@example.test", "demo-u0").close()
                break
            except Exception:  # not there yet
                time.sleep(0.1)
        pids = role_pids(serving.pid)
        check("all roles are there", set(pids) == set(USERS), pids)
        uids = look(pids, data)
        look_between(uids, data, data)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(socket.create_connection(("127.0.0.1", server.base + 993), 10)) as s:
            check("TLS is signed by auth", s.recv(100).startswith(b"* OK"))
        said = subprocess.run([args.program, "check", "sandbox", "--config", config], capture_output=True, text=True, timeout=120, check=False)
        check("every attempt is refused to these users", said.returncode == 0, said.stdout)
    finally:
        serving.terminate()
        serving.wait(60)
    with open(server.log_path, encoding="utf-8", errors="replace") as log:
        check("no role died", "role.died" not in log.read())
    if not failed:
        remove_folder(folder)
    else:
        print("kept: " + folder)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
