"""DNS and certificates of the small internet: nsd with a signed zone, unbound on each host, an authority."""
import hashlib
import os
import subprocess

import net

DNS = "11.99.0.53"
SILENT = "11.99.0.98"  # a name server that never answers
DEAD = "11.99.0.250"  # no such host


class Names:
    def __init__(self, work):
        self.work = os.path.join(work, "names")
        os.mkdir(self.work)
        self.test, self.plain = [], []  # lines of the zones test. (signed) and plain.test. (not)
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
                     "-out", "ca.pem", "-days", "30", "-subj", "/CN=Authority of the small internet")

    def path(self, name):
        return os.path.join(self.work, name)

    def openssl(self, *command):
        return subprocess.run(("openssl",) + command, cwd=self.work, check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE).stdout

    def certificate(self, name, signed=True):
        """A certificate for that name: paths of it and its key."""
        pem, key, csr, ext = (self.path(name + e) for e in (".pem", ".key", ".csr", ".ext"))
        with open(ext, "w", encoding="ascii") as f:
            f.write("subjectAltName=DNS:%s\n" % name)
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", csr, "-subj", "/CN=" + name)
        by = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial") if signed else ("-signkey", key)
        self.openssl("x509", "-req", "-in", csr, "-out", pem, "-days", "20", "-extfile", ext, *by)
        os.chmod(key, 0o600)
        return pem, key

    def tlsa(self, name, pem):
        """The line that says: this host's key is this one (DANE-EE, SHA-256 of the key)."""
        public = self.openssl("x509", "-in", pem, "-noout", "-pubkey")
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public, check=True,
                             stdout=subprocess.PIPE).stdout
        return "_25._tcp.%s. TLSA 3 1 1 %s" % (name, hashlib.sha256(der).hexdigest())

    def host(self, name, address, signed=True):
        (self.test if signed else self.plain).append("%s. A %s" % (name, address))

    def mx(self, domain, *hosts, signed=True):
        for i, host in enumerate(hosts):
            (self.test if signed else self.plain).append("%s. MX %d %s." % (domain, 5 * (i + 1), host))

    def start(self, hosts):
        """nsd on the host dns, a resolver on each of the others."""
        head = "$TTL 60\n@ SOA ns.test. root.test. 1 3600 600 86400 1\n@ NS ns.test.\n"
        with open(self.path("test"), "w", encoding="ascii") as f:
            f.write("$ORIGIN test.\n" + head + "ns A %s\nplain NS ns.plain\nns.plain A %s\n" % (DNS, DNS))
            f.write("silent NS ns.silent\nns.silent A %s\n" % SILENT)
            f.write("\n".join(self.test) + "\n")
        with open(self.path("plain.test"), "w", encoding="ascii") as f:
            f.write("$ORIGIN plain.test.\n" + head.replace("NS ns.test.", "NS ns.plain.test.") + "ns A %s\n" % DNS)
            f.write("\n".join(self.plain) + "\n")
        key = subprocess.run(["ldns-keygen", "-k", "-a", "ECDSAP256SHA256", "test"], cwd=self.work, check=True, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout.strip()
        subprocess.run(["ldns-signzone", "-o", "test.", "-f", "test.signed", "test", key], cwd=self.work, check=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with open(self.path("nsd.conf"), "w", encoding="ascii") as f:
            f.write("server:\n ip-address: %s\n username: \"\"\n chroot: \"\"\n zonesdir: \"%s\"\n database: \"\"\n pidfile: \"%s\"\n"
                    " xfrdfile: \"%s\"\n zonelistfile: \"%s\"\n logfile: \"%s\"\n server-count: 1\nremote-control:\n control-enable: no\n"
                    "zone:\n name: test\n zonefile: test.signed\nzone:\n name: plain.test\n zonefile: plain.test\n"
                    % (DNS, self.work, self.path("nsd.pid"), self.path("xfrd"), self.path("zones"), self.path("nsd.log")))
        net.start(self.path("nsd.out"), "nsd", "-d", "-c", self.path("nsd.conf"), host="dns")
        for host in hosts:
            self.resolver(host, self.path(key + ".key"))

    def resolver(self, host, anchor):
        conf = self.path("unbound-%s.conf" % host)
        with open(conf, "w", encoding="ascii") as f:
            f.write("server:\n interface: 127.0.0.1\n username: \"\"\n chroot: \"\"\n directory: \"%s\"\n pidfile: \"\"\n do-daemonize: no\n"
                    " use-syslog: no\n module-config: \"validator iterator\"\n trust-anchor-file: \"%s\"\n local-zone: \"test.\" nodefault\n"
                    " do-ip6: no\n do-not-query-localhost: no\n cache-max-negative-ttl: 1\n num-threads: 1\n"
                    "remote-control:\n control-enable: no\n"
                    "stub-zone:\n name: \"test.\"\n stub-addr: %s\nstub-zone:\n name: \".\"\n stub-addr: %s\n"
                    % (self.work, anchor, DNS, DNS))
        net.start(self.path("unbound-%s.out" % host), "unbound", "-d", "-c", conf, host=host)
