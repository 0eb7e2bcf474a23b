"""bench/pop3.py - a maildrop fetched by POP3: one message at a time, pipelined, and UIDL of a large one."""

import statistics


def runs(bench, side, messages):
    """Medians; the first run, in which caches are made, is not among them."""
    found = [bench.load(side, "pop3", port=side.pop3, messages=messages) for _ in range(bench.o.repeat + 1)]
    return {k: statistics.median(r[k] for r in found[1:]) for k in found[0]}, found[0]


def scenario(bench, ours, theirs):
    few = 2000 if bench.o.quick else 10000
    many = bench.o.messages or (20000 if bench.o.quick else 100000)
    small, large, first = {}, {}, {}
    for side in filter(None, (ours, theirs)):
        side.reset()
        if side is ours:
            bench.load(side, "smtp", messages=few, accounts=1, size=4096, see=1)
        else:
            side.import_messages(few, make=message, kind="pop3")
        small[side.name], _ = runs(bench, side, few)
        side.reset()
        bench.fill(side, many, ours)
        side.stop()
        side.start()
        large[side.name], first[side.name] = runs(bench, side, 0)
        side.stop()

    def row(what, unit, values, key, target):
        bench.row(what, unit, {name: v[key] for name, v in values.items()}, False, target)

    row("POP3: %s messages of 4 KB, RETR one at a time" % format(few, ","), "s", small, "single_s", "2 times")
    row("POP3: %s messages of 4 KB, RETR pipelined" % format(few, ","), "s", small, "pipelined_s", "2 times")
    row("POP3: login and UIDL of %s messages, first after a start" % format(many, ","), "ms", first, "uidl_ms", "2 times")
    row("POP3: login and UIDL of %s messages, again" % format(many, ","), "ms", large, "uidl_ms", "2 times")
    row("POP3: LIST of %s messages" % format(many, ","), "ms", large, "list_ms", None)


def message(n):
    """As many bytes as the load generator's, in lines as long."""
    words = "letter station harbour morning window paper answer garden river people".split()
    lines, size = [], 0
    while size < 3800:
        lines.append(" ".join(words[(n * 7 + len(lines) * 3 + k) % 10] + "%x" % k for k in range(8)))
        size += len(lines[-1]) + 2
    return ("Date: Sun, 22 Nov 2026 10:%02d:%02d +0000\nFrom: sender@example.net\nTo: u0@example.test\nSubject: Report %d\n"
            "Message-ID: <%d.1@load.example.net>\n\n%s\n" % (n // 60 % 60, n % 60, n, n, "\n".join(lines)))
