"""The machine under a server, as libhost.c makes it: what each role may have, and the roles themselves."""

import mmap
import os
import struct
import time

from post import PROGRAM, preload

ROLES = ("serve", "mail", "queue", "auth", "resolver", "fetch", "content")
FIELDS = ("memory", "memory_run", "memory_hits", "files", "files_hits", "clock", "rough", "rough_hits", "hurry")


def library(program=PROGRAM, name="libhost.so"):
    """The shim that was built beside the program."""
    path = os.path.join(os.path.dirname(os.path.abspath(program)), "tests/fault", name)
    if not os.access(path, os.R_OK):
        raise SystemExit("no " + path)
    return path


class Host:
    """Numbers that the processes of one server read: see libhost.c."""

    def __init__(self, folder, program=PROGRAM):
        self.path = os.path.join(folder, "host")
        with open(self.path, "wb") as f:
            f.write(bytes(8 * len(ROLES) * len(FIELDS)))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)
        self.env = dict(preload(library(program)), HOST_FAULTS=self.path)

    def at(self, role, field):
        return 8 * (ROLES.index(role) * len(FIELDS) + FIELDS.index(field))

    def get(self, role, field):
        return struct.unpack_from("=q", self.map, self.at(role, field))[0]

    def set(self, role, field, value):
        struct.pack_into("=q", self.map, self.at(role, field), value)

    def set_all(self, field, value):
        for role in ROLES:
            self.set(role, field, value)


def role_pid(server, name):
    """Of a role that the server's supervisor started; 0 while there is none."""
    try:
        with open("/proc/%d/task/%d/children" % (server.process.pid, server.process.pid), encoding="ascii") as f:
            children = f.read().split()
    except OSError:
        return 0
    for child in children:
        try:
            with open("/proc/%s/cmdline" % child, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if words[1:3] == [b"--role", name.encode()]:
            return int(child)
    return 0


def wait_for_role(server, name, but=0, seconds=60):
    """The process of that role, once there is another than `but`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid = role_pid(server, name)
        if pid not in (0, but):
            return pid
        time.sleep(0.02)
    raise AssertionError("role %s did not come back" % name)


def until(what, ask, seconds=60):
    """The first true answer; what is asked of a server that is coming back may fail for a while."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            last = ask()
            if last:
                return last
        except Exception as why:  # said below if it does not end
            last = why
        time.sleep(0.05)
    raise AssertionError("%s: not within %d seconds: %r" % (what, seconds, last))
