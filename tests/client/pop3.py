"""POP3: mpop, fetchmail, curl, Python's poplib, npm's node-pop3; swaks brings the mail by LMTP; memory while much is fetched."""

import json
import os
import poplib
import shutil
import subprocess
import threading
import time

from demo import message
from fetchmail import CONFIG

poplib._MAXLINE = 100_000

MPOP = """
account it
host {host}
port {port}
user {user}
password {password}
auth {auth}
tls {tls}
tls_starttls {starttls}
tls_certcheck off
delivery maildir {maildir}
uidls_file {folder}/uidls
keep {keep}
"""

NODE = """
const Pop3Command = require(process.argv[2]);
(async () => {
  const pop3 = new Pop3Command({user: process.argv[5], password: process.argv[6], host: process.argv[3],
    port: +process.argv[4], tls: process.argv[7] === 'tls', tlsOptions: {rejectUnauthorized: false}});
  const list = await pop3.UIDL();
  console.log('uidl ' + list.map(x => x.join(':')).join(' '));
  const one = await pop3.RETR(1);
  console.log('retr ' + JSON.stringify(one));
  const top = await pop3.TOP(1, 0);
  console.log('top ' + JSON.stringify(top));
  await pop3.command('DELE', 1);
  console.log('stat ' + await pop3.STAT());
  console.log('quit ' + await pop3.QUIT());
})().catch(e => { console.log('error ' + e); process.exit(1); });
"""


def pop(c, user, tls=False):
    p = poplib.POP3_SSL(c.host, c.port("pop3s"), context=c.tls(), timeout=60) if tls else \
        poplib.POP3(c.host, c.port("pop3"), timeout=60)
    p.user(user)
    p.pass_(c.password(user))
    return p


def fill(c, user, count):
    """By swaks over LMTP; a dot on a line of its own is in each."""
    for n in range(1, count + 1):
        path = c.file("letter", message("letter %d" % n, ".\r\n..Text of letter %d.\r\nend" % n))
        status, said = c.command(["swaks", "--protocol", "LMTP", "--server", "%s:%d" % (c.host, c.port("lmtp")),
                                  "--from", "sender@elsewhere.example", "--to", user, "--data", "@" + path])
        if status != 0:
            c.ok("swaks brings letter %d by LMTP" % n, False, said)
    c.messages(user, count=count)


def empty(c, user):
    c.messages(user, empty=True)


def with_poplib(c, user):
    p = pop(c, user)
    count, octets = p.stat()
    sizes = [int(line.split()[1]) for line in p.list()[1]]
    c.same("poplib: STAT is what LIST adds up to", (len(sizes), sum(sizes)), (count, octets))
    texts = [p.retr(n)[1] for n in range(1, count + 1)]
    c.same("poplib: what comes is as long as LIST said", [sum(len(line) + 2 for line in t) for t in texts], sizes)
    c.ok("poplib: dots come back", all(t[-4:] == [b".", b"..Text of letter %d." % n, b"end", b""] for n, t in enumerate(texts, 1)))
    c.ok("poplib: TOP", p.top(1, 1)[1] == texts[0][:-3])
    uidls = p.uidl()[1]
    p.dele(1)
    p.rset()
    p.close()
    q = pop(c, user, tls=True)
    c.same("poplib: the same unique-ids over TLS", q.uidl()[1], uidls)
    c.ok("poplib: CAPA", "PIPELINING" in q.capa() and "STLS" not in q.capa())
    q.quit()
    r = poplib.POP3(c.host, c.port("pop3"), timeout=60)
    r.stls(c.tls())
    r.utf8()
    r.user(user)
    r.pass_(c.password(user))
    c.same("poplib: by STLS, after UTF8", r.stat(), (count, octets))
    r.quit()


def maildir(c):
    folder = os.path.join(c.folder, "maildir")
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(folder, name))
    return folder


def with_mpop(c, user):
    if not c.has("mpop"):
        return
    folder = maildir(c)

    def fetch(note, port, auth, tls, starttls, keep, want):
        config = c.file("mpoprc", MPOP.format(host=c.host, port=c.port(port), user=user, password=c.password(user), auth=auth,
                                              tls=tls, starttls=starttls, maildir=folder, folder=c.folder, keep=keep))
        before = len(os.listdir(os.path.join(folder, "new")))
        status, said = c.command(["mpop", "-C", config, "it"])
        c.ok("mpop: %s" % note, status == 0 and len(os.listdir(os.path.join(folder, "new"))) - before == want,
             "status %d: %s" % (status, said.decode(errors="replace")))

    fetch("fetches all and leaves it, by STLS and SCRAM", "pop3", "scram-sha-256", "on", "on", "on", 4)
    fetch("has nothing new, over TLS", "pop3s", "plain", "on", "off", "on", 0)
    with c.smtp() as s:
        s.sendmail("a@elsewhere.example", [user], message("one more"))
    c.messages(user, count=5)
    fetch("fetches only the new one", "pop3", "user", "off", "off", "on", 1)
    fetch("takes all away", "pop3", "login", "off", "off", "off", 0)
    c.same("mpop: nothing is left", len(c.messages(user)), 0)


def with_curl(c, user):
    for scheme in ("pop3", "pop3s"):
        where = "%s://%s:%d/" % (scheme, c.host, c.port(scheme))
        login = ["-u", "%s:%s" % (user, c.password(user))]
        status, listed = c.command(["curl", "-sSk", where, *login])
        c.ok("curl: lists over %s" % scheme, status == 0 and len(listed.split()) == 8, listed)
        status, text = c.command(["curl", "-sSk", where + "2", *login])
        c.ok("curl: fetches over %s" % scheme, status == 0 and text.endswith(b"\r\n.\r\n..Text of letter 2.\r\nend\r\n\r\n"), text[-200:])
        c.same("curl: as long as LIST said, over %s" % scheme, len(text), int(listed.split()[3]))
    status, said = c.command(["curl", "-sSk", "--ssl-reqd", "pop3://%s:%d/" % (c.host, c.port("pop3")), "-X", "UIDL",
                              "--login-options", "AUTH=PLAIN", "-u", "%s:%s" % (user, c.password(user))])
    c.ok("curl: UIDL by STLS and AUTH PLAIN", status == 0 and len(said.split()) == 8, said)
    status, said = c.command(["curl", "-sSk", "pop3://%s:%d/1" % (c.host, c.port("pop3")), "-I", "-X", "DELE",
                              "-u", "%s:%s" % (user, c.password(user))])
    c.ok("curl: DELE", status == 0, said)
    c.same("curl: it is gone", len(c.messages(user)), 3)


def with_fetchmail(c, user, to):
    if not c.has("fetchmail"):
        return
    for note, port, tls, options, want, count in (("leaves all there, by STLS", "pop3", "auto", "keep fetchall", 0, 4),
                                                  ("has nothing new", "pop3", "auto", "keep", 1, 4),
                                                  ("takes all, over TLS", "pop3s", "auto", "ssl no keep fetchall", 0, 8)):
        config = c.file("fetchmailrc", CONFIG.replace("protocol imap port {port}", "protocol pop3 port {port} uidl").format(
            host=c.host, port=c.port(port), user=user, password=c.password(user), to=to, options=options, tls=tls,
            far=c.port("lmtp"), lmtp="lmtp"))
        status, said = c.command(["fetchmail", "-f", config, "--nosyslog", "-v", "--nosslcertck", "-i", os.path.join(c.folder, "ids")])
        c.ok("fetchmail: " + note, status == want, "status %d: %s" % (status, said.decode(errors="replace")[-1500:]))
        c.same("fetchmail: so many arrived", len(c.messages(to, count=count)), count)
    c.same("fetchmail: nothing is left", len(c.messages(user)), 0)


def with_node(c, user):
    if shutil.which("npm") is None:
        print("skipped pop3: node-pop3: npm is not installed", flush=True)
        return
    status, said = c.command(["npm", "install", "--prefix", c.folder, "--silent", "--no-audit", "--no-fund", "node-pop3@0.11.0"], seconds=120)
    if status != 0:
        print("skipped pop3: node-pop3 cannot be installed: %s" % said.decode(errors="replace")[-300:].replace("\n", " "), flush=True)
        return
    script = c.file("fetch.cjs", NODE)
    for scheme in ("pop3", "pop3s"):
        left = len(c.messages(user))
        status, said = c.command(["node", script, os.path.join(c.folder, "node_modules/node-pop3"), c.host, c.port(scheme), user,
                                  c.password(user), "tls" if scheme == "pop3s" else ""])
        words = said.decode(errors="replace")
        c.ok("node-pop3: UIDL, RETR, TOP, DELE, QUIT over %s" % scheme,
             status == 0 and "\nretr " in words and "..Text of letter" in words and "\nquit " in words, words)
        c.same("node-pop3: one is gone, over %s" % scheme, len(c.messages(user)), left - 1)


def memory(c):
    """Kilobytes of the role that holds sessions: its own pages, and its share of others'."""
    children = subprocess.run(["pgrep", "-P", str(c.server.process.pid)], stdout=subprocess.PIPE, text=True).stdout.split()
    for pid in children:
        with open("/proc/%s/cmdline" % pid, "rb") as file:
            if b"\0mail" not in file.read():
                continue
        with open("/proc/%s/smaps_rollup" % pid) as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return 0


def is_sanitized(c):
    with open(c.server.program, "rb") as program:
        return b"libasan" in program.read()


def much(c, user):
    """200 MB in eight messages: fetched by one who reads, and asked for by twenty who do not."""
    if c.server.process is None:
        print("skipped pop3: memory: it is another's server", flush=True)
        return
    line = b".dots and text " * 5 + b"\r\n"
    text = b"Subject: much\r\n\r\n" + line * (25_000_000 // len(line))
    m = c.imap(user)
    for _ in range(8):
        m.append("INBOX", None, None, text)
    m.logout()
    del m
    time.sleep(1)
    before = memory(c)
    p = pop(c, user)
    most, done = [before], threading.Event()

    def watch():
        while not done.wait(0.05):
            most.append(memory(c))

    watcher = threading.Thread(target=watch)
    watcher.start()
    good = True
    for n in range(1, 9):
        p._shortcmd("RETR %d" % n)
        got = 0
        while (line_in := p.file.readline()) != b".\r\n":
            got += len(line_in) - line_in.startswith(b".")
        good = good and got == len(text)
    c.ok("all of 200 MB arrives", good)
    silent = [pop(c, user) for _ in range(20)]
    for s in silent:
        s._putcmd("RETR 1")
    time.sleep(3)
    done.set()
    watcher.join()
    for s in silent:
        s.sock.close()
    p.quit()
    # AddressSanitizer keeps up to 256 MB of what was freed.
    c.ok("and never lies in memory", max(most) - before < (400_000 if is_sanitized(c) else 40_000), "%d KB more than before" % (max(most) - before))


def kicked(c, user):
    """The administrator ends a session: it is told so, and deletes nothing."""
    if c.server.process is None:
        return
    config = ["--config", os.path.join(c.server.folder, "data", "posthorn.conf")]
    p = pop(c, user)
    before = p.stat()
    p.dele(1)
    _, said = c.command([c.server.program, "session", "list", "--json", *config])
    mine = [s["id"] for s in json.loads(said)["sessions"] if s["protocol"] == "pop3" and s["who"] == user]
    c.same("session list shows it", len(mine), 1)
    c.command([c.server.program, "session", "kick", *mine, *config])
    c.same("session kick says so", p.file.readline(), b"-ERR ended by the administrator\r\n")
    p.close()
    q = pop(c, user)
    c.same("and nothing was deleted", q.stat(), before)
    q.quit()


def run(c):
    ann, bob, carol = c.users
    if not c.has("swaks") or not c.has("curl"):
        return
    fill(c, ann, 4)
    with_poplib(c, ann)
    kicked(c, ann)
    with_mpop(c, ann)
    empty(c, ann)
    fill(c, ann, 4)
    with_curl(c, ann)
    empty(c, ann)
    fill(c, ann, 4)
    with_fetchmail(c, ann, bob)
    fill(c, ann, 4)
    with_node(c, ann)
    much(c, carol)
