"""The mail servers of the small internet: Posthorn, Postfix, OpenSMTPD, each with a domain and one mailbox."""
import base64
import glob
import imaplib
import os
import signal
import smtplib
import socket
import subprocess
import time

import net

HERE = os.path.dirname(os.path.abspath(__file__))
POSTHORN = os.path.abspath(os.environ.get("POSTHORN", os.path.join(HERE, "../../build/posthorn")))


def wait_for_port(host, address, port, seconds=20):
    until = time.monotonic() + seconds
    while True:
        try:
            net.connect(host, address, port, 2).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


class Server:
    """domain, its host in the network, its address, and the user `inbox` there."""
    clear_domain = None
    serves_tls = True

    def __init__(self, work, host, address, names):
        self.host, self.address, self.names = host, address, names
        self.domain = host + ".test"
        self.name = "mx." + self.domain
        self.user = "inbox@" + self.domain
        self.dir = os.path.join(work, host)
        os.mkdir(self.dir)
        os.chmod(self.dir, 0o755)
        self.pem, self.key = names.certificate(self.name)
        names.mx(self.domain, self.name)
        names.host(self.name, address)
        if self.serves_tls:
            names.test.append(names.tlsa(self.name, self.pem))

    def path(self, name):
        return os.path.join(self.dir, name)

    def smtp(self):
        """A session with it from its own host."""
        s = smtplib.SMTP()
        s.sock = net.connect(self.host, self.address, self.port)
        s.file = None
        code, text = s.getreply()
        if code != 220:
            raise RuntimeError("%s: %d %s" % (self.host, code, text))
        return s

    def send(self, recipients, ident, sender=None, body="hello", header=()):
        """Hands it a message in its user's name; True once it said 250."""
        sender = self.user if sender is None else sender
        text = "From: <%s>\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%s@%s>\r\n%s\r\n%s\r\n" % (
            sender or self.user, ", ".join("<%s>" % r for r in recipients), ident, ident, self.domain,
            "".join(h + "\r\n" for h in header), body)
        s = self.smtp()
        try:
            self.sign_in(s)
            refused = s.sendmail(sender, recipients, text.encode())
            return not refused
        finally:
            s.close()

    def sign_in(self, s):
        s.ehlo("client." + self.domain)


class Posthorn(Server):
    port = 587

    def start(self, extra=""):
        with open(self.path("posthorn.conf"), "w", encoding="ascii") as f:
            f.write('''hostname = "%s"
data = "%s"
runtime = "%s"
user = ""
queue_user = ""
auth_user = ""
content_user = ""
fetch_user = ""
resolver_user = ""
certificate = "%s"
key = "%s"
allow_plaintext_login = true
dns_servers = {"127.0.0.1"}
fetch_authorities = "%s"
tls_authorities = "%s"
listener "smtp" { address = "%s" port = 25 protocol = smtp }
listener "submission" { address = "%s" port = 587 protocol = submission }
listener "imap" { address = "%s" port = 143 protocol = imap }
%s
''' % (self.name, self.path("data"), self.path("run"), self.pem, self.key, self.names.path("ca.pem"), self.names.path("ca.pem"), self.address, self.address,
       self.address, extra))
        self.password = "secret"
        self.process = net.start(self.path("log"), POSTHORN, "serve", "--config", self.path("posthorn.conf"), host=self.host)
        wait_for_port(self.host, self.address, 143)
        self.command("domain", "add", self.domain)
        self.command("account", "add", self.user, "--password-stdin", input="secret\n")

    def command(self, *words, **more):
        return net.sh(POSTHORN, *words, "--config", self.path("posthorn.conf"), host=self.host, **more)

    def sign_in(self, s):
        s.ehlo("client." + self.domain)
        s.docmd("AUTH", "PLAIN " + base64.b64encode(("\0%s\0%s" % (self.user, self.password)).encode()).decode())

    def received(self):
        """The subjects of all that has come, and whole texts of them."""
        class On(imaplib.IMAP4):
            def _create_socket(inner, timeout):
                return net.connect(self.host, self.address, 143)
        mail = []
        with On("x") as imap:
            imap.login(self.user, self.password)
            imap.select("INBOX", readonly=True)
            _, found = imap.fetch("1:*", "(BODY.PEEK[])") if imap.response("EXISTS") else (None, [])
            mail = [part[1].decode("latin-1") for part in found if isinstance(part, tuple)]
        return mail

    def role(self, name):
        """The process ids of that role's process."""
        found = []
        for status in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(status, "rb") as f:
                    words = f.read().split(b"\0")
                parent = open(status.replace("cmdline", "stat"), encoding="latin-1").read().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            if b"--role" in words and name.encode() in words and self.is_mine(int(parent)):
                found.append(int(status.split("/")[2]))
        return found

    def is_mine(self, parent):
        return parent == self.process.pid

    def kill_role(self, name):
        """kill -9; how many processes there were to kill."""
        found = self.role(name)
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return len(found)

    def stop(self):
        self.process.terminate()


class Maildir(Server):
    port = 25

    def received(self):
        mail = []
        for path in glob.glob(self.path("inbox") + "/new/*"):
            with open(path, encoding="latin-1") as f:
                mail.append(f.read())
        return mail


class Postfix(Maildir):
    """Has a second address without TLS, 10 above the first, for clear.post.test."""

    def __init__(self, *args):
        super().__init__(*args)
        self.clear_domain = "clear." + self.domain
        self.clear_address = "11.99.0.13"
        self.names.mx(self.clear_domain, "mx." + self.clear_domain)
        self.names.host("mx." + self.clear_domain, self.clear_address)

    def start(self):
        for d in ("conf", "queue", "lib", "mail"):
            os.mkdir(self.path(d))
        os.chown(self.path("mail"), 65534, 65534)
        os.chmod(self.dir, 0o755)
        net.sh("chown", "postfix", self.path("lib"))
        with open(self.path("conf/main.cf"), "w", encoding="ascii") as f:
            f.write("\n".join(("compatibility_level = 3.6", "queue_directory = " + self.path("queue"), "data_directory = " + self.path("lib"),
                               "myhostname = " + self.name, "mydestination =", "inet_protocols = ipv4", "inet_interfaces = all",
                               "mynetworks = %s/32, 127.0.0.0/8" % self.address,
                               "virtual_mailbox_domains = %s, %s" % (self.domain, self.clear_domain),
                               "virtual_mailbox_base = " + self.path(""), "virtual_mailbox_maps = static:inbox/",
                               "virtual_uid_maps = static:65534", "virtual_gid_maps = static:65534",
                               "smtpd_tls_cert_file = " + self.pem, "smtpd_tls_key_file = " + self.key, "smtpd_tls_security_level = may",
                               "smtp_tls_security_level = dane", "smtp_dns_support_level = dnssec", "smtp_tls_loglevel = 1",
                               "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination",
                               "minimal_backoff_time = 2s", "maximal_backoff_time = 4s", "queue_run_delay = 2s",
                               "maillog_file_prefixes = /", "maillog_file = " + self.path("log"), "alias_maps =", "alias_database =",
                               "smtputf8_enable = yes", "disable_dns_lookups = no", "")))
        with open(self.path("conf/master.cf"), "w", encoding="ascii") as f:
            rows = [self.address + ":smtp inet n - n - - smtpd", self.clear_address + ":smtp inet n - n - - smtpd -o smtpd_tls_security_level=none",
                    "postlog unix-dgram n - n - 1 postlogd", "pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup",
                    "qmgr unix n - n 300 1 qmgr", "tlsmgr unix - - n 1000? 1 tlsmgr", "rewrite unix - - n - - trivial-rewrite",
                    "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce",
                    "verify unix - - n - 1 verify", "flush unix n - n 1000? 0 flush", "proxymap unix - - n - - proxymap",
                    "smtp unix - - n - - smtp", "relay unix - - n - - smtp", "error unix - - n - - error", "retry unix - - n - - error",
                    "discard unix - - n - - discard", "local unix - n n - - local", "virtual unix - n n - - virtual",
                    "anvil unix - - n - 1 anvil", "scache unix - - n - 1 scache"]
            f.write("\n".join(rows) + "\n")
        os.mkdir(self.path("inbox"))
        os.chown(self.path("inbox"), 65534, 65534)
        net.sh("postfix", "-c", self.path("conf"), "start", host=self.host)
        wait_for_port(self.host, self.address, 25)


class OpenSMTPD(Maildir):
    """From its Debian package, unpacked: it cannot be installed beside Postfix."""
    serves_tls = False  # Debian 12's finds none of its own keys with OpenSSL 3: "missing private key"

    def start(self):
        package = os.environ["OPENSMTPD"]
        libexec = self.path("libexec")
        net.sh("cp", "-a", package + "/usr/libexec/opensmtpd", libexec)
        net.sh("mount", "-t", "tmpfs", "tmpfs", "/usr/libexec")
        net.sh("cp", "-a", libexec, "/usr/libexec/opensmtpd")
        for folder in ("/var/lib", "/var/spool"):
            net.sh("mount", "-t", "tmpfs", "tmpfs", folder)
        os.makedirs("/var/lib/opensmtpd/empty", mode=0o711)
        os.makedirs("/var/spool/smtpd", mode=0o711)
        for name, line in (("passwd", "%s:x:%d:%d::/var/lib/opensmtpd/empty:/bin/false\n"), ("group", "%s:x:%d:\n")):
            with open("/etc/" + name, encoding="utf-8") as f:
                text = f.read()
            for number, user in ((64001, "opensmtpd"), (64002, "opensmtpq")):
                text += line % ((user, number, number) if name == "passwd" else (user, number))
            with open(self.path(name), "w", encoding="utf-8") as f:
                f.write(text)
            os.chmod(self.path(name), 0o644)
            net.sh("mount", "--bind", self.path(name), "/etc/" + name)
        os.mkdir(self.path("inbox"))
        os.chown(self.path("inbox"), 65534, 65534)
        with open(self.path("smtpd.conf"), "w", encoding="ascii") as f:
            f.write('''queue ttl 1h
listen on %(address)s hostname %(name)s
table catch { "@" = "nobody" }
action "in" maildir "%(inbox)s" virtual <catch>
action "out" relay helo %(name)s
match from any for domain "%(domain)s" action "in"
match from src %(address)s for any action "out"
match from local for any action "out"
''' % {"name": self.name, "address": self.address, "inbox": self.path("inbox"), "domain": self.domain})
        os.chmod(self.path("smtpd.conf"), 0o644)
        net.start(self.path("log"), package + "/usr/sbin/smtpd", "-d", "-v", "-f", self.path("smtpd.conf"), host=self.host)
        wait_for_port(self.host, self.address, 25)
