"""Real messages go in by every way there is and come out byte for byte."""

import os
import re

from demo import DOMAIN

HERE = os.path.dirname(os.path.abspath(__file__))
PLACES = [os.path.join(HERE, "../../../shared/corpus"), os.path.join(HERE, "../corpus")]

# A mail system may not take these over SMTP (RFC 5321 section 2.3.8): a NUL; a CR without LF.
# IMAP's APPEND takes them, and everything else goes in by every way.
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
    compare(c, "APPEND", files, c.messages(user, "Corpus"), lambda got, text: got == text)


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
