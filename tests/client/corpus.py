"""Real messages go in by every way there is and come out byte for byte, decoded too."""

import base64
import os
import quopri
import re

from demo import DOMAIN

HERE = os.path.dirname(os.path.abspath(__file__))
PLACES = [os.path.join(HERE, "../../../shared/corpus"), os.path.join(HERE, "../corpus")]

# A mail system may not take these over SMTP (RFC 5321 section 2.3.8): a NUL; a CR without LF.
# IMAP's APPEND takes them, but gives a part with NUL back in base64; everything else goes in by every way.
REFUSED = {"mail-parser/thirdparty-005.eml": "NUL", "mail-parser/legacy-049.eml": "bare CR"}

# Fields that a delivery puts in front.
ADDED = re.compile(rb"(?:(?:Return-Path|Delivered-To|Received|Authentication-Results):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)+")


def run(c):
    files = list(read_all(c))
    if not files:
        return
    by_append(c, files)
    by_delivery(c, files, "SMTP", c.users[1], "smtp", data)
    by_delivery(c, files, "BDAT", c.users[2], "smtp", bdat)
    by_delivery(c, files, "LMTP", c.users[0], "lmtp", data)


def read_all(c):
    """(name, text): lone LF turned into CRLF."""
    place = next((p for p in PLACES if os.path.isdir(p)), None)
    if not c.ok("there is a corpus", place is not None, "neither of %s" % PLACES):
        return
    for folder, folders, names in sorted(os.walk(place)):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name != "README.md":
                with open(path, "rb") as text:
                    yield os.path.relpath(path, place), re.sub(rb"(?<!\r)\n", b"\r\n", text.read())


# ---- APPEND ----


def by_append(c, files):
    user = c.users[0]
    m = c.imap(user)
    m.create("Corpus")
    for name, text in files:
        m.literal = text  # imaplib's append() would mend line ends
        status, said = m._simple_command("APPEND", "Corpus")
        if status != "OK":
            c.ok("APPEND takes " + name, False, said)
    m.logout()
    compare(c, "APPEND", files, c.messages(user, "Corpus"),
            lambda got, text: got == text or (b"\0" in text and b"\0" not in got and b"\nContent-Transfer-Encoding: base64\r\n" in b"\n" + got))
    binary(c, c.imap(user, "Corpus"), files)


# ---- BINARY: what a part's encoding hides ----


def binary(c, m, files):
    """Every part of every message: BINARY gives what the encoding says, BINARY.SIZE how much it is."""
    different, parts = [], 0
    for number, (name, _) in enumerate(files, 1):
        _, said = m.fetch(str(number), "(BODYSTRUCTURE)")
        for path, encoding in leaves(structure(said)):
            if encoding not in DECODE:
                continue
            parts += 1
            _, said = m.fetch(str(number), "(BODY.PEEK[%s] BINARY.PEEK[%s] BINARY.SIZE[%s])" % (path, path, path))
            got = list(tokens(said))
            raw, plain, size = (got[got.index(b"%s[%s]" % (item, path.encode())) + 1] for item in (b"BODY", b"BINARY", b"BINARY.SIZE"))
            if text(plain) != DECODE[encoding](text(raw)) or int(size) != len(text(plain)):
                different.append("%s %s" % (name, path))
    m.logout()
    c.ok("BINARY: %d parts decoded" % parts, parts > len(files) / 2 and different == [], different)


def text(token):
    return token[0] if isinstance(token, tuple) else b""  # "" comes as a string, NIL as a word


def from_base64(raw):
    """Padding ends a piece, and another may follow; what is no digit is passed over."""
    out = b""
    for piece in raw.split(b"="):
        digits = re.sub(rb"[^A-Za-z0-9+/]", b"", piece)
        digits = digits[:-1] if len(digits) % 4 == 1 else digits
        out += base64.b64decode(digits + b"=" * (-len(digits) % 4))
    return out


def from_quoted_printable(raw):
    """Blanks at the end of a line are not the sender's (RFC 2045 section 6.7, rule 3)."""
    return quopri.decodestring(re.sub(rb"[ \t]+(?=\r?\n|$)", b"", raw))


DECODE = {b"7bit": bytes, b"8bit": bytes, b"binary": bytes, b"base64": from_base64, b"quoted-printable": from_quoted_printable}


def tokens(said):
    """Of a FETCH response: "(" and ")", words, and strings as 1-tuples."""
    for part in said:
        line, literal = part if isinstance(part, tuple) else (part, None)
        for found in re.finditer(rb'"((?:[^"\\]|\\.)*)"|[()]|~?\{\d+\}$|[^\s()"]+', line):
            if found.group(1) is not None:
                yield (re.sub(rb"\\(.)", rb"\1", found.group(1)),)
            elif literal is None or not re.fullmatch(rb"~?\{\d+\}", found.group()):
                yield found.group()
        if literal is not None:
            yield (literal,)


def structure(said):
    """The BODYSTRUCTURE as lists in lists."""
    stack = [[]]
    for token in tokens(said):
        if token == b"(":
            stack.append([])
        elif token == b")" and len(stack) > 1:
            stack[-2].append(stack.pop())
        else:
            stack[-1].append(token)
    whole = stack[0][-1]
    return whole[whole.index(b"BODYSTRUCTURE") + 1]


def leaves(body, path="", message=True):
    """(path, encoding) of each part that is neither a multipart nor a message."""
    if isinstance(body[0], list):
        for number, child in enumerate((part for part in body if isinstance(part, list)), 1):
            if not isinstance(child[0], list) and len(child) < 7:
                break  # the parameters: no part any more
            yield from leaves(child, "%s%d" % (path + "." if path else "", number), False)
        return
    if message:
        path = path + ".1" if path else "1"
    if len(body) > 8 and isinstance(body[8], list) and text(body[0]).lower() == b"message":
        yield from leaves(body[8], path, True)
    else:
        yield path, text(body[5]).lower()


# ---- SMTP, LMTP ----


def by_delivery(c, files, way, user, protocol, give):
    taken = []
    with c.smtp(protocol) as s:
        s.ehlo("corpus.example")
        for name, text in files:
            s.mail("sender@elsewhere.example", ["BODY=8BITMIME", "SMTPUTF8"])
            s.rcpt(user)
            code, said = give(s, text)
            if name in REFUSED:
                c.ok("%s refuses %s (%s)" % (way, name, REFUSED[name]), code == 550, (code, said))
                s = again(c, s, protocol)
            elif code == 250:
                taken.append((name, text))
            else:
                c.ok("%s takes %s" % (way, name), False, (code, said))
                s = again(c, s, protocol)
    if way != "BDAT":  # DATA cannot say that the last line has no end
        taken = [(name, text if text.endswith(b"\r\n") else text + b"\r\n") for name, text in taken]
    got = c.messages(user, count=len(taken))
    compare(c, way, taken, got, lambda got, text: is_delivered(got, text))


def is_delivered(got, text):
    added = got[:len(got) - len(text)]
    return got.endswith(text) and ADDED.fullmatch(added) is not None


def again(c, s, protocol):
    """The server may close the session after a refusal."""
    s.close()
    s = c.smtp(protocol)
    s.ehlo("corpus.example")
    return s


def data(s, text):
    return s.data(text)


def bdat(s, text):
    """In three chunks, cut anywhere."""
    cuts = [0, len(text) // 3, len(text) // 3 * 2 + 1, len(text)]
    for number in range(3):
        chunk = text[cuts[number]:cuts[number + 1]]
        s.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if number == 2 else b"") + chunk)
        code, said = s.getreply()
        if code != 250:
            break
    return code, said


# ---- what came out ----


def compare(c, way, files, got, same):
    c.same("%s: all %d are there" % (way, len(files)), len(got), len(files))
    different = [name for (name, text), one in zip(files, got) if not same(one, text)]
    c.ok("%s: byte for byte the same" % way, different == [] and got, different)
