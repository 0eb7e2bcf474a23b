"""imapfilter: searches on the server, marks, copies, moves, deletes."""

import re

from demo import message
from neomutt import certificate, flags

CONFIG = """
options.timeout = 30
options.starttls = false
options.certificates = false
options.hostnames = false
options.subscribe = true
account = IMAP {{ server = "{host}", port = {port}, username = "{user}", password = "{password}"{tls} }}
found = account.INBOX:contain_subject("letter 2") + account.INBOX:contain_body("needle")
print("found " .. #found)
found:mark_flagged()
found:copy_messages(account["Archive"])
account.INBOX:is_larger(900):move_messages(account["New/box"])
account.INBOX:contain_from("unwanted"):delete_messages()
old = account.INBOX:arrived_before("02-Jan-2020")
print("old " .. #old)
exist, unread, unseen, uidnext = account.INBOX:check_status()
print("left " .. exist)
"""


def run(c):
    if not c.has("imapfilter"):
        return
    ann, bob, _ = c.users
    for user, port, tls in ((ann, "imap", ""), (bob, "imaps", ", ssl = \"auto\"")):
        for n in range(1, 4):
            c.deliver(user, message("letter %d" % n, "needle" if n == 3 else "hay"))
        c.deliver(user, message("large", "line\r\n" * 200))
        c.deliver(user, message("no", From="unwanted@elsewhere.example"))
        c.messages(user, count=5)
        config = c.file("config.lua", CONFIG.format(host=c.host, port=c.port(port), user=user, password=c.password(user), tls=tls))
        status, said = c.command(["imapfilter", "-c", config, "-t", certificate(c)])
        numbers = re.findall(rb"^(?:found|old|left) (\d)", said, re.M)
        c.ok("%s: runs" % port, status == 0 and numbers == [b"2", b"0", b"3"], said)
        c.same("%s: marked, and the others gone" % port, flags(c, user),
               {"letter 1": set(), "letter 2": {"\\Flagged"}, "letter 3": {"\\Flagged"}})
        c.same("%s: copied" % port, sorted(b"needle" in text for text in c.messages(user, "Archive")), [False, True])
        c.same("%s: moved to a mailbox that had to be made" % port, len(c.messages(user, "New/box")), 1)
