"""Shell scripts with mblaze over a Maildir that isync keeps in step."""

from demo import message
from mbsync import Machine, account_tree

SCRIPT = """
set -e
mkdir -p $HOME/.mblaze
mlist INBOX | mseq -S >/dev/null
mlist -N INBOX | wc -l
mlist INBOX | mpick -t 'subject =~ "letter [12]"' | mflag -S >/dev/null
mlist INBOX | mpick -t 'subject =~ "letter 3"' | mflag -F >/dev/null
mlist INBOX | mpick -t 'from =~ "unwanted"' | mrefile Junk >/dev/null
mlist INBOX | mthread | mscan -f '%16f %s' | grep -c letter
mlist INBOX | mpick -t 'subject =~ "letter 4"' | xargs rm
mhdr -h subject "$(mlist Junk)"
mshow -n "$(mlist INBOX | mpick -t 'subject =~ "letter 1"')" | tail -n 1
"""


def run(c):
    if not (c.has("mlist") & c.has("mbsync")):
        return
    user = c.users[0]
    for n in range(1, 6):
        c.deliver(user, message("letter %d" % n, "Text of letter %d." % n))
    c.deliver(user, message("offer", From="unwanted@elsewhere.example"))
    c.messages(user, count=6)
    machine = Machine(c, user, "machine")
    machine.sync("first")
    script = c.file("script", SCRIPT)
    status, said = c.command(["sh", "-c", "cd %s && HOME=%s sh %s" % (machine.folder, c.folder, script)])
    c.same("the script", (status, said.split(b"\n")[:4]), (0, [b"6", b"5", b"offer", b"Text of letter 1."]))
    machine.sync("its changes")
    c.same("the account is as the Maildir", account_tree(c, user), machine.tree())
    inbox = {text.split(b"Subject: ")[1].split(b"\n")[0]: letters for text, letters in account_tree(c, user)["INBOX"]}
    c.same("marked, removed, refiled", inbox, {b"letter 1": "S", b"letter 2": "S", b"letter 3": "F", b"letter 5": ""})
