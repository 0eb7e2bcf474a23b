"""Hosts of a small internet: network namespaces on one bridge, all gone when the process ends.

The caller stands in mount, network and PID namespaces of its own (see run), so nothing here is
seen from outside.  A host is a name, an address in 11.99.0.0/24 (addresses that look public, for
some of what is tested refuses private ones) and a link that can be cut.
"""
import ctypes
import os
import socket
import subprocess
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def sh(*command, host=None, **more):
    """Runs a command to its end, on a host; its output; an error if it fails."""
    if host:
        command = ("nsenter", "--net=/run/netns/" + host) + command
    done = subprocess.run(command, stdin=subprocess.DEVNULL if "input" not in more else None, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(command), done.stdout[-2000:]))
    return done.stdout


def start(log, *command, host=None, **more):
    """Starts a program that stays, on a host; what it says goes into the file `log`."""
    if host:
        command = ("nsenter", "--net=/run/netns/" + host) + command
    with open(log, "ab") as out:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **more)


def on(host, what, *args):
    """Calls what(*args) in that host's network: sockets that it makes stay there."""
    result = {}

    def inside():
        fd = os.open("/run/netns/" + host, os.O_RDONLY)
        try:
            if LIBC.setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            result["value"] = what(*args)
        except BaseException as why:  # handed to the caller
            result["error"] = why
        finally:
            os.close(fd)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if "error" in result:
        raise result["error"]
    return result.get("value")


def connect(host, address, port, timeout=20):
    return on(host, socket.create_connection, (address, port), timeout)


def listen(host, address, port, kind=socket.SOCK_STREAM):
    def make():
        s = socket.socket(socket.AF_INET, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        if kind == socket.SOCK_STREAM:
            s.listen(200)
        return s
    return on(host, make)


def build():
    """The bridge; call once."""
    os.makedirs("/run/netns", exist_ok=True)
    sh("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "cable", "type", "bridge")
    sh("ip", "link", "set", "cable", "up")


def add_host(name, *addresses):
    sh("ip", "netns", "add", name)
    sh("ip", "link", "add", "to-" + name, "type", "veth", "peer", "name", "eth0", "netns", name)
    sh("ip", "link", "set", "to-" + name, "master", "cable", "up")
    sh("ip", "link", "set", "lo", "up", host=name)
    for address in addresses:
        sh("ip", "address", "add", address + "/24", "dev", "eth0", host=name)
    sh("ip", "link", "set", "eth0", "up", host=name)


def cut(name):
    sh("ip", "link", "set", "to-" + name, "down")


def mend(name):
    sh("ip", "link", "set", "to-" + name, "up")
