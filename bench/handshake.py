"""bench/handshake.py - what a full TLS handshake costs: the CPU time of all of a server's processes, key and signature included.

A connection to the IMAPS port, handshake without resumption, greeting, close; beside it the same without TLS on the
IMAP port, which is what of it is no handshake.  An ECDSA P-256 certificate on both sides.
"""

import socket
import ssl
import statistics


def connections(port, many, version):
    """One after the other; version None: without TLS."""
    context = None
    if version is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
    for _ in range(many):
        sock = socket.create_connection(("127.0.0.1", port), 10)
        if context is not None:
            sock = context.wrap_socket(sock)  # no session is offered: each is a full one
        if not sock.recv(1000).startswith(b"* OK"):
            raise RuntimeError("no greeting on port %d" % port)
        sock.close()


def cost(cpu_seconds, side, port, many, version, repeat):
    """Milliseconds of CPU for each connection: the median of the runs."""
    connections(port, many // 10, version)  # warm
    runs = []
    for _ in range(repeat):
        before = cpu_seconds(side.roots())
        connections(port, many, version)
        runs.append((cpu_seconds(side.roots()) - before) * 1000 / many)
    return statistics.median(runs)


def scenario(bench, ours, theirs, cpu_seconds):
    many = 500 if bench.o.quick else 2000
    for version, name, target in ((ssl.TLSVersion.TLSv1_3, "TLS 1.3", "under 1 ms"), (ssl.TLSVersion.TLSv1_2, "TLS 1.2", "under 1 ms"),
                                  (None, "no TLS", None)):
        values = {}
        for side in filter(None, (ours, theirs)):
            side.stop()
            side.reset()
            values[side.name] = cost(cpu_seconds, side, side.imap if version is None else side.imaps, many, version, bench.o.repeat)
            side.stop()
        bench.row("connect to IMAP, full handshake, greeting, close; %s: server CPU" % name, "ms", values, False, target)
