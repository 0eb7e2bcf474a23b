"""bench/index.py - the search index: what it costs and what it gains.

A mailbox of 4 KB messages in words as common as words are (the n-th is n times as
rare as the first), each with one word that no other has, put there by APPEND.
"""
import os
import random
import re
import socket
import statistics
import subprocess
import time

SIZE = 4096
TOGETHER = 100  # messages in one APPEND


class Words:
    """The same for both sides, whatever was asked before."""

    def __init__(self):
        rng = random.Random(7)
        parts = "an ber con der er fa ge ing ka le mo ne or per qui ra st ti un ver wa sch ex tion".split()
        self.all = ["".join(rng.choices(parts, k=rng.randint(1, 4))) for _ in range(20000)]
        self.weights = [1 / (n + 1) for n in range(len(self.all))]
        total = 0
        for n, w in enumerate(self.weights):
            total += w
            self.weights[n] = total

    @staticmethod
    def unique(n):
        """Six letters, as in a name from elsewhere."""
        rng = random.Random(n + 1000000)
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6))

    def message(self, n):
        rng = random.Random(n)
        words = rng.choices(self.all, cum_weights=self.weights, k=900)
        text = " ".join(words[6:])[:SIZE - 400]
        lines = "\r\n".join(text[i:i + 76] for i in range(0, len(text), 76))
        return (f"From: {words[0]} {words[1]} <{words[1]}@example.net>\r\nTo: u0@example.test\r\n"
                f"Subject: {words[2]} {words[3]} {words[4]}\r\nMessage-ID: <{rng.getrandbits(64):x}@example.net>\r\n"
                f"Date: Sun, 22 Nov 2026 10:51:07 +0000\r\n\r\n{self.unique(n)} {lines}\r\n").encode()


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.ask(b"LOGIN u0@example.test demo-u0")

    def ask(self, command):
        self.socket.sendall(b"a " + command + b"\r\n")
        lines = []
        while True:
            line = self.file.readline()
            if line == b"" or line.startswith((b"a NO", b"a BAD")):
                raise RuntimeError(f"{command[:60]}: {line}")
            if line.startswith(b"a OK"):
                return lines
            lines.append(line)

    def search(self, key, repeat=5):
        """Milliseconds, the median; and how many were found."""
        took = []
        for _ in range(repeat):
            began = time.monotonic()
            lines = self.ask(b"UID SEARCH " + key.encode())
            took.append((time.monotonic() - began) * 1000)
        found = next(line for line in lines if line.startswith(b"* SEARCH"))
        return statistics.median(took), len(found.split()) - 2

    def close(self):
        self.socket.close()


def fill(side, words, many):
    client = Client(side.imap)
    for start in range(0, many, TOGETHER):
        messages = [words.message(n) for n in range(start, min(start + TOGETHER, many))]
        client.ask(b"APPEND INBOX" + b"".join(b" {%d+}\r\n%s" % (len(m), m) for m in messages))
    client.close()


def searches(side, words, many, repeat=5):
    client = Client(side.imap)
    client.ask(b"SELECT INBOX")
    took = {}
    for name, key, want in (("BODY, a word of one message", f"BODY {words.unique(many // 2)}", 1),
                            ("TEXT, a word of one message", f"TEXT {words.unique(many // 3)}", 1),
                            ("TEXT, a word that is nowhere", "TEXT xylqofzw", 0)):
        client.search(key, 1)
        took[name], found = client.search(key, repeat)
        if found < want:
            raise RuntimeError(f"{side.name}: {key}: {found} found")
    client.close()
    return took


def start(side, index):
    """With a config of our own, which says whether an index is kept; a demo writes its config anew."""
    text = (side.dir / "data/posthorn.conf").read_text()
    text = re.sub(r"(?m)^log_level.*\n", "", text) + f'log_level = "info"\nstore {{ search_index = {index} }}\n'
    path = side.dir / "data/index.conf"
    path.write_text(text)
    with open(side.dir / "bench.log", "a", encoding="utf-8") as log:
        side.process = subprocess.Popen([side.build / "posthorn", "serve", "--config", path], stderr=log,
                                        stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while True:
        try:
            return Client(side.imap).close()
        except (OSError, RuntimeError):
            if time.monotonic() > deadline or side.process.poll() is not None:
                raise RuntimeError(f"{side.name} does not start: see {side.dir}/bench.log") from None
            time.sleep(0.05)


def indexed(side, after):
    """What the log says of u0's index (the first account's) since that place: messages and milliseconds."""
    with open(side.dir / "bench.log", encoding="utf-8", errors="replace") as log:
        log.seek(after)
        said = re.findall(r"index\.caught_up.* account=1 messages=(\d+) ms=(\d+)", log.read())
    return sum(int(m) for m, _ in said), sum(int(ms) for _, ms in said)


def log_end(side):
    return os.path.getsize(side.dir / "bench.log")


def wait_indexed(side, many, after, seconds=900):
    deadline = time.monotonic() + seconds
    while indexed(side, after)[0] < many:
        if time.monotonic() > deadline:
            raise RuntimeError("the index does not catch up")
        time.sleep(0.5)
    return indexed(side, after)[1]


def deliver(bench, side, messages):
    """To other accounts than the one with the large mailbox has most of it."""
    return bench.load(side, "smtp", messages=messages, accounts=100, sessions=32, see=1, size=4096)["visible_rate"]


def index_files(side):
    return [p for p in (side.dir / "data/mail/accounts").rglob("index.db*")]


def ours_alone(bench, ours, words, many):
    """Scanned and delivered without an index; then made, with and without mail coming in; then searched."""
    rows = {}
    ours.reset()
    ours.stop()
    start(ours, 0)
    fill(ours, words, many)
    rows["scanned"] = searches(ours, words, many)
    count = 4000 if bench.o.quick else 40000
    deliver(bench, ours, count // 10)
    rows["rate without"] = statistics.median(deliver(bench, ours, count) for _ in range(bench.o.repeat))

    rates = []
    for _ in range(bench.o.repeat):  # each time from nothing, so that the indexer has work throughout
        ours.stop()
        for path in index_files(ours):
            path.unlink()
        after = log_end(ours)
        start(ours, 1)
        rates.append(deliver(bench, ours, count))
        rows["indexed meanwhile"] = indexed(ours, after)[0]
    rows["rate with"] = statistics.median(rates)

    ours.stop()
    for path in index_files(ours):
        path.unlink()
    after = log_end(ours)
    start(ours, 1)
    ms = wait_indexed(ours, many, after)
    rows["messages"], rows["ms"] = indexed(ours, after)[0], ms
    ours.stop()
    rows["bytes"] = max(p.stat().st_size for p in index_files(ours))  # u0's: the others have few messages
    start(ours, 1)
    rows["indexed"] = searches(ours, words, many, 15)
    ours.stop()
    return rows


def scenario(bench, ours, theirs):
    many = bench.o.messages or (10000 if bench.o.quick else 100000)
    words = Words()
    mine = ours_alone(bench, ours, words, many)
    other = {}
    if theirs:
        theirs.reset()
        theirs.import_messages(many, lambda n: words.message(n).decode().replace("\r\n", "\n"), "words")
        other = searches(theirs, words, many, 2)
        theirs.stop()
    beside = {k: {theirs.name: v} for k, v in other.items()} if theirs else {}
    for key in mine["scanned"]:
        bench.row(f"{many:,} messages of 4 KB: UID SEARCH {key}, scanning", "ms",
                  {ours.name: mine["scanned"][key], **beside.get(key, {})}, False, "under 1 s")
    for key in mine["indexed"]:
        bench.row(f"{many:,} messages of 4 KB: UID SEARCH {key}, index warm", "ms",
                  {ours.name: mine["indexed"][key], **beside.get(key, {})}, False, "under 20 ms")
    bench.row("making the index, nothing else to do", "messages/s",
              {ours.name: mine["messages"] * 1000 / mine["ms"]}, True, None)
    bench.row("the index, of each byte of mail", "bytes", {ours.name: mine["bytes"] / mine["messages"] / SIZE}, False, None)
    bench.row("delivery, 4 KB, 32 kept sessions, without an index", "messages/s", {ours.name: mine["rate without"]}, True, None)
    bench.row("delivery, 4 KB, 32 kept sessions, while the index is made", "messages/s", {ours.name: mine["rate with"]}, True,
              "at least 80%")
