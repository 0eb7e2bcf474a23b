"""A program in tmux, as somebody who sits before it sees it."""

import os
import re
import time

SIZE = ["-x", "120", "-y", "40"]


class Screen:
    """A terminal of our own tmux server, and what stands on it."""

    def __init__(self, c, command, env=()):
        self.c, self.socket = c, os.path.join(c.folder, "tmux")
        self.tmux("new-session", "-d", *SIZE, " ".join(["env", *env, command]))

    def tmux(self, *words):
        return self.c.command(["tmux", "-S", self.socket, "-f", "/dev/null", *words], env={"TERM": "xterm", "LC_ALL": "C.UTF-8"})

    def text(self):
        return self.tmux("capture-pane", "-p")[1].decode(errors="replace")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def shows(self, note, pattern, seconds=60):
        """Waits until it does."""
        deadline, text = time.monotonic() + seconds, ""
        while time.monotonic() < deadline:
            text = self.text()
            if re.search(pattern, text):
                return self.c.ok(note, True)
            time.sleep(0.05)
        return self.c.ok(note, False, "%r is not on the screen:\n%s" % (pattern, text))

    def close(self):
        self.tmux("kill-server")
