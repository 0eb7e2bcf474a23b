#!/usr/bin/python3
"""Mail that leaves while its roles are killed: everything acknowledged arrives, and how often twice is counted.

Numbered messages come in by SMTP and leave for a server here, which puts some of them off at first.  Four parts, in each of
which one thing is done to the server again and again at random moments:

    mail    SIGKILL to the mail role: nothing may come twice, the queue role knows what it has sent
    stop    SIGTERM to the queue role, an orderly restart: nothing may come twice
    queue   SIGKILL to the queue role: what was on its way may come twice
    all     SIGKILL to all of it, supervisor and all: the same
"""

import argparse
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from post import HOST, PROGRAM, Lost, Server, free_port_base  # noqa: E402

SENDERS, PUT_OFF = 4, 8  # one of so many messages is put off once
ON_ITS_WAY = 20 + 128  # at one kill: sessions to one destination, and what nobody was told of
NUMBER = re.compile(rb"^X-Number: (\d+)\r$", re.M)


class Sink:
    """An SMTP server that counts."""

    def __init__(self, port):
        self.lock, self.seen, self.put_off = threading.Lock(), {}, set()
        self.listener = socket.create_server((HOST, port), backlog=100)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.session, args=(connection,), daemon=True).start()

    def session(self, connection):
        try:
            self.talk(connection, connection.makefile("rb"))
        except OSError:
            pass
        finally:
            connection.close()

    def talk(self, connection, lines):
        connection.sendall(b"220 sink\r\n")
        while line := lines.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"EHLO":
                connection.sendall(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif word == b"DATA":
                connection.sendall(b"354 go on\r\n")
                text = b""
                while (line := lines.readline()) != b".\r\n":
                    if not line:
                        return
                    text += line
                connection.sendall(self.take(text))
            elif word == b"QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                connection.sendall(b"250 ok\r\n")

    def take(self, text):
        number = int(NUMBER.search(text).group(1))
        with self.lock:
            if number % PUT_OFF == 0 and number not in self.put_off:
                self.put_off.add(number)
                return b"451 4.3.0 later\r\n"
            self.seen[number] = self.seen.get(number, 0) + 1
            return b"250 ok\r\n"

    def counts(self):
        with self.lock:
            return dict(self.seen)


class Leaving(Server):
    """A demo whose mail for elsewhere goes to the sink."""

    def configure(self, sink):
        self.start()
        self.stop()
        path = os.path.join(self.folder, "posthorn.conf")
        with open(path, encoding="utf-8") as f:
            text = re.sub(r'(?ms)^route "[^"]*" \{.*?^\}\n', "", f.read())
        with open(path, "w", encoding="utf-8") as f:
            f.write(f'{text}\nrelay_networks = {{"127.0.0.0/8"}}\nqueue {{ retry_first_seconds = 1 retry_most_seconds = 2 }}\n'
                    f'route "all" {{\n    hosts = {{"{HOST}:{sink}"}}\n    tls = none\n}}\n')

    def serve(self):
        """Until it says that it is ready: a role that dies before that ends all of it, and is meant to."""
        path = os.path.join(self.folder, "notify")
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(path)
            notified.settimeout(120)
            self.launch(dict(self.env, NOTIFY_SOCKET=path))
            while b"READY=1" not in notified.recv(4096):
                pass

    def launch(self, env):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve", "--config", os.path.join(self.folder, "posthorn.conf")], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log, env=env, start_new_session=True)

    def role(self, name):
        """Its process; None while there is none."""
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if words[1:3] == [b"--role", name.encode()] and parent == self.process.pid:
                return int(entry)
        return None


class Sender(threading.Thread):
    """Sends numbered messages until told to stop, and notes what was acknowledged."""

    def __init__(self, server, numbers):
        super().__init__(daemon=True)
        self.server, self.numbers, self.acknowledged, self.over = server, numbers, set(), False

    def run(self):
        while not self.over:
            try:
                self.session()
            except (OSError, Lost, ConnectionError, ValueError):
                time.sleep(0.02)

    def session(self):
        with socket.create_connection((HOST, self.server.base + 25), 10) as s:
            lines = s.makefile("rb")

            def expect(code, text=None):
                if text is not None:
                    s.sendall(text)
                line = b"-" * 4
                while line[3:4] == b"-":
                    line = lines.readline()
                    if not line.startswith(code):
                        raise Lost(line)

            expect(b"220")
            expect(b"250", b"EHLO sender.example\r\n")
            while not self.over:
                number = next(self.numbers)
                expect(b"250", b"MAIL FROM:<sender@example.org>\r\n")
                expect(b"250", b"RCPT TO:<u@sink.example.net>\r\n")
                expect(b"354", b"DATA\r\n")
                expect(b"250", b"Subject: a\r\nX-Number: %d\r\n\r\n%s\r\n.\r\n" % (number, b"x" * (number * 37 % 3000)))
                self.acknowledged.add(number)


class Numbers:
    def __init__(self):
        self.lock, self.last = threading.Lock(), 0

    def __next__(self):
        with self.lock:
            self.last += 1
            return self.last


def hurt(server, part):
    """Returns whether anything was done."""
    if part == "all":
        server.kill()
        server.serve()
        return True
    pid = server.role("mail" if part == "mail" else "queue")
    if pid is None:
        return False
    try:
        os.kill(pid, signal.SIGTERM if part == "stop" else signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_for_more(senders, least=20, seconds=60):
    """Until so many more were acknowledged: the server is up, and mail is on its way."""
    def count():
        return sum(len(s.acknowledged) for s in senders)

    target, deadline = count() + least, time.monotonic() + seconds
    while count() < target and time.monotonic() < deadline and senders[0].server.process.poll() is None:
        time.sleep(0.01)


def wait_for(sink, acknowledged, seconds):
    deadline = time.monotonic() + seconds
    while missing := acknowledged - sink.counts().keys():
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return missing


def run_part(server, sink, numbers, rng, part, rounds):
    """Whether it went well."""
    before = {number for number, times in sink.counts().items() if times > 1}
    senders = [Sender(server, numbers) for _ in range(SENDERS)]
    for s in senders:
        s.start()
    done = 0
    for _ in range(rounds):
        wait_for_more(senders)
        time.sleep(rng.uniform(0, 0.5))
        done += hurt(server, part)
    wait_for_more(senders)
    for s in senders:
        s.over = True
    for s in senders:
        s.join(30)
    acknowledged = set().union(*(s.acknowledged for s in senders))
    missing = wait_for(sink, acknowledged, 90)
    time.sleep(1.5)  # for what might come once more
    counts = sink.counts()
    twice = {number for number, times in counts.items() if times > 1} - before
    most = done * ON_ITS_WAY if part in ("queue", "all") else 0
    ok = not missing and len(twice) <= most and done > 0 and len(acknowledged) > 0
    print("%-5s %s: %d times, %d acknowledged, %d missing, %d came twice (%d at most)"
          % (part, "ok" if ok else "FAILED", done, len(acknowledged), len(missing), len(twice), most), flush=True)
    if missing or len(twice) > most:
        print("   missing %s, twice %s" % (sorted(missing)[:10], sorted(twice)[:10]))
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("posthorn", nargs="?", default=PROGRAM)
    parser.add_argument("--rounds", type=int, default=5, help="of each part")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--port-base", type=int, default=free_port_base())
    parser.add_argument("--only", help="one part")
    parser.add_argument("--keep", action="store_true", help="leave the data folder behind")
    opts = parser.parse_args()
    print("seed %d" % opts.seed, flush=True)
    rng = random.Random(opts.seed)
    folder = tempfile.mkdtemp(prefix="posthorn-leaving-")
    server = Leaving(opts.posthorn, os.path.join(folder, "data"), opts.port_base, 1, os.path.join(folder, "log"))
    sink = Sink(opts.port_base + 99)
    server.configure(opts.port_base + 99)
    server.serve()
    numbers, results = Numbers(), []
    for part in ("mail", "stop", "queue", "all"):
        if opts.only in (None, part):
            results.append(run_part(server, sink, numbers, rng, part, opts.rounds))
    server.kill()
    bad = [line for line in server.reports() if "role.died" not in line]
    for line in bad:
        print(line)
    results.append(not bad)
    failed = results.count(False)
    if failed == 0 and not opts.keep:
        shutil.rmtree(folder)
    else:
        print("left behind: " + folder)
    print("%d passed, %d failed" % (results.count(True), failed))
    return 0 if failed == 0 else 1


sys.exit(main())
