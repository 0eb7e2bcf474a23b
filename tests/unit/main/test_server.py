#!/usr/bin/env python3
"""The program as its administrator sees it: demo, commands, roles that die, a clean stop, init.

usage: test_server.py POSTHORN
"""

import base64
import contextlib
import imaplib
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
sys.dont_write_bytecode = True
import web  # noqa: E402

POSTHORN = os.path.abspath(sys.argv[1])
PATIENCE = 30  # seconds until something that must happen is given up
passed = failed = 0


def check(note, ok, more=""):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"{note}: not so {more}", file=sys.stderr)


def until(what):
    """What `what` gives once it is true, or its last answer when patience ends."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            got = what()
        except (OSError, imaplib.IMAP4.error):
            got = None
        if got or time.monotonic() > end:
            return got
        time.sleep(0.02)


def free_base():
    """A port base whose ports are free now."""
    for base in range(21000, 60000, 1000):
        with contextlib.ExitStack() as held:
            try:
                for port in (24, 25, 143, 465, 587, 993):
                    s = held.enter_context(socket.socket())
                    s.bind(("127.0.0.1", base + port))
                return base
            except OSError:
                continue
    sys.exit("no free ports")


class Server:
    """A demo in the foreground of its own process."""

    def __init__(self, folder, base, *options):
        self.folder, self.base = folder, base
        self.log = open(folder + ".log", "a", encoding="utf-8")
        self.process = subprocess.Popen([POSTHORN, "demo", "--dir", folder, "--port-base", str(base), "--log", "info",
                                         *options], stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.said = []
        for line in self.process.stdout:
            self.said.append(line.strip())
            if line == "ready\n":
                break

    def role(self, name):
        """The process id of a role, None while it is not there."""
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                with open(f"/proc/{int(entry)}/stat", encoding="utf-8") as stat:
                    parent = int(stat.read().rsplit(")", 1)[1].split()[1])
                with open(f"/proc/{entry}/cmdline", encoding="utf-8") as words:
                    if parent == self.process.pid and words.read().split("\0")[1:3] == ["--role", name]:
                        return int(entry)
        return None

    def run(self, *words, stdin=""):
        return subprocess.run([POSTHORN, *words, "--config", self.folder + "/posthorn.conf"], input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)

    def json(self, *words, stdin=""):
        done = self.run(*words, "--json", stdin=stdin)
        return json.loads(done.stdout) if done.stdout else None

    def login(self, user, password):
        client = imaplib.IMAP4("127.0.0.1", self.base + 143, timeout=PATIENCE)
        client.login(user, password)
        return client

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.log.close()
        return status


def sent_copy(server):
    client = smtplib.SMTP("127.0.0.1", server.base + 587)
    client.login("ann@other.test", "seven words")
    client.sendmail("ann@other.test", ["ann@other.test"], "From: ann@other.test\r\nSubject: copy\r\n\r\ntext\r\n")
    client.quit()
    box = server.login("ann@other.test", "seven words")

    def there():
        box.select("Sent", readonly=True)
        return box.search(None, "SEEN", "SUBJECT", "copy")[1] == [b"1"]
    return until(there) and box.select("INBOX", readonly=True)[1] == [b"1"]


def answer_to(server, sender, to, text):
    """What is said to a message from another server."""
    client = smtplib.SMTP("127.0.0.1", server.base + 25)
    client.ehlo()
    client.mail(sender)
    code, said = client.rcpt(to)
    if code == 250:
        code, said = client.data(text)
    client.quit()
    return code, said.split(b" ")[0]


def forwards(server):
    server.run("alias", "add", "away@other.test", "bob@far.example")
    check("forward", answer_to(server, "x@far.example", "away@other.test", "Subject: a\r\n\r\nb\r\n")[0] == 250)
    loop = answer_to(server, "x@far.example", "away@other.test", "Delivered-To: AWAY@other.test\r\nSubject: a\r\n\r\nb\r\n")
    check("a forward that comes back is a loop", loop == (554, b"5.4.6"), loop)
    other = answer_to(server, "x@far.example", "away@other.test", "Delivered-To: else@other.test\r\n\r\nb\r\n")
    check("one from elsewhere is none", other[0] == 250, other)
    server.run("alias", "remove", "away@other.test")


def test_commands(server):
    run = server.run
    check("demo says ready", server.said[-1:] == ["ready"], server.said)
    check("domain add", run("domain", "add", "other.test").returncode == 0)
    again = run("domain", "add", "other.test")
    check("domain add again fails", again.returncode == 1 and "other.test" in again.stderr, again.stderr)
    check("domain list", server.json("domain", "list")["domains"] == ["example.test", "other.test"])
    added = server.json("account", "add", "ann@other.test", "--password-stdin", stdin="seven words\n")
    check("account add", added["address"] == "ann@other.test" and added["id"] > 0, added)
    check("new account signs in", server.login("ann@other.test", "seven words") is not None)
    check("alias add", run("alias", "add", "info@other.test", "ann@other.test", "u0@example.test").returncode == 0)
    check("alias list", server.json("alias", "list")["aliases"] ==
          [{"address": "info@other.test", "members": ["ann@other.test", "u0@example.test"]}])
    check("domain with accounts stays", run("domain", "remove", "other.test").returncode == 1)
    check("alias member removed", run("alias", "remove", "info@other.test", "u0@example.test").returncode == 0)
    check("alias removed", run("alias", "remove", "info@other.test").returncode == 0)
    check("no alias left", server.json("alias", "list")["aliases"] == [])
    sender = ["account", "sender"]
    check("sender add", run(*sender, "add", "ann@other.test", "sales@far.example").returncode == 0)
    check("sender list", server.json(*sender, "list", "ann@other.test")["senders"] == ["sales@far.example"])
    check("sender remove", run(*sender, "remove", "ann@other.test", "sales@far.example").returncode == 0)
    check("sender remove again", run(*sender, "remove", "ann@other.test", "sales@far.example").returncode == 1)
    check("sender usage", run(*sender, "add", "ann@other.test").returncode == 2)
    check("sent copy", run("account", "sent-copy", "on", "ann@other.test").returncode == 0)
    check("sent copy usage", run("account", "sent-copy", "perhaps", "ann@other.test").returncode == 2)
    check("what it sends is in Sent too", sent_copy(server))
    forwards(server)
    check("no such account", run("account", "disable", "nobody@other.test").returncode == 1)
    check("failure as JSON", "error" in server.json("account", "disable", "nobody@other.test"))
    check("status", server.json("status")["running"] is True)
    checked = run("check")
    check("check", checked.returncode == 0, checked.stdout)
    for words in (["bogus"], ["account"], ["account", "add"], ["account", "add", "a@b", "c@d"], ["check", "--bogus"],
                  ["session", "kick", "--config"], ["demo", "--accounts", "0"]):
        wrong = subprocess.run([POSTHORN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        check(f"usage of {words}", wrong.returncode == 2 and "usage:" in wrong.stderr, wrong)
    check("help", subprocess.run([POSTHORN, "account", "add", "--help"], stdout=subprocess.DEVNULL,
                                 check=False).returncode == 0)
    check("role words are refused", subprocess.run([POSTHORN, "--role", "mail", "serve", "0", "1", "700"],
                                                   stderr=subprocess.DEVNULL, check=False).returncode == 2)


def test_sessions(server):
    client = server.login("u1@example.test", "demo-u1")
    mine = [s for s in server.json("session", "list")["sessions"] if s["who"] == "u1@example.test"]
    check("session list", len(mine) == 1 and mine[0]["protocol"] == "imap" and not mine[0]["tls"], mine)
    check("session kick", server.json("session", "kick", mine[0]["id"])["sessions_ended"] == 1)
    check("it hears of it", client.readline().startswith(b"* BYE"))
    check("kick again", server.run("session", "kick", mine[0]["id"]).returncode == 1)

    client = server.login("u1@example.test", "demo-u1")
    check("passwd", server.run("account", "passwd", "u1@example.test", "--password-stdin", stdin="new\n").returncode == 0)
    check("a new password ends sessions", client.readline().startswith(b"* BYE"))
    check("the new one is right", server.login("u1@example.test", "new") is not None)
    try:
        server.login("u1@example.test", "demo-u1")
        check("the old one is not", False)
    except imaplib.IMAP4.error:
        check("the old one is not", True)

    app = ["account", "app-password"]
    made = server.json(*app, "add", "u0@example.test", "phone", "--for", "imap,smtp")["password"]
    client = server.login("u0@example.test", made)
    rows = server.json(*app, "list", "u0@example.test")["app_passwords"]
    check("app password list", [(r["name"], r["services"], r["last_service"]) for r in rows] == [("phone", "imap smtp", "imap")], rows)
    check("app password, once more", server.run(*app, "add", "u0@example.test", "phone").returncode == 1)
    check("app password usage", server.run(*app, "add", "u0@example.test").returncode == 2 and
          server.run(*app, "change", "u0@example.test", "phone").returncode == 2)
    check("app password remove", server.run(*app, "remove", "u0@example.test", "phone").returncode == 0)
    check("its session ends", client.readline().startswith(b"* BYE"))
    try:
        server.login("u0@example.test", made)
        check("it is of no use any more", False)
    except imaplib.IMAP4.error:
        check("it is of no use any more", True)

    client = server.login("u2@example.test", "demo-u2")
    check("disable", server.json("account", "disable", "u2@example.test")["disabled"] is True)
    check("disabling ends sessions", client.readline().startswith(b"* BYE"))
    check("enable", server.json("account", "enable", "u2@example.test")["disabled"] is False)
    check("enabled again", until(lambda: server.login("u2@example.test", "demo-u2")) is not None)
    check("account remove asks", server.run("account", "remove", "u2@example.test").returncode == 1)
    check("account remove", server.run("account", "remove", "u2@example.test", "--yes").returncode == 0)
    check("removed", "u2@example.test" not in [a["address"] for a in server.json("account", "list")["accounts"]])


def test_deaths(server):
    """Either role dies; the other goes on with its successor, and nobody has to do anything."""
    for name in ("auth", "mail", "auth", "mail"):
        old = server.role(name)
        os.kill(old, signal.SIGKILL)
        check(f"{name} is started again", until(lambda: server.role(name) not in (None, old)))
        check(f"login after {name} died", until(lambda: server.login("u0@example.test", "demo-u0")) is not None)
    old = server.role("mail")
    server.process.send_signal(signal.SIGHUP)
    check("commands after that", server.json("status")["running"] is True)
    check("a reload is no restart", server.role("mail") == old)


def test_hidden(server):
    auth = server.role("auth")
    with open(f"/proc/{auth}/status", encoding="utf-8") as status:
        check("no new privileges", re.search(r"^NoNewPrivs:\s+1$", status.read(), re.M))
    check("secrets are for nobody else", os.stat(server.folder + "/auth").st_mode
          & 0o077 == 0)
    key = os.stat(server.folder + "/key.pem").st_mode
    check("so is the key", key & 0o077 == 0, oct(key))


def test_sealed(server):
    """No role can change the config that the next one will be started with."""
    for entry in os.listdir(f"/proc/{server.process.pid}/fd"):
        path = f"/proc/{server.process.pid}/fd/{entry}"
        with contextlib.suppress(OSError):
            if "memfd:posthorn.conf" in os.readlink(path):
                with open(path, "r+b", buffering=0) as config:
                    try:
                        config.write(b"x")
                        check("the config is sealed", False)
                    except PermissionError:
                        check("the config is sealed", True)
                return
    check("the config is in memory", False)


def test_stop(server):
    with smtplib.SMTP("127.0.0.1", server.base + 25) as sender:
        for number in range(3):
            sender.sendmail("you@example.org", ["u0@example.test"], f"Subject: letter {number}\r\n\r\nHello.\r\n")
    client = server.login("u0@example.test", "demo-u0")
    second = subprocess.run([POSTHORN, "demo", "--dir", server.folder, "--port-base", str(server.base)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    check("a second demo there is refused", second.returncode == 1 and "already" in second.stderr, second.stderr)
    roles = [server.role("mail"), server.role("auth")]
    check("clean stop", server.stop() == 0)
    check("clients are told", client.readline().startswith(b"* BYE"))
    check("roles are gone", not any(os.path.exists(f"/proc/{pid}") for pid in roles))
    check("sockets are gone", not os.path.exists(server.folder + "/mail.control"))

    check("offline: list", len(server.json("account", "list")["accounts"]) == 3)
    check("offline: status", server.json("status")["running"] is False)
    check("offline: sessions need a server", server.run("session", "list").returncode == 1)
    check("offline: add", server.json("account", "add", "off@example.test", "--password-stdin", stdin="off\n")["id"] > 0)
    check("offline: check", server.run("check").returncode == 0)
    test_lost_account(server)


def test_lost_account(server):
    """An account's file is lost: found, and made anew from what was delivered."""
    account = next(a for a in server.json("account", "list")["accounts"] if a["address"] == "u0@example.test")
    check("there is mail", account["messages"] == 3, account)
    files = [folder for folder, _, names in os.walk(server.folder + "/mail/accounts")
             if "mail.db" in names and folder.endswith(f"{account['id']:016x}")]
    shutil.rmtree(files[0])
    found = server.run("check")
    check("lost file found", found.returncode == 1 and "u0@example.test" in found.stdout, found)
    check("rebuild", server.json("rebuild", "u0@example.test") == {"rebuilt": 1, "failed": 0})
    check("nothing to find after that", server.run("check").returncode == 0)
    again = next(a for a in server.json("account", "list")["accounts"] if a["address"] == "u0@example.test")
    check("as much mail as before", (again["messages"], again["bytes"]) == (account["messages"], account["bytes"]), again)


def test_orphans(server):
    """Roles whose supervisor is gone end by themselves."""
    roles = [server.role("mail"), server.role("auth")]
    server.process.kill()
    server.process.wait()
    check("orphans end", until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in roles)))
    server.process.stdout.close()
    server.log.close()


def test_init(folder):
    config = folder + "/posthorn.conf"
    words = [POSTHORN, "init", "--config", config, "--hostname", "mx.example.org", "--domain", "example.org", "--account",
             "ann@example.org", "--password-stdin", "--data", folder + "/data", "--runtime", folder + "/run", "--user", ""]

    def init(*more, options=words):
        return subprocess.run([*options, *more], input="seven words\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, check=False)

    check("init asks only a terminal", init(options=[POSTHORN, "init", "--config", config]).returncode == 1)
    check("nothing was written", not os.path.exists(config))
    first = init()
    check("init", first.returncode == 0 and "MX  10 mx.example.org" in first.stdout, first)
    check("init again is refused", init().returncode == 1)
    check("init again with --force", init("--force").returncode == 0)
    right = subprocess.run([POSTHORN, "config", "check", "--config", config], stdout=subprocess.PIPE, check=False)
    check("config check", right.returncode == 0)
    with open(config, "a", encoding="utf-8") as out:
        out.write("smtp {\n    recipients = 7\n}\n")
    wrong = subprocess.run([POSTHORN, "config", "check", "--config", config], stderr=subprocess.PIPE, text=True, check=False)
    check("config check tells the line", wrong.returncode == 1 and re.search(r"posthorn\.conf:\d+: recipients", wrong.stderr),
          wrong.stderr)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs tokens with openssl, and says by which key."""

    def __init__(self, folder):
        self.key, self.jwks = folder + "/issuer.pem", folder + "/jwks.json"
        subprocess.run(["openssl", "genrsa", "-out", self.key, "2048"], stderr=subprocess.DEVNULL, check=True)
        said = subprocess.run(["openssl", "rsa", "-in", self.key, "-noout", "-modulus"], check=True, capture_output=True, text=True)
        n = base64url(bytes.fromhex(said.stdout.strip().split("=")[1]))
        with open(self.jwks, "w", encoding="utf-8") as out:
            json.dump({"keys": [{"kty": "RSA", "kid": "one", "use": "sig", "n": n, "e": "AQAB"}]}, out)

    def token(self, **claims):
        claims = {"iss": "https://issuer.test", "aud": "posthorn", "exp": int(time.time()) + 600, **claims}
        text = base64url(b'{"alg":"RS256","kid":"one"}') + "." + base64url(json.dumps(claims).encode())
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=text.encode(), check=True, capture_output=True)
        return text + "." + base64url(signed.stdout)


def bearer(port, mechanism, first):
    """What AUTHENTICATE ends in, and what was asked on the way."""
    client, asked = imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE), []

    def answer(challenge):
        asked.append(challenge)
        return first if len(asked) == 1 else b"\1"

    try:
        client.authenticate(mechanism, answer)
        return "OK", asked[1:]
    except imaplib.IMAP4.error as refusal:
        return str(refusal), asked[1:]


def test_tokens(folder, base):
    """A server with an issuer, from the demo's config."""
    issuer = Issuer(folder)
    with open(folder + "/posthorn.conf", encoding="utf-8") as old:
        text = old.read()
    with open(folder + "/posthorn.conf", "w", encoding="utf-8") as new:
        new.write(text.replace("auth {\n", 'auth {\n oauth_issuer = "https://issuer.test"\n oauth_audience = posthorn\n'
                               f' oauth_jwks = "{issuer.jwks}"\n oauth_scope = mail\n')
                  + 'imap { jmap_url = "https://mail.example.test/jmap" compress = false }\n')
    server = subprocess.Popen([POSTHORN, "serve", "--config", folder + "/posthorn.conf"], stderr=subprocess.DEVNULL)
    port = base + 143
    client = until(lambda: imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE))
    check("offered", {"AUTH=OAUTHBEARER", "AUTH=XOAUTH2"} <= set(client.capabilities), client.capabilities)
    client.logout()
    good = issuer.token(email="U0@example.test", scope="openid mail")
    said = bearer(port, "OAUTHBEARER", b"n,a=u0@example.test,\1auth=Bearer " + good.encode() + b"\1\1")
    check("OAUTHBEARER", said == ("OK", []), said)
    said = bearer(port, "XOAUTH2", b"user=u0@example.test\1auth=Bearer " + good.encode() + b"\1\1")
    check("XOAUTH2", said == ("OK", []), said)
    for note, words, status, first in (
            ("for another account", {"email": "u0@example.test", "scope": "mail"}, "invalid_token", b"n,a=u1@example.test,"),
            ("for nobody", {"email": "nobody@example.test", "scope": "mail"}, "invalid_token", b"n,,"),
            ("expired", {"email": "u0@example.test", "scope": "mail", "exp": 1000}, "invalid_token", b"n,,"),
            ("without scope", {"email": "u0@example.test"}, "insufficient_scope", b"n,,")):
        said, asked = bearer(port, "OAUTHBEARER", first + b"\1auth=Bearer " + issuer.token(**words).encode() + b"\1\1")
        check(note, "AUTHENTICATIONFAILED" in said and len(asked) == 1 and json.loads(asked[0])["status"] == status, (said, asked))
    said, asked = bearer(port, "XOAUTH2", b"user=u0@example.test\1auth=Bearer x\1\1")
    check("XOAUTH2, no token", "AUTHENTICATIONFAILED" in said and json.loads(asked[0])["status"] == "401", (said, asked))
    with smtplib.SMTP("127.0.0.1", base + 587, timeout=PATIENCE) as s:
        s.ehlo()
        first = base64.b64encode(b"n,,\1auth=Bearer " + good.encode() + b"\1\1").decode()
        check("SMTP", s.docmd("AUTH", "OAUTHBEARER " + first)[0] == 235)
    client = imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE)
    client.login("u0@example.test", "demo-u0")
    words = client.capability()[1][0].decode().split()
    check("JMAPACCESS, no COMPRESS", "JMAPACCESS" in words and "COMPRESS=DEFLATE" not in words, words)
    client.send(b"j GETJMAPACCESS\r\n")
    check("GETJMAPACCESS", client.readline() == b'* JMAPACCESS "https://mail.example.test/jmap"\r\n')
    check("GETJMAPACCESS", client.readline().startswith(b"j OK"))
    client.shutdown()
    server.send_signal(signal.SIGTERM)
    check("it stops", server.wait(PATIENCE) == 0)


def test_issuer(folder, base):
    """An issuer on the network: its keys by discovery, then questions about tokens; then nobody."""
    issuer = Issuer(folder)
    with open(issuer.jwks, encoding="utf-8") as keys:
        pages = {"*/jwks": {"type": "application/json", "body": keys.read()}}
    known = {"opaque": {"active": True, "username": "u0@example.test", "scope": "mail"}, "over": {"active": False}}

    def ask(q):
        form = dict(p.split("=", 1) for p in q.body.decode().split("&"))
        if q.fields.get("Authorization") != "Basic " + base64.b64encode(b"mx:s3cret").decode():
            return {"status": 401}
        return {"type": "application/json", "body": json.dumps(known.get(form["token"], {"active": False}))}

    pages["*/ask"] = ask
    with open(folder + "/secret", "w", encoding="utf-8") as out:
        out.write("s3cret\n")
    with open(folder + "/posthorn.conf", encoding="utf-8") as old:
        text = re.sub(r"\n oauth_\w+ = [^\n]*", "", old.read())
    tls = folder + "/web"
    os.mkdir(tls)
    with web.Server(pages, tls) as w:
        url = "https://127.0.0.1:%d" % w.port
        pages["*/.well-known/openid-configuration"] = {"type": "application/json",
                                                       "body": json.dumps({"issuer": url, "jwks_uri": url + "/jwks"})}
        with open(folder + "/posthorn.conf", "w", encoding="utf-8") as new:
            new.write(text.replace("auth {\n", f'auth {{\n oauth_issuer = "{url}"\n oauth_audience = posthorn\n oauth_jwks = discover\n'
                                   f' oauth_introspection = "{url}/ask"\n oauth_client = mx\n oauth_secret_file = "{folder}/secret"\n'
                                   ' oauth_claim = username\n') + f'fetch_authorities = "{w.authority}"\n')
        server = subprocess.Popen([POSTHORN, "serve", "--config", folder + "/posthorn.conf"], stderr=subprocess.DEVNULL)
        port = base + 143
        until(lambda: imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE)).logout()
        good = issuer.token(iss=url, username="u0@example.test").encode()
        check("keys by discovery", bearer(port, "OAUTHBEARER", b"n,,\1auth=Bearer " + good + b"\1\1") == ("OK", []), w.asked)
        check("kept", bearer(port, "OAUTHBEARER", b"n,,\1auth=Bearer " + good + b"\1\1") == ("OK", []) and len(w.asked) == 2, w.asked)
        check("asked about", bearer(port, "XOAUTH2", b"user=u0@example.test\1auth=Bearer opaque\1\1") == ("OK", []))
        said, _ = bearer(port, "XOAUTH2", b"user=u0@example.test\1auth=Bearer over\1\1")
        check("no longer active", "AUTHENTICATIONFAILED" in said, said)
    said, _ = bearer(port, "XOAUTH2", b"user=u0@example.test\1auth=Bearer opaque\1\1")
    check("nobody answers: put off", "UNAVAILABLE" in said, said)
    check("known keys stay", bearer(port, "OAUTHBEARER", b"n,,\1auth=Bearer " + good + b"\1\1") == ("OK", []))
    with smtplib.SMTP("127.0.0.1", base + 587, timeout=PATIENCE) as s:
        s.ehlo()
        first = base64.b64encode(b"n,,\1auth=Bearer opaque\1\1").decode()
        code, said = s.docmd("AUTH", "OAUTHBEARER " + first)
        check("SMTP: put off", code == 454, (code, said))
    server.send_signal(signal.SIGTERM)
    check("it stops", server.wait(PATIENCE) == 0)


def main():
    top = tempfile.mkdtemp(prefix="posthorn-test-")
    try:
        server = Server(top + "/demo", free_base())
        test_commands(server)
        test_hidden(server)
        test_sealed(server)
        test_sessions(server)
        test_deaths(server)
        test_stop(server)
        server = Server(top + "/demo", free_base())
        check("second start", server.login("off@example.test", "off") is not None)
        test_orphans(server)
        test_tokens(top + "/demo", server.base)
        test_issuer(top + "/demo", server.base)
        test_init(top + "/init")
    finally:
        if failed:
            with open(top + "/demo.log", encoding="utf-8") as log:
                sys.stderr.write(log.read())
        shutil.rmtree(top)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
