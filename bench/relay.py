"""bench/relay.py - mail that goes out, beside Postfix: for bench/run --only relay, queued and many.

Messages come in over SMTP, are kept, and leave by SMTP to a sink on the same machine.  Both sides are told the way
by a table (Posthorn's routes, Postfix's transport_maps): a destination is an address of its own in 127.0.0.0/8, and
all of them lead to one sink; nobody asks DNS.  Both keep the durable settings and the numbers of sessions that they
ship with.
"""
import json
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


class Sink:
    """smtp-sink of Postfix until so many messages have come, or our own until so many recipients have."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self, seconds=TIMEOUT):
        try:
            said, wrong = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise RuntimeError("not all messages came out") from None
        at = time.monotonic()
        if self.process.returncode != 0:
            raise RuntimeError(f"the sink: {wrong}")
        return json.loads(said.splitlines()[-1]) if said.startswith("{") else {"last_us": at * 1e6}

    def end(self):
        self.process.kill()
        self.process.communicate()


def smtp_sink(port, messages):
    sink = Sink(["smtp-sink", "-u", "nobody", "-4", "-M", str(messages), f"127.0.0.1:{port}", "1024"])
    wait_for_port(port, sink.process)
    return sink


def own_sink(bench, port, recipients):
    sink = Sink([bench.load_program, "sink", f"port={port}", f"messages={recipients}"])
    if sink.process.stdout.readline().strip() != "ready":
        raise RuntimeError("the sink does not start")
    return sink


def from_smtp_source(side, size, messages):
    subprocess.run(["smtp-source", "-4", "-s", "32", "-l", str(size), "-m", str(messages), "-f", "sender@example.org",
                    "-t", f"u@{SINK}", f"127.0.0.1:{side.smtp}"], check=True, capture_output=True, text=True)


def rate(bench, side, cpu_seconds, sink, send, messages):
    """Messages a second from the first one sent to the last one come out, and the server's CPU for each."""
    before, began = cpu_seconds(side.roots()), time.monotonic()
    try:
        send()
        taken = time.monotonic() - began
        took = sink.wait()["last_us"] / 1e6 - began
    except BaseException:
        sink.end()
        raise
    cpu = (cpu_seconds(side.roots()) - before) * 1000 / messages
    return {"rate": messages / took, "cpu": cpu, "taken": messages / taken}


def medians(runs):
    return {k: statistics.median(r[k] for r in runs) for k in runs[0]}


def rows(bench, what, results, target):
    bench.row(what, "messages/s", {n: r["rate"] for n, r in results.items()}, True, target)
    bench.row(f"{what}: taken in", "messages/s", {n: r["taken"] for n, r in results.items()}, True, None)
    bench.row(f"{what}: server CPU", "ms/message", {n: r["cpu"] for n, r in results.items()}, False, None)


def table(bench):
    port = bench.o.port_base + 2000
    return list(ways(port, port + 1)), port


def scenario(bench, ours, theirs, cpu_seconds):
    """To one destination, then to 1,000."""
    where, port = table(bench)
    for size, share in ((4096, 1), (65536, 5)):
        results = {}
        for side in sides(ours, theirs):
            many = bench.o.messages or ((30000 if side.name == ours.name else 3000) // share // (5 if bench.o.quick else 1))
            side.reset(where)
            warm = smtp_sink(port, many // 10)
            from_smtp_source(side, size, many // 10)
            warm.wait()
            results[side.name] = medians([
                rate(bench, side, cpu_seconds, smtp_sink(port, many), lambda: from_smtp_source(side, size, many), many)
                for _ in range(bench.o.repeat)])
            side.stop()
        rows(bench, f"relayed, {size // 1024} KB, 32 sessions in, one destination", results, "8 times")

    results = {}
    for side in sides(ours, theirs):
        many = bench.o.messages or ((30000 if side.name == ours.name else 3000) // (5 if bench.o.quick else 1))
        side.reset(where)

        def send(count):
            bench.load(side, "smtp", messages=count, domains=DOMAINS, domain=SINK, sessions=32)

        warm = own_sink(bench, port, DOMAINS)
        send(DOMAINS)
        warm.wait()
        results[side.name] = medians([
            rate(bench, side, cpu_seconds, own_sink(bench, port, many), lambda: send(many), many)
            for _ in range(bench.o.repeat)])
        side.stop()
    rows(bench, "relayed, 4 KB, 32 sessions in, 1,000 destinations", results, "5 times")


def time_of_one(bench, side, port):
    """From the beginning of a session with one message for a live destination to its dot at the sink, in ms."""
    sink = own_sink(bench, port, 1)
    began = time.monotonic()
    try:
        bench.load(side, "smtp", messages=1, domains=1, domain=SINK, sessions=1)
        return (sink.wait(120)["last_us"] / 1e6 - began) * 1000
    except BaseException:
        sink.end()
        raise


def queued(bench, ours, theirs, memory_kb):
    """Many messages for destinations that nobody answers at, and one for another that is alive."""
    where, port = table(bench)
    results, counts = {}, {}
    for side in sides(ours, theirs):
        many = bench.o.messages or (1000000 if side.name == ours.name else 100000) // (50 if bench.o.quick else 1)
        side.reset(where)
        empty = statistics.median(time_of_one(bench, side, port) for _ in range(11))
        bench.load(side, "smtp", messages=many, domains=DOMAINS, domain=DEAD, sessions=32, size=1000)
        now = [time_of_one(bench, side, port) for _ in range(21)]
        memory = memory_kb(side.roots(), "Pss") / 1024
        side.stop()
        began = time.monotonic()
        side.start()
        start = (time.monotonic() - began) * 1000
        first = time_of_one(bench, side, port)
        results[side.name] = {"empty": empty, "full": statistics.median(now), "worst": max(now), "memory": memory,
                              "start": start, "first": first}
        counts[side.name] = many
        side.stop()
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
        side.reset(where)
        runs = []
        for _ in range(bench.o.repeat):
            sink = own_sink(bench, port, MANY_RECIPIENTS)
            began = time.monotonic()
            try:
                taken = bench.load(side, "smtp", messages=1, recipients=MANY_RECIPIENTS, domains=MANY_DOMAINS, domain=SINK,
                                   sessions=1, pipeline=1)
                said = sink.wait(300)
            except BaseException:
                sink.end()
                raise
            runs.append({"all": said["last_us"] / 1e6 - began, "dot": taken["p50_ms"], "transactions": said["messages"]})
        results[side.name] = medians(runs)
        side.stop()
    said = "a message to 10,000 recipients at 100 domains"
    bench.row(f"{said}: all have it", "s", {n: r["all"] for n, r in results.items()}, False, None)
    bench.row(f"{said}: final dot to 250", "ms", {n: r["dot"] for n, r in results.items()}, False, None)
    bench.row(f"{said}: transactions", "", {n: r["transactions"] for n, r in results.items()}, None, None)
