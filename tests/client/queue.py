"""posthorn queue: list, show, hold, release, retry, remove, stats; while the server runs and while it does not."""

import json
import os
import pwd
import re

from sendmail import Stopping

DEMO_SAYS = "this is a demo, which sends nothing outside"


def run(c):
    base = c.base
    with Stopping(c.server.program) as server:
        c.base = server.base
        q = Queue(c, server)
        look(q)
        steer(q)
        returned(q)
        wrong(q)
        offline(q)
    c.base = base


class Queue:
    def __init__(self, c, server):
        self.c, self.server = c, server
        for n, (sender, to) in enumerate((("u0", ["bob@far.example", "carol@far.example"]), ("u1", ["dan@other.example"]))):
            self.say(["sendmail", "-f", sender + "@example.test", *to], stdin=b"Subject: out %d\nMessage-ID: <out%d@x.example>\n\nbody %d\n" % (n, n, n))
            self.wait(2 + n, "waiting")

    def say(self, words, want=0, stdin=b""):
        status, said = self.c.command([self.server.program, *words], stdin=stdin, env={"POSTHORN_CONFIG": self.server.config})
        self.c.ok("%s: status" % " ".join(words)[:60], status == want, "status %d\n%r" % (status, said))
        return said.decode(errors="replace")

    def rows(self, *words):
        return json.loads(self.say(["queue", "list", "--json", *words]))["rows"]

    def wait(self, count, state):
        """Until so many recipients are there, and the first message was tried (its failure holds up the other)."""
        while True:
            status, said = self.c.command([self.server.program, "queue", "list", "--json"], env={"POSTHORN_CONFIG": self.server.config})
            rows = json.loads(said)["rows"]
            if len(rows) == count and all(r["state"] == state for r in rows) and rows[0]["attempts"] > 0 and rows[1]["attempts"] > 0:
                return rows
            if not self.server.runs() or status != 0:
                raise RuntimeError(said)


def look(q):
    said = q.say(["queue", "list"])
    for words in ("from <u0@example.test>", "bob@far.example ", "waiting, 1 attempt, next in ", DEMO_SAYS, "2 messages, 3 recipients"):
        q.c.ok("list: " + words, words in said, said)
    for name, words, want in (("sender", ["--sender", "u1@example.test"], ["dan@other.example"]),
                              ("recipient", ["--recipient", "bob@far.example"], ["bob@far.example"]),
                              ("domain", ["--domain", "far.example"], ["bob@far.example", "carol@far.example"]),
                              ("reason", ["--reason", "a demo"], ["bob@far.example", "carol@far.example", "dan@other.example"]),
                              ("another reason", ["--reason", "no such text"], []), ("older", ["--older", "1h"], []),
                              ("account", ["--account", pwd.getpwuid(os.getuid()).pw_name.upper()],
                               ["bob@far.example", "carol@far.example", "dan@other.example"]), ("another account", ["--account", "u1@example.test"], []),
                              ("younger and domain", ["--younger", "1h", "--domain", "other.example"], ["dan@other.example"])):
        q.c.same("filter: " + name, sorted(r["recipient"] for r in q.rows(*words)), want)
    row = q.rows("--domain", "far.example")[0]
    said = q.say(["queue", "show", "%x" % row["message"]])
    for words in ("sender      <u0@example.test>", "trace       " + row["trace"], "recipients\n", "Subject: out 0"):
        q.c.ok("show: " + words.strip(), words in said, said)
    q.c.ok("show: only the header", "body 0" not in said, said)
    q.c.ok("show --body", "body 0" in q.say(["queue", "show", row["trace"], "--body"]))
    said = q.say(["queue", "stats"])
    q.c.ok("stats", "2 messages for 3 recipients" in said and "3 waiting, 0 on their way, 0 held" in said, said)
    said = q.say(["trace", "<out0@x.example>"])
    q.c.ok("trace: in the queue and tried", "in the queue, to leave" in said and "put off for <bob@far.example>, attempt 1" in said, said)


def steer(q):
    row = q.rows("--domain", "other.example")[0]
    q.c.ok("hold: by id", "1 recipient held" in q.say(["queue", "hold", "%x" % row["message"]]))
    q.c.same("hold: it is", [r["state"] for r in q.rows("--domain", "other.example")], ["held"])
    q.c.ok("retry leaves what is held", q.rows("--domain", "other.example")[0]["attempts"] == row["attempts"])
    q.c.ok("release: by filter", "1 recipient released" in q.say(["queue", "release", "--sender", "u1@example.test"]))


def returned(q):
    q.c.ok("remove --bounce", "1 recipient returned" in q.say(["queue", "remove", "--recipient", "carol@far.example", "--bounce"]))
    [got] = q.c.messages("u0@example.test", count=1, empty=True)
    for words in (b"Return-Path: <>", b"Subject: Not delivered: out 0", b"Final-Recipient: rfc822; carol@far.example", b"Action: failed",
                  b"Auto-Submitted: auto-replied"):
        q.c.ok("the sender is told: " + words.decode(), words in got, got)
    q.c.ok("the sender is told: of nobody else", b"bob@far.example" not in got.split(b"message/delivery-status")[1].split(b"\r\n--")[0], got)
    said = q.say(["trace", "<out0@x.example>"])
    q.c.ok("trace: given up", "given up for <carol@far.example>" in said and "<u0@example.test> is told of it" in said, said)
    q.c.ok("remove: silently", "1 recipient removed" in q.say(["queue", "remove", "--recipient", "bob@far.example"]))
    q.c.ok("retry: due now", "1 recipient due now" in q.say(["queue", "retry", "--all"]))
    q.c.same("what is left", [r["recipient"] for r in q.rows()], ["dan@other.example"])


def wrong(q):
    for words, want in ((["hold"], 1), (["hold", "xyz"], 2), (["hold", "0"], 2), (["list", "--older", "soon"], 2),
                        (["show", "nosuch"], 1), (["undo", "nosuch"], 1), (["remove"], 1)):
        q.say(["queue", *words], want=want)
    q.c.same("nothing was changed", [r["recipient"] for r in q.rows() if r["state"] != "held"], ["dan@other.example"])


def offline(q):
    q.server.stop()
    q.c.same("the server is stopped: list", [r["recipient"] for r in q.rows()], ["dan@other.example"])
    q.c.ok("the server is stopped: remove", "1 recipient removed" in q.say(["queue", "remove", "--all"]))
    q.c.same("the server is stopped: nothing is left", q.rows(), [])
    said = q.say(["trace", "<out1@x.example>"])
    q.c.ok("the server is stopped: trace", re.search(r"put off for <dan@other.example>", said) is not None, said)
    q.server.start()
    q.c.same("after the start: still nothing", q.rows(), [])
    q.c.ok("the folder is there", os.path.isdir(os.path.join(q.server.data, "queue")))
