"""A conversation script: its lines, and how an expected line matches a real one."""

import base64
import re

CLIENT = re.compile(r"C(\d*)(\+?):(?: (.*))?$", re.S)
SERVER = re.compile(r"S(\d*)([~-]?):(?: (.*))?$", re.S)
MORE = re.compile(r"S\d*\|(?: (.*))?$", re.S)
CONTROL = re.compile(r"!(starttls|closed|close)(?: C(\d*))?$")
OPEN = re.compile(r"open C(\d+) (\w+)$")
GIVEN = re.compile(r"given (.*?)(?: on C(\d+))?$")
PLACEHOLDER = re.compile(r"\\<|<([a-z][a-z0-9-]*)>")
SIMPLE = {"number": r"\d+", "word": r"\S+", "any": r".*", "sp": r"[ -]"}


class Step:
    """One thing to do or to expect: kind, connection name, text, and where it is written."""

    def __init__(self, kind, connection, text, line):
        self.kind, self.connection, self.text, self.line = kind, connection, text, line


class BadScript(Exception):
    pass


def read(path):
    """The steps of a script file; BadScript says where it cannot be read."""
    steps = []
    with open(path, encoding="utf-8", newline="") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines, 1):
        if line.startswith("    ") and steps and steps[-1].kind == "given":
            steps[-1].text += "\n" + line[4:]
        elif line.strip() and not line.startswith("#"):
            step = read_line(line, number, steps)
            if step is not None:
                steps.append(step)
    return steps


def read_line(line, number, steps):
    if match := CLIENT.match(line):
        return Step("send-raw" if match[2] else "send", match[1], match[3] or "", number)
    if match := SERVER.match(line):
        kind = {"": "expect", "~": "somewhere", "-": "nowhere"}[match[2]]
        return Step(kind, match[1], match[3] or "", number)
    if match := MORE.match(line):
        if not steps or steps[-1].kind not in ("expect", "somewhere", "nowhere"):
            raise BadScript(f"{number}: 'S|' goes on with nothing")
        steps[-1].text += "\r\n" + (match[1] or "")
        return None
    if match := CONTROL.match(line):
        return Step(match[1], match[2] or "", "", number)
    if match := OPEN.match(line):
        return Step("open", match[1], match[2], number)
    if match := GIVEN.match(line):
        return Step("given", match[2] or "", match[1], number)
    raise BadScript(f"{number}: cannot read '{line}'")


def config_of(steps):
    """What the script's server is to have in its config ("given config ..."); "" for most."""
    return "\n".join(step.text.split(" ", 1)[1] for step in steps if step.kind == "given" and step.text.startswith("config "))


def unescape(text):
    """\\r \\n \\t \\0 \\\\ and \\xNN, as bytes."""
    known = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}

    def one(match):
        return known[match[1]] if match[1] in known else chr(int(match[1][1:], 16))

    return re.sub(r"\\([rnt0\\]|x[0-9a-fA-F]{2})", one, text.encode().decode("latin-1")).encode("latin-1")


def fill(text, names):
    """What the client sends: known names, <x*600> and <b64:...> put in."""
    for name, value in names.items():
        text = text.replace(f"<{name}>", value)
    text = re.sub(r"<([^<>]+)\*(\d+)>", lambda m: m[1] * int(m[2]), text)
    return re.sub(r"<b64:([^>]*)>", lambda m: base64.b64encode(unescape(m[1])).decode(), text)


def pattern_of(text, names):
    """A regular expression for an expected line."""
    parts, at, new = [], 0, {}
    for match in PLACEHOLDER.finditer(text):
        parts.append(re.escape(text[at:match.start()]))
        at = match.end()
        name = match[1]
        if name is None:
            parts.append("<")
        elif name in names:
            parts.append(re.escape(names[name]))
        elif name in SIMPLE:
            parts.append(SIMPLE[name])
        elif name in new:
            parts.append(f"(?P=p{new[name]})")
        else:
            new[name] = len(new)
            parts.append(f"(?P<p{new[name]}>.+?)")
    parts.append(re.escape(text[at:]))
    return re.compile("".join(parts) + r"\Z", re.S), new


def matches(text, line, names):
    """Does the expected `text` match the real `line`?  Takes new names into `names`."""
    pattern, new = pattern_of(text, names)
    match = pattern.match(line)
    if match is None:
        return False
    for name, index in new.items():
        names[name] = match[f"p{index}"]
    return True
