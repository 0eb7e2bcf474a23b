#!/usr/bin/python3
"""The role that parses HTML dies, or hangs: searches are answered all the same, and mail does not notice.

    content.py [POSTHORN] [--port-base BASE]
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True

from post import PROGRAM, Server, free_port_base, remove_folder, select  # noqa: E402

MESSAGES = 40
HTML = ("From: ann@example.net\r\nSubject: html %d\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        "<p>some sun<b>shine</b> for plain%dword</p>\r\n")


def role_pid(server, name):
    """Of a role that the server's supervisor started; 0 while there is none."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/cmdline" % entry, "rb") as f:
                words = f.read().split(b"\0")
            with open("/proc/%s/stat" % entry, encoding="ascii", errors="replace") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if words[1:3] == [b"--role", name.encode()] and parent == server.process.pid:
            return int(entry)
    return 0


def wait_for_role(server, name, but=0, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid = role_pid(server, name)
        if pid not in (0, but):
            return pid
        time.sleep(0.2)
    raise AssertionError("role %s did not come back" % name)


def search(imap, key):
    """The numbers found; Refused if the answer is not OK."""
    _, lines = imap.ask("SEARCH " + key)
    for line in lines:
        text = b"".join(part for part in line if isinstance(part, bytes)).decode()
        if text.startswith("* SEARCH"):
            return [int(n) for n in text.split()[2:]]
    raise AssertionError("no SEARCH answer in %r" % lines)


class Searcher(threading.Thread):
    """Searches on and on: every answer is OK, and finds at least what a plain scan would."""

    def __init__(self, server):
        super().__init__()
        self.imap, self.problems, self.count, self.ended = server.imap(0), [], 0, False
        select(self.imap, "INBOX")

    def run(self):
        try:
            while not self.ended:
                for key, least in (("BODY plain7word", 1), ("BODY sunshine", 0), ("TEXT example.net", MESSAGES)):
                    if len(search(self.imap, key)) < least:
                        self.problems.append("%s found less than %d" % (key, least))
                    self.count += 1
        except Exception as why:  # said, not raised: this is a thread
            self.problems.append("search: %s: %s" % (type(why).__name__, why))


def finds_all(server, least=MESSAGES, seconds=60):
    """HTML is text again, within a while; a document that was with two roles that died is not sent to a third."""
    imap = server.imap(0)
    select(imap, "INBOX")
    deadline = time.monotonic() + seconds
    while len(search(imap, "BODY sunshine")) < least:
        if time.monotonic() > deadline:
            raise AssertionError("HTML is not searched as text any more")
        time.sleep(0.2)
    imap.close()


def run(server):
    imap = server.imap(0)
    for n in range(MESSAGES):
        imap.append("INBOX", "", (HTML % (n, n)).encode())
    mail = wait_for_role(server, "mail")
    finds_all(server)
    searcher = Searcher(server)
    searcher.start()
    try:
        pid = wait_for_role(server, "content")
        for _ in range(4):
            os.kill(pid, signal.SIGKILL)
            pid = wait_for_role(server, "content", but=pid)
        finds_all(server, MESSAGES - 2)
        os.kill(pid, signal.SIGSTOP)  # alive, and silent
        before = searcher.count
        deadline = time.monotonic() + 120
        while searcher.count < before + 6 and time.monotonic() < deadline and not searcher.problems:
            time.sleep(0.2)
        if searcher.count < before + 6:
            searcher.problems.append("a silent role stops the search")
        os.kill(pid, signal.SIGCONT)
    finally:
        searcher.ended = True
        searcher.join()
    finds_all(server, MESSAGES - 3)
    if role_pid(server, "mail") != mail:
        searcher.problems.append("the mail role died along")
    return searcher


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("posthorn", nargs="?", default=PROGRAM)
    parser.add_argument("--port-base", type=int, default=free_port_base())
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="posthorn-content-")
    server = Server(os.path.abspath(args.posthorn), os.path.join(folder, "demo"), args.port_base, 1,
                    os.path.join(folder, "server.log"))
    server.start()
    try:
        searcher = run(server)
        problems = searcher.problems
    except AssertionError as why:
        problems = [str(why)]
    finally:
        server.kill()
    for problem in problems[:10]:
        print("    " + problem)
    if problems:
        print("1 failed; left behind: " + folder)
        return 1
    print("1 passed, %d searches" % searcher.count)
    remove_folder(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
