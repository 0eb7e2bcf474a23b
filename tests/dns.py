#!/usr/bin/python3
"""A DNS server for tests: answers from a script, over UDP and TCP.

    with dns.Server({"example.net": {"MX": [(10, "mx.example.net")]}, "mx.example.net": {"A": ["127.0.0.1"]}}) as d:
        ... dns_servers = {"127.0.0.1:%d" % d.port} ...

A zone maps a name to its records by type, or to a word:

    "A" "AAAA" ["127.0.0.1", ...]      "MX" [(10, "host"), ...]  (0, "."): null MX      "TXT" ["text", ...]
    "CNAME" "other"                    "PTR" ["host"]                                   "TLSA" [(3, 1, 1, "hex"), ...]
    "SERVFAIL", "REFUSED", "TIMEOUT"   for the name, or for one type of it
    "secure" True                      answers about this name have the AD bit (where it was asked for)
    "ttl" 60, "delay" 0.5              of its records; seconds before the answer
    "cut" True                         UDP answers are cut short (TC), so that the client comes back by TCP

Names that the script does not know do not exist (NXDOMAIN with a SOA).  The script may be changed while it runs; `asked`
is the list of (name, type) that came in.  Run by itself it reads the zone as JSON from its standard input and
prints its port:  tests/dns.py [--port N] < zone.json
"""

import argparse
import ipaddress
import json
import socket
import struct
import sys
import threading
import time

TYPES = {"A": 1, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "TLSA": 52}
NAMES = {number: name for name, number in TYPES.items()}
RCODES = {"SERVFAIL": 2, "REFUSED": 5}


def wire_name(name):
    out = b""
    for label in name.rstrip(".").split("."):
        if label:
            out += bytes([len(label)]) + label.encode("latin-1")
    return out + b"\0"


def wire_data(kind, value):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind in ("CNAME", "PTR"):
        return wire_name(value)
    if kind == "MX":
        return struct.pack("!H", value[0]) + wire_name(value[1])
    if kind == "TXT":
        text = value.encode() if isinstance(value, str) else value
        return b"".join(bytes([len(text[i:i + 255])]) + text[i:i + 255] for i in range(0, max(1, len(text)), 255))
    if kind == "TLSA":
        return bytes(value[:3]) + bytes.fromhex(value[3])
    raise ValueError(kind)


def record(name, kind, ttl, value):
    data = wire_data(kind, value)
    return wire_name(name) + struct.pack("!HHIH", TYPES[kind], 1, ttl, len(data)) + data


def soa(ttl):
    data = wire_name("ns.test") + wire_name("hostmaster.test") + struct.pack("!IIIII", 1, 3600, 600, 86400, ttl)
    return wire_name("") + struct.pack("!HHIH", TYPES["SOA"], 1, ttl, len(data)) + data


class Server:
    def __init__(self, zone=None, port=0, ttl=60, negative_ttl=60):
        self.zone = {name.lower(): entry for name, entry in (zone or {}).items()}
        self.ttl, self.negative_ttl = ttl, negative_ttl
        self.asked = []
        self.lock = threading.Lock()
        self.udp, self.tcp = self.bind(port)
        self.port = self.udp.getsockname()[1]
        self.address = "127.0.0.1:%d" % self.port
        for run in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=run, daemon=True).start()

    @staticmethod
    def bind(port):
        for _ in range(100):  # the same number for both
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                udp.bind(("127.0.0.1", port))
                tcp.bind(("127.0.0.1", udp.getsockname()[1]))
                tcp.listen(50)
                return udp, tcp
            except OSError:
                udp.close()
                tcp.close()
                if port:
                    raise
        raise OSError("no port for the DNS server")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def set(self, name, entry):
        with self.lock:
            self.zone[name.lower()] = entry

    def questions(self, name=None):
        with self.lock:
            return [q for q in self.asked if name is None or q[0] == name]

    # ---- the wire ----

    def serve_udp(self):
        while True:
            try:
                packet, peer = self.udp.recvfrom(65535)
            except OSError:
                return
            threading.Thread(target=self.answer_udp, args=(packet, peer), daemon=True).start()

    def answer_udp(self, packet, peer):
        answer = self.answer(packet, False)
        if answer is not None:
            try:
                self.udp.sendto(answer, peer)
            except OSError:
                pass

    def serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.answer_tcp, args=(connection,), daemon=True).start()

    def answer_tcp(self, connection):
        with connection, connection.makefile("rb") as stream:
            while True:
                length = stream.read(2)
                if len(length) < 2:
                    return
                answer = self.answer(stream.read(struct.unpack("!H", length)[0]), True)
                if answer is None:
                    return
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    # ---- the answers ----

    def answer(self, packet, by_tcp):
        if len(packet) < 17:
            return None  # no question; what a closed socket gives is shorter still
        ident, flags, _, _, _, extra = struct.unpack("!HHHHHH", packet[:12])
        name, at = "", 12
        while packet[at]:
            name += packet[at + 1:at + 1 + packet[at]].decode("latin-1") + "."
            at += packet[at] + 1
        question = packet[12:at + 5]
        kind = NAMES.get(struct.unpack("!H", packet[at + 1:at + 3])[0], "?")
        name = name.rstrip(".").lower()
        wants_ad = bool(flags & 0x0020) or (extra > 0 and bool(packet[-4] & 0x80))
        with self.lock:
            self.asked.append((name, kind))
            entry = self.zone.get(name)
            rcode, secure, answers, delay, cut = self.look_up(name, kind, entry)
        if delay:
            time.sleep(delay)
        if rcode is None:
            return None
        out_flags = 0x8180 | rcode | (0x0020 if secure and wants_ad else 0)
        if cut and not by_tcp:
            return struct.pack("!HHHHHH", ident, out_flags | 0x0200, 1, 0, 0, 0) + question
        negative = b"" if answers or rcode not in (0, 3) else soa(self.negative_ttl)
        return (struct.pack("!HHHHHH", ident, out_flags, 1, len(answers), 1 if negative else 0, 0) + question +
                b"".join(answers) + negative)

    def look_up(self, name, kind, entry):
        """The RCODE (None: silence), whether it is secure, records, seconds to wait, whether UDP is cut short."""
        answers, secure, delay, cut = [], True, 0, False
        for _ in range(20):
            if entry is None:
                return 3, secure and bool(answers), answers, delay, cut
            if isinstance(entry, str):
                entry = {kind: entry}
            delay += entry.get("delay", 0)
            cut = cut or entry.get("cut", False)
            secure = secure and entry.get("secure", False)
            ttl = entry.get("ttl", self.ttl)
            found = entry.get(kind)
            if isinstance(found, str) and kind not in ("CNAME",):
                return (None if found == "TIMEOUT" else RCODES[found]), False, [], delay, cut
            if found is not None:
                values = [found] if isinstance(found, str) else found
                answers += [record(name, kind, ttl, value) for value in values]
                return 0, secure, answers, delay, cut
            if "CNAME" not in entry:
                return 0, secure, answers, delay, cut
            answers.append(record(name, "CNAME", ttl, entry["CNAME"]))
            name = entry["CNAME"].lower().rstrip(".")
            entry = self.zone.get(name)
        return 2, False, [], delay, cut


def main():
    parser = argparse.ArgumentParser(description="A DNS server for tests; the zone comes as JSON on standard input.")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    with Server(json.load(sys.stdin), given.port) as server:
        print(server.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
