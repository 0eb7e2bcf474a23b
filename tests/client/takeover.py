"""posthorn import postfix-dovecot: a Dovecot's users sign in as before, and mbsync and mpop have nothing to fetch again."""

import imaplib
import json
import os
import poplib
import re
import shutil
import subprocess
import time

import demo
from formats import Dovecot
from mbsync import CONFIG
from pop3 import MPOP

DOMAIN = "moved.example"
ROUTES = """message_size_limit = 20480000
mynetworks = 127.0.0.0/8 [::1]/128 10.1.0.0/16 [2001:db8::]/32
relay_domains = backup.example
smtpd_tls_cert_file = /etc/ssl/c.pem
smtpd_tls_key_file = /etc/ssl/k.pem
recipient_delimiter = -
relayhost = [smart.example]:submission
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:/etc/postfix/sasl
smtp_tls_security_level = encrypt
transport_maps = hash:/etc/postfix/transport
"""
SCHEMES = ["SHA512-CRYPT", "BLF-CRYPT", "ARGON2ID", "SSHA", "SSHA256", "SHA256-CRYPT", "MD5-CRYPT", "PBKDF2", "SCRAM-SHA-256", "PLAIN"]


def run(c):
    if not (c.has("dovecot") & c.has("mbsync") & c.has("mpop")):
        return
    with demo.Demo(c.server.program, None) as other, Box(c) as box:
        Takeover(c, other, box).run()


class Box(Dovecot):
    """Dovecot with a passwd-file, and the etc of a machine as a takeover finds it."""

    def __init__(self, c):
        super().__init__(c)
        self.users = ["p%d@%s" % (n, DOMAIN) for n in range(len(SCHEMES))]
        root, lines = os.path.join(c.folder, "root"), []
        for scheme, user in zip(SCHEMES, self.users):
            cost = {"BLF-CRYPT": ["-r", "5"], "SHA512-CRYPT": ["-r", "5000"], "SHA256-CRYPT": ["-r", "5000"]}.get(scheme, [])
            made = subprocess.run(["doveadm", "-O", "pw", "-s", scheme, "-p", "secret-" + scheme, *cost], check=True, capture_output=True, text=True).stdout
            lines.append("%s:%s::::::userdb_quota_rule=*:storage=50M\n" % (user, made.strip()))
        c.file("dovecot/users", "".join(lines), 0o644)
        with open(self.config) as file:
            text = file.read().replace("protocols = imap", "protocols = imap pop3")
        with __import__("socket").create_server(("127.0.0.1", 0)) as free:
            self.pop = free.getsockname()[1]
        c.file("dovecot/dovecot.conf", text + "service pop3-login {\n  inet_listener pop3 {\n    port = %d\n  }\n"
               "  inet_listener pop3s {\n    port = 0\n  }\n}\n" % self.pop, 0o644)
        for folder in ("etc/postfix", "etc/dovecot"):
            os.makedirs(os.path.join(root, folder))
        shutil.copy(self.config, os.path.join(root, "etc/dovecot/dovecot.conf"))
        os.makedirs(root + self.folder)
        shutil.copy(os.path.join(self.folder, "users"), root + self.folder + "/users")
        c.file("root/etc/postfix/main.cf", "myhostname = mail.%s\nmydestination = localhost\nvirtual_mailbox_domains = %s,\n"
               "  other.example\nsmtpd_sender_login_maps = hash:/etc/postfix/senders\nvirtual_alias_maps = hash:/etc/postfix/virtual\nalias_maps =\n" % (DOMAIN, DOMAIN))
        c.file("root/etc/postfix/virtual", "info@%s %s, :include:/etc/postfix/list\n@other.example %s\n" % (DOMAIN, self.users[0], self.users[0]))
        c.file("root/etc/postfix/list", "# members\n%s\n" % self.users[1])
        c.file("root/etc/postfix/senders", "%s %s\nsales@%s %s %s\n@other.example %s\n"
               % (self.users[0], self.users[0], DOMAIN, self.users[0], self.users[1], self.users[1]))
        c.file("root/etc/postfix/sasl", "[smart.example]:submission  me:pass:word\n")
        c.file("root/etc/postfix/transport", "lists.example lmtp:inet:127.0.0.1:24\n.old.example smtp:[192.0.2.1]:2525\ndirect.example smtp:\nx.example pipe:y\n")
        self.root = root


class Takeover:
    def __init__(self, c, other, box):
        self.c, self.other, self.box, self.user, self.secret = c, other, box, box.users[0], "secret-" + SCHEMES[0]
        self.config = os.path.join(other.folder, "data/posthorn.conf")

    def run(self):
        c, box = self.c, self.box
        self.fill()
        letters = self.mpop(box.pop, "first, from Dovecot") # before the other: it sets \\Seen
        mailboxes = self.mbsync(box.port, "first, from Dovecot")
        c.ok("both fetched all", len(mailboxes) == 25 and len(letters) == 20, (len(mailboxes), len(letters)))
        said = self.takeover("--dry-run")
        c.ok("the plan names accounts and aliases", "accounts (%d)" % len(SCHEMES) in said and "aliases (2)" in said, said)
        c.ok("a dry run makes nothing", b"NO" in self.try_imap(self.user, self.secret), "signed in")
        c.ok("all of it came", "imported: 25 messages" in self.takeover("--yes"))
        c.same("a second sync by mbsync fetches nothing", self.mbsync(self.other.base + demo.PORTS["imap"], "again, from Posthorn"), mailboxes)
        c.same("nor does mpop", self.mpop(self.other.base + demo.PORTS["pop3"], "again, from Posthorn"), letters)
        for scheme, user in zip(SCHEMES, box.users):
            c.ok("%s: not a wrong one" % scheme, b"NO" in self.try_imap(user, "secret"), "signed in")
            for attempt in ("as it came", "made anew"):
                c.same("%s: the old password, %s" % (scheme, attempt), self.try_imap(user, "secret-" + scheme), b"")
            p = poplib.POP3(c.host, self.other.base + demo.PORTS["pop3"], timeout=60)
            p.user(user)
            c.ok("%s: by POP3" % scheme, p.pass_("secret-" + scheme).startswith(b"+OK"))
            p.quit()
        self.fragment()
        self.senders()
        self.aliases()
        self.again()
        self.mboxes()

    def fragment(self):
        c, out, data = self.c, os.path.join(self.c.folder, "fragment.conf"), os.path.join(self.other.folder, "data")
        os.makedirs(os.path.join(self.box.root, "etc/ssl"))
        for name, kept in (("c.pem", "certificate.pem"), ("k.pem", "key.pem")):
            shutil.copy(os.path.join(data, kept), os.path.join(self.box.root, "etc/ssl", name))
        main_cf = os.path.join(self.box.root, "etc/postfix/main.cf")
        with open(main_cf) as file:
            plain = file.read()
        with open(main_cf, "w") as file:
            file.write(plain + ROUTES)
        again = [c.server.program, "import", "postfix-dovecot", "--root", self.box.root, "--config", self.config, "--dry-run", "--write-config", out]
        status, said = c.command(again)
        c.ok("settings become a config", os.path.exists(out), said[-2000:])
        with open(out) as file:
            text = file.read()
        for line in ('hostname = "mail.%s"' % DOMAIN, 'relay_networks = {"10.1.0.0/16", "2001:db8::/32"}', 'relay_domains = {"backup.example", ".backup.example"}',
                     "message_bytes = 20480000", 'separator = "-"', 'hosts = {"smart.example:587"}', "tls = must", 'user = "me"',
                     'hosts = {"192.0.2.1:2525"}', 'recipient_domain = {".old.example"}', "protocol = lmtp", 'hosts = {"127.0.0.1:24"}',
                     'certificate = "%s/etc/ssl/c.pem"' % self.box.root, "# relayhost = [smart.example]:submission", "# transport_maps = x.example pipe:y"):
            c.ok("the config has " + line, line + "\n" in text, text)
        with open(out + ".1.password") as file:
            c.same("its password stands beside it", file.read(), "pass:word\n")
        c.same("for its owner only", os.stat(out + ".1.password").st_mode & 0o777, 0o600)
        made = os.path.join(c.folder, "made.conf")
        status, said = c.command(["sh", "-c", "echo long-secret-1 | %s init --hostname m.example --domain m.example --account a@m.example --password-stdin "
                                  "--data %s/made --runtime %s/run --user '' --config %s" % (c.server.program, c.folder, c.folder, made)])
        c.ok("posthorn init", status == 0, said)
        with open(made, "a") as file:
            file.write(text)
        status, said = c.command([c.server.program, "config", "check", "--config", made])
        c.ok("config check takes both together", status == 0 and ("mail." + DOMAIN).encode() in said, said)
        status, said = c.command(again)
        c.ok("a file that is there stays", status != 0 and b"is there already" in said, said[-2000:])
        with open(out) as file:
            c.same("as it was", file.read(), text)
        with open(main_cf, "w") as file:
            file.write(plain)

    def mboxes(self):
        """Accounts whose mail is in mboxes: /var/mail and a tree below the home."""
        c, root, domain = self.c, os.path.join(self.c.folder, "mboxes"), "mbox.example"
        one = "From x@example.org Thu Jan  1 00:00:%02d 1970\nX-IMAPbase: 1234 %d\nX-UID: %d\nStatus: RO\nSubject: %s\n\nText\n\n"
        for path, text in (("etc/postfix/main.cf", "myhostname = m.%s\nvirtual_mailbox_domains = %s\nmydestination =\n" % (domain, domain)),
                           ("etc/dovecot/dovecot.conf", "mail_location = mbox:~/mail:INBOX=/var/mail/%n\npassdb {\n driver = passwd-file\n"
                            " args = /etc/dovecot/users\n}\nuserdb {\n driver = passwd-file\n args = /etc/dovecot/users\n}\n"),
                           ("etc/dovecot/users", "ann@%s:{PLAIN}secret-mbox:1:1::/home/ann::\nnew@%s:{PLAIN}secret-mbox:1:1::/home/new::\n"
                            "lost@%s:{PLAIN}secret-mbox\n" % (domain, domain, domain)),
                           ("var/mail/ann", one % (1, 9, 3, "one") + one % (2, 9, 7, "two")),
                           ("home/ann/mail/Work/2024", one % (3, 5, 5, "three")), ("home/ann/mail/.subscriptions", "Work/2024\n")):
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            c.file(os.path.join("mboxes", path), text)

        def take():
            status, said = c.command([c.server.program, "import", "postfix-dovecot", "--root", root, "--config", self.config, "--yes", "--json"],
                                     seconds=120)
            return status, json.loads(said[said.index(b"{"):])

        status, said = take()
        c.ok("mbox: an account without a home is named, and nothing else",
             (status, said["messages"], said["left_out"]["count"]) == (1, 3, 1) and "lost@" in json.dumps(said["left_out"]), said)
        c.ok("mbox: one without mail is said", "new@" in json.dumps(said["notes"]) and "no mail yet" in json.dumps(said["notes"]), said)
        m = self.imap(self.other.base + 143, "ann@" + domain, "secret-mbox")
        m.select("INBOX")
        c.same("mbox: UIDs stay", m.uid("search", None, "ALL")[1][0], b"3 7")
        c.same("mbox: UIDVALIDITY too", m.status("INBOX", "(UIDVALIDITY)")[1][0].split()[-1], b"1234)")
        c.same("mbox: a tree of mailboxes", m.select("Work/2024")[0], "OK")
        with open(os.path.join(root, "var/mail/ann"), "a") as out:
            out.write("From x@example.org Thu Jan  1 00:00:04 1970\nSubject: four\n\nText\n\n")
        status, said = take()
        c.same("mbox: a second run brings what is new", (said["messages"], said["known"], said["gone"]), (1, 3, 0))
        m.logout()

    def senders(self):
        for user, wanted in ((self.box.users[0], ["sales@" + DOMAIN]), (self.box.users[1], ["@other.example", "sales@" + DOMAIN])):
            status, said = self.c.command([self.c.server.program, "account", "sender", "list", user, "--config", self.config])
            self.c.ok("%s may send as before" % user, status == 0 and sorted(said.decode().split()) == wanted, said)

    def takeover(self, *words):
        copy = self.box.root + self.box.mail  # nothing is read that is not below the root
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.box.mail, copy, symlinks=True)
        status, said = self.c.command([self.c.server.program, "import", "postfix-dovecot", "--root", self.box.root, "--config", self.config, *words],
                                      seconds=120)
        self.c.ok("takeover %s" % " ".join(words), status == 0, said[-2000:])
        return said.decode(errors="replace")

    def imap(self, port, user, password):
        m = imaplib.IMAP4(self.c.host, port, timeout=60)
        m.login(user, password)
        return m

    def try_imap(self, user, password):
        try:
            self.imap(self.other.base + demo.PORTS["imap"], user, password).logout()
            return b""
        except imaplib.IMAP4.error as refused:
            return b"NO " + str(refused).encode()

    def fill(self):
        self.box.own()
        m = self.box.imap(self.user, self.secret)
        m.create("Work/deep")
        for n in range(25):
            m.append("INBOX" if n < 20 else "Work/deep", r"(\Seen)" if n % 3 else r"(\Flagged)", None,
                     demo.message("letter %d" % n, "text\r\n" * n))
        m.logout()

    def mbsync(self, port, note):
        """What is on this machine after it."""
        folder = os.path.join(self.c.folder, "near")
        os.makedirs(folder, exist_ok=True)
        rc = self.c.file("near.rc", CONFIG.format(host=self.c.host, port=port, user=self.user, password=self.secret, folder=folder, tls="None",
                                                  certificate="/dev/null").replace("CertificateFile /dev/null\n", "").replace("Patterns *", "Patterns INBOX Work/deep"))
        status, said = self.c.command(["mbsync", "-Dn", "-c", rc, "-a"], seconds=120)
        self.c.ok("mbsync: " + note, status == 0, said[-2000:])
        fetched = len(re.findall(rb"BODY\.PEEK\[\]", said))
        self.c.ok("mbsync: %s: %d fetched" % (note, fetched), (fetched > 0) == ("first" in note), said[-2000:])
        return sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names if os.path.basename(at) in ("cur", "new"))

    def mpop(self, port, note):
        folder = os.path.join(self.c.folder, "popped")
        for part in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(folder, part), exist_ok=True)
        rc = self.c.file("mpop.rc", MPOP.format(host=self.c.host, port=port, user=self.user, password=self.secret, auth="user", tls="off", starttls="off",
                                                maildir=folder, folder=folder, keep="on"))
        status, said = self.c.command(["mpop", "-C", rc, "it"])
        self.c.ok("mpop: " + note, status == 0, said)
        return sorted(os.listdir(os.path.join(folder, "new")))

    def aliases(self):
        with __import__("smtplib").SMTP(self.c.host, self.other.base + demo.PORTS["smtp"], timeout=60) as s:
            s.sendmail("sender@elsewhere.example", ["info@" + DOMAIN, "anybody@other.example"], demo.message("by alias"))
        m = self.imap(self.other.base + demo.PORTS["imap"], self.box.users[1], "secret-" + SCHEMES[1])
        m.select("INBOX")
        deadline = time.monotonic() + 60
        while not m.search(None, "SUBJECT", '"by alias"')[1][0] and time.monotonic() < deadline:
            time.sleep(0.05)
            m.noop()
        self.c.ok("an alias leads where it led", m.search(None, "SUBJECT", '"by alias"')[1][0] != b"")
        m.logout()

    def again(self):
        m = self.box.imap(self.user, self.secret)
        m.append("Work/deep", "", None, demo.message("late"))
        m.logout()
        said = self.takeover("--yes")
        self.c.ok("a second run brings what is new, and leaves passwords in use", "imported: 1 message" in said and "0 passwords taken over" in said, said)
