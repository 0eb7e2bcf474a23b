"""bench/relay.py - mail that goes out, beside Postfix: for bench/run --only relay, queued and many.

Messages come in over SMTP, are kept, and leave by SMTP to a sink on the same machine.  Both sides are told the way
by a table (Posthorn's routes, Postfix's transport_maps): a destination is an address of its own in 127.0.0.0/8, and
all of them lead to one sink; nobody asks DNS.  Both keep the durable settings and the numbers of sessions that they
ship with.
"""
import contextlib
import json
import os
import re
import select
import shutil
import socket
import statistics
import subprocess
import time

SINK, LIVE, DEAD = "sink.example.net", "live.example.net", "dead.example.net"
DOMAINS = 1000
MANY_RECIPIENTS, MANY_DOMAINS = 10000, 100
TIMEOUT = 1800


def address(n):
    """Of destination n."""
    return f"127.1.{n // 250}.{n % 250 + 1}"


def ways(port, dead_port):
    """Domain and where its mail goes: the domain of one destination, 1,000 of a destination each, 1,000 dead ones."""
    yield SINK, "127.0.0.1", port
    yield LIVE, "127.2.0.1", port
    for n in range(DOMAINS):
        yield f"d{n}.{SINK}", address(n), port
        yield f"d{n}.{DEAD}", address(n), dead_port


def posthorn_config(text, table):
    text = re.sub(r'(?ms)^route "[^"]*" \{.*?^\}\n', "", text)  # a demo sends nothing outside
    routes = "".join(f'route "{domain}" {{\n    recipient_domain = {{"{domain}"}}\n    hosts = {{"{where}:{port}"}}\n'
                     f"    tls = none\n}}\n" for domain, where, port in table)
    return f'{text}\nrelay_networks = {{"127.0.0.0/8"}}\nsmtp {{ recipients = 20000 }}\n{routes}'


def wait_for_port(port, process=None, seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as s:
                if s.recv(1):
                    return
        except OSError:
            pass
        if time.monotonic() > deadline or (process and process.poll() is not None):
            raise RuntimeError(f"nothing listens on port {port}")
        time.sleep(0.005)


class Ours:
    """Posthorn with the table of ways; the accounts' folder is the template's."""

    def __init__(self, side):
        self.side, self.name, self.smtp, self.imap = side, side.name, side.smtp, side.imap

    def reset(self, table):
        side = self.side
        side.reset()  # for the folder and its config
        side.stop()
        text = (side.dir / "data/posthorn.conf").read_text()
        self.config = side.dir / "data/relay.conf"
        self.config.write_text(posthorn_config(text, table))
        self.start()

    def start(self):
        with open(self.side.dir / "bench.log", "a", encoding="utf-8") as log:
            self.side.process = subprocess.Popen(
                [self.side.build / "posthorn", "serve", "--config", self.config], stderr=log, stdout=subprocess.DEVNULL)
        wait_for_port(self.smtp, self.side.process)

    def stop(self):
        self.side.stop()

    def roots(self):
        return self.side.roots()


class Theirs:
    """Postfix alone."""

    def __init__(self, side):
        self.side, self.name, self.smtp, self.imap = side, "Postfix", side.smtp, side.imap

    def reset(self, table):
        side = self.side
        self.stop()
        shutil.rmtree(side.dir / "postfix/queue", ignore_errors=True)
        side.configure()
        etc = side.dir / "postfix/etc"
        (etc / "transport").write_text("".join(f"{domain} smtp:[{where}]:{port}\n" for domain, where, port in table))
        with open(etc / "main.cf", "a", encoding="utf-8") as f:
            f.write(f"transport_maps = texthash:{etc}/transport\nsmtpd_recipient_limit = 20000\n")
        self.start()

    def start(self):
        said = self.side.postfix("start")
        if said.returncode != 0:
            raise RuntimeError(f"postfix did not start: {said.stderr}")
        self.side.running = True
        wait_for_port(self.smtp)

    def stop(self):
        if self.side.running:
            self.side.postfix("stop")  # and no Dovecot, which was not started
            self.side.running = False

    def roots(self):
        return [int((self.side.dir / "postfix/queue/pid/master.pid").read_text())]


def sides(ours, theirs):
    return [Ours(ours)] + ([Theirs(theirs)] if theirs else [])


class SmtpSink:
    """Postfix's: it says how many messages it has had."""

    def __init__(self, port):
        self.process = subprocess.Popen(["smtp-sink", "-u", "nobody", "-4", "-c", f"127.0.0.1:{port}", "1024"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        wait_for_port(port, self.process)
        self.said, self.target = b"", 0

    def count(self):
        found = re.findall(rb"mesg=(\d+)", self.said)
        return int(found[-1]) if found else 0

    def expect(self, messages):
        self.target = self.count() + messages

    def wait(self, seconds=TIMEOUT):
        """When the last of them came, by the monotonic clock."""
        deadline = time.monotonic() + seconds
        while self.count() < self.target:
            if not select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise RuntimeError(f"{self.count()} of {self.target} messages came out")
            self.said = self.said[-100:] + os.read(self.process.stdout.fileno(), 65536)
            at = time.monotonic()
            time.sleep(0.01)  # it says so for each: to hear of many at once costs less
        return {"at": at}

    def end(self):
        self.process.kill()
        self.process.communicate()


class OwnSink:
    """Ours, which counts recipients."""

    def __init__(self, bench, port):
        self.process = subprocess.Popen([bench.load_program, "sink", f"port={port}"], text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError("the sink does not start")

    def expect(self, recipients):
        self.process.stdin.write(f"{recipients}\n")
        self.process.stdin.flush()
        time.sleep(0.02)

    def wait(self, seconds=TIMEOUT):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise RuntimeError("not all messages came out")
        said = json.loads(self.process.stdout.readline())
        return {"at": said["at_us"] / 1e6, "messages": said["messages"]}

    def end(self):
        self.process.kill()
        self.process.communicate()


def from_smtp_source(side, size, messages):
    subprocess.run(["smtp-source", "-4", "-s", "32", "-l", str(size), "-m", str(messages), "-f", "sender@example.org",
                    "-t", f"u@{SINK}", f"127.0.0.1:{side.smtp}"], check=True, capture_output=True, text=True)


def rate(side, cpu_seconds, sink, send, messages):
    """Messages a second from the first one sent to the last one come out, and the server's CPU for each."""
    sink.expect(messages)
    before, began = cpu_seconds(side.roots()), time.monotonic()
    send(messages)
    taken = time.monotonic() - began
    took = sink.wait()["at"] - began
    cpu = (cpu_seconds(side.roots()) - before) * 1000 / messages
    return {"rate": messages / took, "cpu": cpu, "taken": messages / taken}


@contextlib.contextmanager
def running(side, sink, where):
    """Both, from an empty queue; ended whatever happens."""
    side.reset(where)
    try:
        yield sink
    finally:
        sink.end()
        side.stop()


def medians(runs):
    return {k: statistics.median(r[k] for r in runs) for k in runs[0]}


def rows(bench, what, results, target):
    bench.row(what, "messages/s", {n: r["rate"] for n, r in results.items()}, True, target)
    bench.row(f"{what}: taken in", "messages/s", {n: r["taken"] for n, r in results.items()}, True, None)
    bench.row(f"{what}: server CPU", "ms/message", {n: r["cpu"] for n, r in results.items()}, False, None)


def table(bench):
    port = bench.o.port_base + 2000
    return list(ways(port, port + 1)), port


def measured(bench, side, cpu_seconds, sink, send, share=1):
    many = bench.o.messages or ((30000 if side.name == "Posthorn" else 3000) // share // (5 if bench.o.quick else 1))
    rate(side, cpu_seconds, sink, send, max(many // 10, 100))  # warm
    return medians([rate(side, cpu_seconds, sink, send, many) for _ in range(bench.o.repeat)])


def scenario(bench, ours, theirs, cpu_seconds):
    """To one destination, then to 1,000."""
    where, port = table(bench)
    for size, share in ((4096, 1), (65536, 5)):
        results = {}
        for side in sides(ours, theirs):
            with running(side, SmtpSink(port), where) as sink:
                results[side.name] = measured(bench, side, cpu_seconds, sink,
                                              lambda count: from_smtp_source(side, size, count), share)
        rows(bench, f"relayed, {size // 1024} KB, 32 sessions in, one destination", results, "8 times")

    results = {}
    for side in sides(ours, theirs):
        with running(side, OwnSink(bench, port), where) as sink:
            results[side.name] = measured(
                bench, side, cpu_seconds, sink,
                lambda count: bench.load(side, "smtp", messages=count, domains=DOMAINS, domain=SINK, sessions=32))
    rows(bench, "relayed, 4 KB, 32 sessions in, 1,000 destinations", results, "5 times")


def time_of_one(bench, side, sink):
    """From the beginning of a session with one message for a live destination to its dot at the sink, in ms."""
    sink.expect(1)
    began = time.monotonic()
    bench.load(side, "smtp", messages=1, domains=1, domain=SINK, sessions=1)
    return (sink.wait(120)["at"] - began) * 1000


def queued(bench, ours, theirs, memory_kb):
    """Many messages for destinations that nobody answers at, and one for another that is alive."""
    where, port = table(bench)
    results, counts = {}, {}
    for side in sides(ours, theirs):
        many = bench.o.messages or (1000000 if side.name == ours.name else 100000) // (50 if bench.o.quick else 1)
        with running(side, OwnSink(bench, port), where) as sink:
            empty = statistics.median(time_of_one(bench, side, sink) for _ in range(11))
            bench.load(side, "smtp", messages=many, domains=DOMAINS, domain=DEAD, sessions=32, size=1000)
            now = [time_of_one(bench, side, sink) for _ in range(21)]
            memory = memory_kb(side.roots(), "Pss") / 1024
            side.stop()
            began = time.monotonic()
            side.start()
            start = (time.monotonic() - began) * 1000
            first = time_of_one(bench, side, sink)
        results[side.name] = {"empty": empty, "full": statistics.median(now), "worst": max(now), "memory": memory,
                              "start": start, "first": first}
        counts[side.name] = many
    most = max(counts.values())
    said = f"{most:,} messages queued for 1,000 dead destinations"
    if len(set(counts.values())) > 1:
        said += f" ({counts['Postfix']:,} with Postfix)"
    bench.row("a message leaves, nothing queued", "ms", {n: r["empty"] for n, r in results.items()}, False, None)
    for key, what, unit, target in (("full", "a new one to a live one leaves, median of 21", "ms", "100 ms"),
                                    ("worst", "the slowest of 21", "ms", "100 ms"),
                                    ("memory", "memory (Pss)", "MB", None),
                                    ("start", "start until the first connection is greeted", "ms", None),
                                    ("first", "the first message after a start leaves", "ms", None)):
        bench.row(f"{said}: {what}", unit, {n: r[key] for n, r in results.items()}, False, target)


def many(bench, ours, theirs):
    """One message to 10,000 recipients in 100 domains."""
    where, port = table(bench)
    results = {}
    for side in sides(ours, theirs):
        runs = []
        with running(side, OwnSink(bench, port), where) as sink:
            for _ in range(bench.o.repeat):
                sink.expect(MANY_RECIPIENTS)
                began = time.monotonic()
                taken = bench.load(side, "smtp", messages=1, recipients=MANY_RECIPIENTS, domains=MANY_DOMAINS, domain=SINK,
                                   sessions=1, pipeline=1)
                said = sink.wait(300)
                runs.append({"all": said["at"] - began, "dot": taken["p50_ms"], "transactions": said["messages"]})
        results[side.name] = medians(runs)
    said = "a message to 10,000 recipients at 100 domains"
    bench.row(f"{said}: all have it", "s", {n: r["all"] for n, r in results.items()}, False, None)
    bench.row(f"{said}: final dot to 250", "ms", {n: r["dot"] for n, r in results.items()}, False, None)
    bench.row(f"{said}: transactions", "", {n: r["transactions"] for n, r in results.items()}, None, None)
