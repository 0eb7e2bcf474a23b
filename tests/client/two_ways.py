"""Two programs with ideas of their own, isync and offlineimap, keep a Maildir each in step with one account."""

import os

from demo import message
from mbsync import Machine, account_tree

CONFIG = """
[general]
accounts = post
metadata = {folder}.state
maxsyncaccounts = 1
ui = basic

[Account post]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {folder}
sep = /

[Repository far]
type = IMAP
remotehost = {host}
remoteport = {port}
remoteuser = {user}
remotepass = {password}
ssl = no
starttls = no
auth_mechanisms = PLAIN
maxconnections = 2
"""

ROUNDS, STEPS = 4, 12
MAILBOXES = ["INBOX", "Archive", "Lists/deep"]


class OfflineImap(Machine):
    def __init__(self, c, user, name):
        super().__init__(c, user, name)
        self.config = c.file(name + ".rc", CONFIG.format(
            folder=self.folder, host=c.host, port=c.port("imap"), user=user, password=c.password(user)))

    def sync(self, note):
        status, said = self.c.command(["offlineimap", "-o", "-c", self.config], seconds=120)
        self.c.ok("%s: %s" % (self.name, note), status == 0 and b"ERROR" not in said, said[-2000:])
        return said


def run(c):
    if not (c.has("mbsync") & c.has("offlineimap")):
        return
    user = c.users[0]
    m = c.imap(user)
    m.create("Lists/deep")
    m.logout()
    for n in range(30):
        c.deliver(user, message("seed %d" % n, "line\r\n" * n))
    c.messages(user, count=30)
    machines = [Machine(c, user, "isync"), OfflineImap(c, user, "offlineimap")]
    for machine in machines:
        machine.sync("first")
    equal(c, user, machines, "first")
    for number in range(ROUNDS):
        for machine in machines:
            change(c, user, machine, number)
        c.random.shuffle(machines)
        for machine in machines + machines + machines[:1]:
            machine.sync("round %d" % number)
        equal(c, user, machines, "round %d" % number)


def change(c, user, machine, number):
    """What somebody at this machine does before it is connected again, and what others do meanwhile."""
    for step in range(STEPS):
        paths = sorted(machine.paths())
        what = c.random.choice(["add", "flag", "flag", "delete", "move", "deliver"])
        name = "%s %d %d" % (machine.name, number, step)
        if what == "deliver":
            c.deliver(user, message("arrived " + name))
        elif what == "add" or not paths:
            machine.add(c.random.choice(MAILBOXES), message(name), c.random.choice(["", "S", "FS"]))
        elif what == "flag":
            machine.set_flags(c.random.choice(paths)[1], c.random.choice(["", "S", "F", "RS"]))
        elif what == "delete":
            os.unlink(c.random.choice(paths)[1])
        else: # as mail programs do: a new file there, the old one removed
            where, path = c.random.choice(paths)
            with open(path, "rb") as old:
                machine.add(c.random.choice([box for box in MAILBOXES if box != where]), old.read(), "S")
            os.unlink(path)


def equal(c, user, machines, note):
    account = account_tree(c, user)
    for machine in machines:
        c.same("%s: %s is as the account" % (note, machine.name), machine.tree(), account)
