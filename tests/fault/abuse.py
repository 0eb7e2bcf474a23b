#!/usr/bin/env python3
"""tests/fault/abuse.py [--soak] - clients that mean harm beside one that only wants its mail (bench/abuse).

Counts and memory, no times: while each attack goes on, another user's commands, deliveries and logins are all served;
the attackers are let in, or refused, as the limits say; `mail` stays within its budget of memory; and when all is over
the server is the one that was started.  --soak: ten thousand connections, and a whole gigabyte of NOOPs.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "bench"))
sys.dont_write_bytecode = True

import abuse  # noqa: E402

passed = failed = 0


def check(name, ok, detail=""):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {name} {detail}", flush=True)


def free_base():
    import random
    import socket
    while True:
        base = random.randrange(21000, 31000, 100)
        try:
            for offset in (24, 25, 110, 143, 587, 465, 993, 995):
                with socket.socket() as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind(("127.0.0.1", base + offset))
            return base
        except OSError:
            continue


def served(name, probe):
    check(f"{name}: the other user is there", probe is not None)
    for operation in abuse.OPERATIONS if probe else ():
        check(f"{name}: {operation} is served", probe[operation]["count"] > 0 and probe[operation]["failed"] == 0, probe[operation])


def attack(server, tool, name, connections, seconds, **settings):
    """What it did, and what the other user had meanwhile."""
    told = tool.arguments(connections=connections, sources=tool.sources, network=tool.network) + [f"{k}={v}" for k, v in settings.items()]
    process = subprocess.Popen([tool.program, name, *told], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    check(f"{name}: it stands", process.stdout.readline().strip() == "ready")
    probe = tool.probe(seconds)
    memory = server.memory_kb("mail")
    process.stdin.close()
    import json
    did = json.loads(process.stdout.readline() or "{}")
    process.wait()
    return did, probe, memory


def storms(server, tool, soak):
    many, seconds = (10000, 10) if soak else (300, 1)
    roles = server.roles()
    start = server.memory_kb("mail")
    for name, connections, _ in abuse.ATTACKS:
        connections = min(connections, many)
        did, probe, memory = attack(server, tool, name, connections, seconds)
        served(name, probe)
        check(f"{name}: connections were let in", did.get("opened", 0) >= connections, did)
        if name in ("drip", "deaf", "hello", "record"):
            check(f"{name}: and stay", did.get("standing", 0) == connections, did)
        most = start + 40 * 1024 + connections * 64 # KB
        check(f"{name}: memory", memory < most, f"{memory} KB, not more than {most}")
    if soak:
        did, probe, _ = attack(server, tool, "noop", 16, 120, megabytes=1024)
        served("a gigabyte of NOOPs", probe)
    check("nobody ended", server.roles() == roles)


def main():
    soak = "--soak" in sys.argv
    build = pathlib.Path(os.environ.get("POSTHORN", TOP / "build" / "posthorn")).resolve().parent
    subprocess.run(["ninja", "-C", str(build), "bench/abuse"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(prefix="posthorn-abuse-") as folder:
        server = abuse.Server(pathlib.Path(folder), build, free_base(), accounts=100 if soak else 10)
        server.start()
        try:
            tool = abuse.Abuse(build / "bench" / "abuse", server)
            tool.fill(400 if soak else 40)
            storms(server, tool, soak)
        finally:
            server.stop()
        # a budget that cannot hold them all, and few places: strangers make room, the other user stays
        server = abuse.Server(pathlib.Path(folder), build, free_base(), 'net { memory_bytes = "4 MB" connections_max = 120 }\n', accounts=3)
        server.start()
        try:
            tool = abuse.Abuse(build / "bench" / "abuse", server)
            tool.fill(2)
            did, probe, _ = attack(server, tool, "drip", 150, 1)
            served("more strangers than places", probe)
            check("strangers: the oldest had to go", did.get("closed", 0) > 0, did)
            did, probe, memory = attack(server, tool, "hello", 110, 1)
            served("more memory than there is", probe)
            check("handshakes: the oldest had to go", did.get("closed", 0) > 0, did)
        finally:
            server.stop()
        # limit: net.memory_bytes, net.connections_max, imap.command_cpu_seconds
        # a search that takes longer than it may is told, and the session goes on
        server = abuse.Server(pathlib.Path(folder), build, free_base(), "imap { command_cpu_seconds = 1 }\n", accounts=1)
        server.start()
        try:
            from imaplib import IMAP4
            c = IMAP4("127.0.0.1", server.ports["imap"])
            c.login(f"u1@{abuse.DOMAIN}", "demo-u1")
            for _ in range(20):
                c.append("INBOX", None, None, b"Subject: much\r\n\r\n" + b"the same words again and again, and more of them\r\n" * 80000)
            c.select()
            try:
                said = c.search(None, *["NOT BODY zeppelin%d" % n for n in range(45)])[1]
            except IMAP4.error as why:
                said = str(why)
            check("a search of more than its time is told", "[LIMIT]" in str(said), said)
            check("and the session goes on", c.noop()[0] == "OK")
        finally:
            server.stop()
        # limit: net.sessions_per_account
        # an account's sessions: the third is told
        server = abuse.Server(pathlib.Path(folder), build, free_base(), "net { sessions_per_account = 2 }\n", accounts=2)
        server.start()
        try:
            from imaplib import IMAP4
            sessions = [IMAP4("127.0.0.1", server.ports["imap"]) for _ in range(3)]
            for s in sessions[:2]:
                s.login(f"u1@{abuse.DOMAIN}", "demo-u1")
            try:
                sessions[2].login(f"u1@{abuse.DOMAIN}", "demo-u1")
                said = "OK"
            except IMAP4.error as why:
                said = str(why)
            check("the third session of an account is told", "[LIMIT]" in said and "too many sessions" in said, said)
            sessions[0].logout()
            check("and comes in when one has gone", sessions[2].login(f"u1@{abuse.DOMAIN}", "demo-u1")[0] == "OK")
            other = IMAP4("127.0.0.1", server.ports["imap"])
            check("another account is not concerned", other.login(f"u0@{abuse.DOMAIN}", "demo-u0")[0] == "OK")
        finally:
            server.stop()
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 else 1


sys.exit(main())
