#!/usr/bin/env python3
"""Notifications as a mail program reads them: Python's email package over what test-queue-dsn writes.

usage: test_dsn.py TEST-QUEUE-DSN [--write]      (--write: makes the golden files anew)
"""

import email
import email.policy
import os
import re
import subprocess
import sys

PROGRAM = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
failed = 0


def check(note, ok, more=""):
    global failed
    if not ok:
        failed += 1
        print(f"{note}: not so {more}", file=sys.stderr)


def written(case):
    return subprocess.run([PROGRAM, case], check=True, capture_output=True).stdout


def golden(case):
    """The whole text, but for what is random."""
    text = re.sub(rb"==[0-9a-f]{32}", b"==BOUNDARY", written(case))
    text = re.sub(rb"<[0-9a-f]{32}@", b"<RANDOM@", text)
    path = os.path.join(HERE, f"dsn_{case}.eml")
    if "--write" in sys.argv:
        with open(path, "wb") as f:
            f.write(text)
    with open(path, "rb") as f:
        check(case, f.read() == text, "golden")


def report(case):
    """The parts, after what holds for every notification."""
    m = email.message_from_bytes(written(case), policy=email.policy.default)
    check(case, not m.defects, m.defects)
    check(case, m.get_content_type() == "multipart/report" and m.get_param("report-type") == "delivery-status")
    check(case, m["Auto-Submitted"] == "auto-replied" and m["MIME-Version"] == "1.0")
    check(case, m["From"].addresses[0].addr_spec == "postmaster@mail.example.org")
    check(case, m["Date"].datetime is not None and re.fullmatch(r"<[0-9a-f]{32}@mail\.example\.org>", m["Message-ID"]))
    check(case, "X-Evil" not in m)
    parts = m.get_payload()
    check(case, len(parts) == 3 and parts[0].get_content_type() == "text/plain", [p.get_content_type() for p in parts])
    for part in m.walk():
        check(case, not part.defects and not any(k.lower() == "x-evil" for k in part.keys()), part.keys())
    return m, parts[0].get_content(), parts[1], parts[2]


def groups(status):
    """The field groups of the machine's part: one of the message, one for each recipient."""
    if status.get_content_type() == "message/delivery-status":
        return status.get_payload()
    text = status.get_payload(decode=True).decode() if not status.is_multipart() else status.as_bytes().decode()
    return [email.message_from_string(g) for g in re.split(r"\r?\n\r?\n", text) if g.strip()]


def test_unknown():
    golden("unknown")
    m, text, status, original = report("unknown")
    check("unknown", m["Subject"] == "Not delivered: Lunch?" and m["To"].addresses[0].addr_spec == "ann@example.org")
    check("unknown", m["In-Reply-To"] == "<lunch.1@example.org>" and m["References"] == "<lunch.1@example.org>")
    for words in ("<bob@example.net>", "no mailbox of that name", "mx.example.net said:", "Check the address",
                  "User unknown in local recipient table"):
        check("unknown", words in text, words)
    about, to = groups(status)
    check("unknown", about["Reporting-MTA"] == "dns; mail.example.org" and about["Original-Envelope-Id"] == "lunch 1")
    check("unknown", about["Arrival-Date"] == "Sun, 22 Nov 2026 12:00:00 +0000")
    check("unknown", to["Final-Recipient"] == "rfc822; bob@example.net")
    check("unknown", to["Original-Recipient"] == "rfc822; Bob+lunch@example.net")
    check("unknown", (to["Action"], to["Status"], to["Remote-MTA"]) == ("failed", "5.1.1", "dns; mx.example.net"))
    check("unknown", to["Diagnostic-Code"].replace("\n", "").startswith("smtp; 550 5.1.1 <bob@example.net>"))
    check("unknown", to["Last-Attempt-Date"] == "Sun, 22 Nov 2026 12:00:02 +0000" and to["Will-Retry-Until"] is None)
    check("unknown", original.get_content_type() == "message/rfc822")
    check("unknown", "--bound" in original.get_payload(0).get_content())


def test_what_is_returned():
    for case, kind in (("headers", "text/rfc822-headers"), ("large", "text/rfc822-headers"),
                       ("binary", "text/rfc822-headers"), ("delayed", "text/rfc822-headers"),
                       ("delivered", "text/rfc822-headers"), ("expanded", "text/rfc822-headers"),
                       ("mixed", "message/rfc822"), ("global", "message/global"), ("empty", "message/rfc822"),
                       ("no header end", "text/rfc822-headers")):
        _, text, _, original = report(case)
        check(case, original.get_content_type() == kind, original.get_content_type())
        whole = kind in ("message/rfc822", "message/global")
        check(case, ("the message itself" in text) == whole and ("without its text" in text) != whole)
        if not whole:
            head = original.get_payload(decode=True).decode()
            check(case, "At noon" not in head and ("Subject: " in head))


def test_fates():
    m, text, status, _ = report("mixed")
    fates = groups(status)[1:]
    check("mixed", m["Subject"].startswith("Not delivered"))
    check("mixed", [g["Action"] for g in fates] == ["failed", "failed", "failed", "delayed", "relayed"])
    check("mixed", [g["Status"] for g in fates] == ["5.0.0", "5.0.0", "4.4.2", "4.4.1", "2.0.0"])
    check("mixed", text.count("said:") == 2, "bob and carol are one group")
    check("mixed", "tried for 5 days and gives up" in text)
    check("mixed", fates[3]["Diagnostic-Code"] == "X-Posthorn; no answer from 192.0.2.7" and fates[3]["Remote-MTA"] is None)

    m, text, status, _ = report("delayed")
    to = groups(status)[1]
    check("delayed", m["Subject"] == "Not yet delivered: Lunch?" and to["Action"] == "delayed")
    check("delayed", to["Will-Retry-Until"] == "Fri, 27 Nov 2026 12:00:00 +0000" and "need do nothing" in text)

    m, text, status, _ = report("delivered")
    check("delivered", m["Subject"] == "Delivered: Lunch?" and groups(status)[1]["Status"] == "2.0.0")
    m, text, status, _ = report("expanded")
    check("expanded", groups(status)[1]["Action"] == "expanded")


def test_hostile():
    m, text, status, original = report("hostile")
    about, first, second = groups(status)
    check("hostile", about["Original-Envelope-Id"] == "a X-Evil: 5" and first["Remote-MTA"] == "dns; mx X-Evil: 3")
    check("hostile", first["Status"] == "5.0.0" and second["Status"] == "5.0.0", first["Status"])
    check("hostile", "red? ? bidi" not in text and "[31mred\ufffd bidi nul" in text, repr(text))
    check("hostile", original.get_payload(0)["Subject"] == "Lunch?")


def test_global():
    m, text, status, original = report("global")
    check("global", m["To"] == "jörg@example.org", m["To"])
    check("global", "Grüße aus dem Süden" in m["Subject"], m["Subject"])
    check("global", status.get_content_type() == "message/global-delivery-status")
    raw = written("global").decode()
    check("global", "Final-Recipient: utf-8; jürgen@bücher.example" in raw)
    check("global", "Original-Recipient: utf-8; jürgen@bücher.example" in raw)
    check("global", "letters beyond plain ASCII" in text)


done = subprocess.run([PROGRAM], check=False)
check("checks in C", done.returncode == 0)
test_unknown()
test_what_is_returned()
test_fates()
test_hostile()
test_global()
print("failed" if failed else "passed")
sys.exit(1 if failed else 0)
