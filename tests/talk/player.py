"""Plays one script against a server."""

import base64

import script
import wire


class Failure(Exception):
    """What went wrong, and at which line of the script."""

    def __init__(self, line, text):
        super().__init__(text)
        self.line, self.text = line, text


class Player:
    def __init__(self, path, protocol, server, accounts, source, timeout, trace):
        self.steps = script.read(path)
        self.protocol, self.server, self.source = protocol, server, source
        self.timeout, self.trace = timeout, trace
        self.wires = {}
        self.pending = {}  # connection: the S~ and S- steps before its next S step
        self.names = {}
        for suffix, account in zip(("", "2", "3", "-admin"), accounts + ["u0@example.test"]):
            self.names["user" + suffix] = account
            self.names["local" + suffix] = account.split("@")[0]
            self.names["password" + suffix] = "demo-" + account.split("@")[0]

    def wire(self, name, protocol=None):
        if name not in self.wires:
            self.wires[name] = wire.Wire(self.server, protocol or self.protocol, self.source, self.timeout,
                                         lambda who, data: self.trace(who + name, data))
        return self.wires[name]

    def play(self):
        step = None
        try:
            for step in self.steps:
                getattr(self, "do_" + step.kind.replace("-", "_"))(step)
            for steps in self.pending.values():
                if steps:
                    raise Failure(steps[0].line, "needs an 'S:' line after it")
        except wire.Silent:
            raise Failure(step.line, f"{step.text!r}: nothing came within {self.timeout} s") from None
        except wire.Closed:
            raise Failure(step.line, f"{step.text!r}: the server closed the connection") from None
        except OSError as error:
            raise Failure(step.line if step else 0, str(error)) from None
        finally:
            for connection in self.wires.values():
                connection.close()

    def do_send(self, step):
        text = script.fill(step.text, self.names)
        self.wire(step.connection).send(text.encode("utf-8", "surrogateescape") + b"\r\n")

    def do_send_raw(self, step):
        self.wire(step.connection).send(script.unescape(script.fill(step.text, self.names)))

    def do_somewhere(self, step):
        self.pending.setdefault(step.connection, []).append(step)

    do_nowhere = do_somewhere

    def do_expect(self, step):
        steps = self.pending.pop(step.connection, [])
        connection = self.wire(step.connection)
        wanted = [s for s in steps if s.kind == "somewhere" and s.text]
        while True:
            line = connection.line()
            for other in steps:
                if other.kind == "nowhere" and script.matches(other.text, line, dict(self.names)):
                    raise Failure(other.line, f"unwanted {line!r}")
            for other in wanted:
                if script.matches(other.text, line, self.names):
                    wanted.remove(other)
                    found = True
                    break
            else:
                found = False
            if not wanted and script.matches(step.text, line, self.names):
                return
            if not found and (not steps or self.ends_wait(connection, line)):
                missing = wanted[0] if wanted else step
                raise Failure(missing.line, f"expected {missing.text!r}, got {line!r}")

    def ends_wait(self, connection, line):
        """Nothing more will come: a tagged answer, or the last line of a reply."""
        if connection.protocol.startswith("imap"):
            return not line.startswith(("* ", "+ "))
        if connection.protocol.startswith("pop3"):
            return line == "." or line.startswith("-ERR")
        return line[3:4] != "-"

    def do_starttls(self, step):
        connection = self.wire(step.connection)
        connection.flush()
        if connection.input:
            raise Failure(step.line, f"before TLS came {connection.input!r}")
        connection.start_tls()

    def do_closed(self, step):
        line = self.wire(step.connection).expect_closed()
        if line is not None:
            raise Failure(step.line, f"expected the end, got {line!r}")

    def do_close(self, step):
        self.wire(step.connection).close()
        del self.wires[step.connection]

    def do_open(self, step):
        self.wire(step.connection, step.text)

    # Set-up.

    def do_given(self, step):
        head, _, rest = step.text.partition("\n")
        words = head.split()
        try:
            if words[0] == "config":
                pass  # the runner has started the server so
            elif words[0] in ("greeted", "secured", "authenticated"):
                self.prepare_smtp(self.wire(step.connection), words[0])
            elif head == "logged in":
                self.log_in(self.wire(step.connection))
            elif head == "administrator":
                self.log_in(self.wire(step.connection), "user-admin", "password-admin")
            elif words[0] == "quota":
                self.set_quota(words[1:])
            elif words[0] == "selected":
                connection = self.wire(step.connection)
                self.log_in(connection)
                self.command(connection, "SELECT " + head.split(" ", 1)[1])
            else:
                self.prepare_mailbox(head, words, rest)
        except (IndexError, ValueError) as error:
            raise Failure(step.line, f"cannot read this ({error})") from None
        except AssertionError as error:
            raise Failure(step.line, str(error)) from None

    def log_in(self, connection, user="user", password="password"):
        greeting = connection.line()
        if connection.protocol.startswith("pop3"):
            for command in (f"USER {self.names[user]}", f"PASS {self.names[password]}"):
                connection.send(command.encode() + b"\r\n")
                line = connection.line()
                assert line.startswith("+OK"), f"{command}: {line!r}"
            return
        assert greeting.startswith("* OK"), f"greeting {greeting!r}"
        self.command(connection, f"LOGIN {self.names[user]} {self.names[password]}")

    def set_quota(self, limits, user="user"):
        connection = wire.Wire(self.server, "imap", self.source, self.timeout,
                               lambda who, data: self.trace(who + "given", data))
        try:
            self.log_in(connection, "user-admin", "password-admin")
            self.command(connection, f"SETQUOTA {self.names[user]} ({' '.join(limits)})")
            self.command(connection, "LOGOUT")
        finally:
            connection.close()

    def command(self, connection, text, literal=None, tagged=True):
        connection.send((b"given " if tagged else b"") + text.encode() + b"\r\n")
        if literal is not None:
            line = connection.line()
            assert line.startswith("+"), f"{text}: {line!r}"
            connection.send(literal + b"\r\n")
        while not (line := connection.line()).startswith("given "):
            pass
        assert line.startswith("given OK"), f"{text}: {line!r}"

    def prepare_mailbox(self, head, words, rest):
        connection = wire.Wire(self.server, "imap", self.source, self.timeout,
                               lambda who, data: self.trace(who + "given", data))
        try:
            self.log_in(connection)
            if words[1:2] == ["has"]:
                self.wait_for_messages(connection, words[0], int(words[2]))
            elif words[0] == "mailbox":
                self.command(connection, "CREATE " + head.split(" ", 1)[1])
            elif words[0] == "message":
                name, _, flags = head.split(" ", 2)[2].partition(" (")
                self.append(connection, name, rest.replace("\n", "\r\n") + "\r\n", "(" + flags if flags else "()")
            else:
                name, _, what = head.rpartition(" with ")
                uids = [int(word) for word in what.split()[1:]] if what.startswith("uids ") else None
                count = max(uids) if uids else int(what.split()[0])
                self.fill_mailbox(connection, name, count, uids)
            self.command(connection, "LOGOUT")
        finally:
            connection.close()

    def wait_for_messages(self, connection, name, count):
        """Mail is in its mailbox soon after 250, not before it."""
        connection.send(b"given SELECT " + name.encode() + b"\r\n")
        there = 0
        while not (line := connection.line()).startswith("given "):
            if line.endswith(" EXISTS"):
                there = int(line.split()[1])
        connection.send(b"given IDLE\r\n")
        while there < count:
            line = connection.line()
            if line.endswith(" EXISTS"):
                there = int(line.split()[1])
        self.command(connection, "DONE", tagged=False)

    def fill_mailbox(self, connection, name, count, uids):
        if name.upper() != "INBOX":
            connection.send(f"x CREATE {name}\r\n".encode())
            connection.line()
        for n in range(1, count + 1):
            self.append(connection, name, f"From: Ann <ann@example.net>\r\nTo: {self.names['user']}\r\n"
                        f"Subject: message {n}\r\nDate: Wed, 17 Jul 1996 02:23:25 -0700\r\n"
                        f"Message-ID: <{n}@example.net>\r\n\r\nBody of message {n}.\r\n", "()")
        if uids:
            gone = ",".join(str(n) for n in range(1, count + 1) if n not in uids)
            if gone:
                self.command(connection, f"SELECT {name}")
                self.command(connection, f"STORE {gone} +FLAGS.SILENT (\\Deleted)")
                self.command(connection, "CLOSE")

    def append(self, connection, name, text, flags):
        data = text.encode()
        self.command(connection, f"APPEND {name} {flags} {{{len(data)}}}", data)

    def reply(self, connection, code):
        while (line := connection.line())[3:4] == "-":
            pass
        assert line.startswith(code), f"expected {code}, got {line!r}"

    def prepare_smtp(self, connection, how):
        hello = b"LHLO" if connection.protocol == "lmtp" else b"EHLO"
        self.reply(connection, "220")
        connection.send(hello + b" client.example\r\n")
        self.reply(connection, "250")
        if how == "greeted":
            return
        if connection.protocol != "submissions":
            connection.send(b"STARTTLS\r\n")
            self.reply(connection, "220")
            connection.start_tls()
            connection.send(hello + b" client.example\r\n")
            self.reply(connection, "250")
        if how == "authenticated":
            plain = f"\0{self.names['user']}\0{self.names['password']}".encode()
            connection.send(b"AUTH PLAIN " + base64.b64encode(plain) + b"\r\n")
            self.reply(connection, "235")
