#!/usr/bin/env python3
"""Tests the runner itself: scripts against a server that only knows what it was told to say.

Each row: what the script is, what the server does (bytes to send; a number: read that many lines; "close"),
and what the runner must find wrong (part of it), or None.
"""

import os
import socket
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import player  # noqa: E402
import script  # noqa: E402
import wire    # noqa: E402

ROWS = [
    ("plain", "S: 220 <any>\nC: QUIT\nS: 221 bye\n!closed\n", [b"220 hi\r\n", 1, b"221 bye\r\n", "close"], None),
    ("another line", "S: 220 <any>\n", [b"221 hi\r\n"], "expected '220 <any>', got '221 hi'"),
    ("only a part of it", "S: 220 hi\n", [b"220 hi there\r\n"], "got '220 hi there'"),
    ("special characters are plain", "S: a.b [x]*\n", [b"aXb [x]*\r\n"], "got 'aXb"),
    ("numbers", "S: <number> <word>\n", [b"12 ab\r\n"], None),
    ("no number", "S: <number>\n", [b"1x\r\n"], "got '1x'"),
    ("taken twice, the same", "S: <a> <a>\nS: <a>\n", [b"xy xy\r\nxy\r\n"], None),
    ("taken twice, different", "S: <a>\nS: <a>\n", [b"xy\r\nxz\r\n"], "got 'xz'"),
    ("a name that was taken is sent", "S: <a>\nC: say <a>\nS: said\n", [b"xy\r\n", b"?say xy", b"said\r\n"], None),
    ("escaped bracket", "S: \\<a@b>\n", [b"<a@b>\r\n"], None),
    ("bare LF is seen", "S: a\n", [b"a\n"], "bare LF"),
    ("somewhere", "S~: * b\nS~: * a\nS: x OK\n", [b"* a\r\n* c\r\n* b\r\nx OK\r\n"], None),
    ("somewhere, missing", "S~: * b\nS: x OK\n", [b"* a\r\nx OK\r\n"], ":1: expected '* b', got 'x OK'"),
    ("two of a kind need two lines", "S~: * <number> E\nS~: * <number> E\nS: x OK\n", [b"* 1 E\r\nx OK\r\n"], "expected '* <number> E'"),
    ("passed over", "S~:\nS: x OK\n", [b"* a\r\n* b\r\nx OK\r\n"], None),
    ("not passed over", "S: x OK\n", [b"* a\r\nx OK\r\n"], "got '* a'"),
    ("a tagged answer ends the wait", "S~:\nS: x OK\n", [b"* a\r\nx NO\r\n"], "got 'x NO'"),
    ("nowhere", "S-: * b\nS: x OK\n", [b"* b\r\nx OK\r\n"], "unwanted '* b'"),
    ("nowhere, and so it is", "S-: * b\nS: x OK\n", [b"* a\r\nx OK\r\n"], None),
    ("literal", "S: * {3}\nS| a\nS| )\n", [b"* {4}\r\na\r\n)\r\n"], "expected"),
    ("literal as it is", "S: * {3}\nS| a\nS| )\n", [b"* {3}\r\na\r\n)\r\n"], None),
    ("it closes too early", "S: 220\nS: 221\n", [b"220\r\n", "close"], ":2: '221': the server closed"),
    ("it does not close", "S: 220\n!closed\n", [b"220\r\n221\r\n"], "expected the end, got '221'"),
    ("it says nothing", "S: 220\n", [1], "nothing came within"),
    ("lines in a row are one write", "S: a\nC: b\nC: c\nS: d\n", [b"a\r\n", b"?b\r\nc", b"d\r\n"], None),
    ("without a line end", "S: a\nC+: x\\r\\n\\x41\nC: b\nS: d\n", [b"a\r\n", b"?x\r\nAb", b"d\r\n"], None),
    ("repeated", "S: a\nC: <x*5> <b64:\\0a>\nS: d\n", [b"a\r\n", b"?xxxxx AGE=", b"d\r\n"], None),
    ("unreadable", "S: a\nnonsense\n", [b"a\r\n"], "cannot read 'nonsense'"),
    ("a config is the runner's affair", "given config imap { sets = 10 }\nS: a\n", [b"a\r\n"], None),
    ("nothing behind", "S~: a\n", [b"a\r\n"], "needs an 'S:' line"),
]


def serve(listener, acts):
    peer = listener.accept()[0]
    for act in acts:
        if act == "close":
            break
        if isinstance(act, int):
            for _ in range(act):
                peer.recv(4096)
        elif act.startswith(b"?"):
            got = peer.recv(4096)
            if got != act[1:] + b"\r\n":
                peer.sendall(b"got " + got)
        else:
            peer.sendall(act)
    else:
        while peer.recv(4096):
            pass
    peer.close()


class Server:
    def __init__(self, port):
        self.host, self.base = "127.0.0.1", port - wire.PORTS["imap"]


def run(text, acts):
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.NamedTemporaryFile("w", newline="") as file:
        file.write(text)
        file.flush()
        thread = threading.Thread(target=serve, args=(listener, acts), daemon=True)
        thread.start()
        try:
            player.Player(file.name, "imap", Server(listener.getsockname()[1]), ["u0@x", "u1@x"], None, 0.5,
                          lambda who, data: None).play()
        except script.BadScript as problem:
            return str(problem)
        except player.Failure as problem:
            return f":{problem.line}: {problem.text}"
    return None


def main():
    failed = 0
    for note, text, acts, want in ROWS:
        got = run(text, acts)
        if (got is None) != (want is None) or (want is not None and want not in got):
            print(f"{note}: found {got!r}, should have found {want!r}")
            failed += 1
    print(f"{len(ROWS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
