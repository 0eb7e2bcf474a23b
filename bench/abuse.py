"""bench/abuse.py - clients that mean harm, and what another user notices of them.

While each attack goes on, bench/abuse probe measures what takes somebody else how long: NOOP, FETCH of a small
message, a delivery by SMTP, connecting and signing in.  Three times: on the quiet server; with as much of the
machine burnt as the attack's generator took, which is what the attackers, being on the same two cores, cost whatever
the server does; and under attack.  The generator runs at nice 5.
"""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

DOMAIN = "example.test"
ACCOUNTS = 100
MB = 1024

# name, connections, what it is
ATTACKS = [
    ("drip", 10000, "a byte every 10 s"),
    ("deaf", 10000, "signed in, asked for all mail 40 times, never read"),
    ("hello", 10000, "TLS handshakes left half done"),
    ("record", 10000, "TLS records left half done"),
    ("wrong", 200, "login storm, wrong passwords"),
    ("right", 200, "login storm, right passwords"),
    ("noop", 16, "pipelined NOOPs"),
    ("expunge", 16, "APPEND, STORE, EXPUNGE on one mailbox"),
    ("fetch", 16, "FETCH of everything on one mailbox"),
    ("search", 16, "SEARCH TEXT on one mailbox"),
]
OPERATIONS = ("noop", "fetch", "delivery", "login")


class Server:
    """A demo with the defaults of a real server where the demo has cheaper ones, and PROXY headers believed."""

    def __init__(self, folder, build, base, settings="", accounts=ACCOUNTS):
        self.accounts = accounts
        self.folder, self.program, self.base = folder / "abuse", build / "posthorn", base
        self.ports = {"imap": base + 143, "imaps": base + 993, "smtp": base + 25}
        self.settings = settings
        self.process = None

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.log = open(self.folder / "log", "ab")
        demo = subprocess.Popen([self.program, "demo", "--dir", self.folder / "data", "--port-base", str(self.base), "--accounts",
                                 str(self.accounts + 1)], stdout=subprocess.PIPE, stderr=self.log, text=True)
        for line in demo.stdout:
            if line.strip() == "ready":
                break
        demo.terminate()
        demo.wait(60)
        config = self.folder / "data/posthorn.conf"
        text = re.sub(r"(listener \"[^\"]*\" \{)", r"\1\n    proxy = true", config.read_text())
        text = re.sub(r"\nauth \{[^}]*\}", "", text)
        config.write_text(text.replace("\"warning\"", "\"info\"" if os.environ.get("ABUSE_LOG") else "\"warning\"") + '\nproxy_from = {"127.1.0.0/16"}\n' + self.settings)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(str(self.folder / "notify"))
            told.settimeout(120)
            self.process = subprocess.Popen([self.program, "serve", "--config", config], stdin=subprocess.DEVNULL, stdout=self.log,
                                            stderr=self.log, env=dict(os.environ, NOTIFY_SOCKET=told.getsockname()))
            while b"READY=1" not in told.recv(4096):
                pass

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def pids(self):
        table = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                except OSError:
                    continue
                table[int(entry.name)] = int(stat[stat.rindex(")") + 2:].split()[1])
        return [self.process.pid] + [pid for pid, parent in table.items() if parent == self.process.pid]

    def roles(self):
        """pid by role."""
        found = {}
        for pid in self.pids():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            found[words[words.index(b"--role") + 1].decode() if b"--role" in words else "supervisor"] = pid
        return found

    def memory_kb(self, role=None):
        total = 0
        for name, pid in self.roles().items():
            if role in (None, name):
                try:
                    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
                except OSError:
                    continue
                total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
        return total

    def cpu(self):
        """Seconds by role."""
        used = {}
        for name, pid in self.roles().items():
            try:
                stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            except OSError:
                continue
            fields = stat[stat.rindex(")") + 2:].split()
            used[name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return used


class Abuse:
    def __init__(self, program, server, sources=4000, network=8):
        self.program, self.server, self.sources, self.network = program, server, sources, network

    def arguments(self, **more):
        settings = {**self.server.ports, "accounts": self.server.accounts, **more}
        return [f"{k}={v}" for k, v in settings.items()]

    def probe(self, seconds):
        said = subprocess.run([self.program, "probe", *self.arguments(seconds=seconds)], capture_output=True, text=True)
        if said.returncode != 0:
            return None
        return json.loads(said.stdout)

    def fill(self, messages=400, size=4000):
        """u1's INBOX, which the storms on one mailbox use; and each account's password is hashed at its real cost."""
        from imaplib import IMAP4
        with IMAP4("127.0.0.1", self.server.ports["imap"]) as c:
            c.login(f"u1@{DOMAIN}", "demo-u1")
            body = ("From: a@example.net\r\nSubject: filler\r\n\r\n" + ("words and words and more words\r\n" * (size // 32))).encode()
            for _ in range(messages):
                c.append("INBOX", None, None, body)
        import smtplib
        with smtplib.SMTP("127.0.0.1", self.server.ports["smtp"]) as c:
            c.sendmail("a@example.net", [f"u{n}@{DOMAIN}" for n in range(1, self.server.accounts + 1)], body * 50)
        for n in range(self.server.accounts + 1):
            with IMAP4("127.0.0.1", self.server.ports["imap"]) as c:
                c.login(f"u{n}@{DOMAIN}", f"demo-u{n}")

    def run(self, name, connections, seconds, quiet):
        """One attack: what it did, the probe's times meanwhile and with the generator's CPU burnt alone, memory at its most."""
        before_memory = self.server.memory_kb("mail")
        cpu = self.server.cpu()
        began = time.monotonic()
        attack = subprocess.Popen(["nice", "-n", "5", self.program, name,
                                   *self.arguments(connections=connections, sources=self.sources, network=self.network)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            attack.stdout.readline()
            stood = time.monotonic() - began
            cpu_at = self.server.cpu()
            under = self.probe(seconds)
            cpu_end = self.server.cpu()
            memory = self.server.memory_kb("mail")
            total = self.server.memory_kb()
        finally:
            attack.stdin.close()
        did = json.loads(attack.stdout.readline() or "{}")
        attack.wait()
        share = max(1, min(100, round(100 * did.get("cpu", 0) / max(did.get("seconds", 1), 0.1))))
        load = {k: (cpu_end.get(k, 0) - cpu_at.get(k, 0)) / seconds for k in cpu_end}
        settle(self.server)
        with subprocess.Popen(["nice", "-n", "5", self.program, "burn", f"percent={share}", f"seconds={seconds}"]) as burn:
            burnt = self.probe(max(1, seconds - 1))
            burn.wait()
        return {"name": name, "did": did, "quiet": quiet, "burnt": burnt, "under": under, "memory": memory, "total": total,
                "before": before_memory, "share": share, "load": load, "stood": stood, "setup": sum(cpu_at.values()) - sum(cpu.values())}


def settle(server, seconds=20):
    """Until the server has nothing more to do."""
    until = time.monotonic() + seconds
    before = sum(server.cpu().values())
    while time.monotonic() < until:
        time.sleep(0.3)
        now = sum(server.cpu().values())
        if now - before < 0.02:
            return
        before = now


def cell(row, operation):
    def of(which):
        return row[which][operation]["median"] if row[which] else float("nan")
    quiet, burnt, under = of("quiet"), of("burnt"), of("under")
    failed = row["under"][operation]["failed"] if row["under"] else -1
    return f"{under:.3f} ({under / quiet:.1f}; {under / burnt:.1f})" + (f" {failed} failed" if failed else "")


def table(rows):
    lines = ["| attack | NOOP | FETCH | delivery | login | memory of `mail` | CPU: server, generator | it did |",
             "|---|---:|---:|---:|---:|---:|---:|---|"]
    for r in rows:
        did = r["did"]
        what = f"{did.get('opened', 0):,} opened, {did.get('closed', 0):,} ended, {did.get('done', 0):,} logins, " \
               f"{did.get('sent', 0) / 1e6:,.0f} MB sent, {did.get('received', 0) / 1e6:,.0f} MB read"
        lines.append("| %s | %s | %.0f MB (%+.0f) | %.0f %%, %d %% | %s |" % (
            r["what"], " | ".join(cell(r, op) for op in OPERATIONS), r["memory"] / MB, (r["memory"] - r["before"]) / MB,
            100 * sum(r["load"].values()), r["share"], what))
    return "\n".join(lines)


def run_all(build, folder, base, quick=False, only=None):
    server = Server(folder, build, base)
    rows = []
    seconds = 2 if quick else 6
    server.start()
    try:
        abuse = Abuse(build / "bench" / "abuse", server)
        abuse.fill()
        settle(server)
        quiet = abuse.probe(seconds)
        for name, connections, what in ATTACKS:
            if only and name not in only:
                continue
            if quick:
                connections = max(16, connections // 10)
            row = abuse.run(name, connections, seconds, quiet)
            row["what"] = f"{connections:,} x {what}" if connections > 16 else f"{connections} sessions, {what}"
            rows.append(row)
            print(table(rows).splitlines()[-1], flush=True)
            print("   ", {k: round(v, 2) for k, v in row["load"].items()}, "setup %.1f s, CPU %.1f s" % (row["stood"], row["setup"]),
                  flush=True)
    finally:
        server.stop()
    return quiet, rows


def scenario(bench, ours, theirs):
    """For bench/run: writes the section of RESULTS.md itself, as its table is another."""
    del theirs
    subprocess.run(["ninja", "-C", bench.o.build, "bench/abuse"], check=True, capture_output=True)
    quiet, rows = run_all(bench.o.build, bench.o.dir, ours.base, bench.o.quick)
    said = "quiet: " + ", ".join(f"{op} {quiet[op]['median']:.3f} ms" for op in OPERATIONS) + "\n\n" + table(rows) + "\n"
    print("\n" + said)
    if not (bench.o.quick or bench.o.no_write):
        page = pathlib.Path(__file__).parent / "RESULTS.md"
        before, mark, rest = page.read_text().partition("<!-- abuse -->\n")
        _, end, after = rest.partition("<!-- abuse end -->")
        page.write_text(f"{before}{mark}{said}{end}{after}")


if __name__ == "__main__":
    import sys
    top = pathlib.Path(__file__).resolve().parent.parent
    run_all(top / "build", pathlib.Path("/var/tmp/posthorn-abuse"), 15000, "--quick" in sys.argv,
            [a for a in sys.argv[1:] if not a.startswith("-")])
