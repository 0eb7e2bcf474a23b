"""mutt in tmux, as neomutt."""

import neomutt


def run(c):
    neomutt.drive(c, "mutt", "scram-sha-256")
