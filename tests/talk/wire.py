"""A connection to the server, line by line, with deadlines."""

import re
import socket
import ssl

PORTS = {"smtp": 25, "lmtp": 24, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993,
         "pop3": 110, "pop3s": 995, "http": 80, "managesieve": 419}


class Closed(Exception):
    """The server closed the connection."""


class Silent(Exception):
    """Nothing came within the time allowed."""


class Wire:
    def __init__(self, server, protocol, source, timeout, trace):
        self.protocol, self.trace = protocol, trace
        self.input, self.output = b"", b""
        self.socket = socket.create_connection((server.host, server.base + PORTS[protocol]), timeout,
                                               (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if protocol in ("imaps", "submissions", "pop3s"):
            self.start_tls()

    def start_tls(self):
        self.flush()
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def send(self, data):
        """Kept until something is expected, so that lines in a row leave together."""
        self.output += data

    def flush(self):
        if self.output:
            self.trace("C", self.output)
            data, self.output = self.output, b""
            self.socket.sendall(data)

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, socket.timeout) as error:
            raise Silent() from error
        except (ConnectionError, ssl.SSLError) as error:
            raise Closed() from error
        if not data:
            raise Closed()
        self.trace("S", data)
        self.input += data

    def take(self, size):
        while len(self.input) < size:
            self.fill()
        data, self.input = self.input[:size], self.input[size:]
        return data

    def line(self):
        """The next line without its CRLF; for IMAP with its literals."""
        self.flush()
        pieces = []
        while True:
            while b"\n" not in self.input:
                self.fill()
            pieces.append(self.take(self.input.index(b"\n") + 1))
            literal = re.search(rb"\{(\d+)\}\r\n\Z", pieces[-1])
            if not (self.protocol.startswith("imap") and literal):
                break
            pieces.append(self.take(int(literal[1])))
        text = b"".join(pieces)
        if not text.endswith(b"\r\n"):
            text = text[:-1] + b"<bare LF>\r\n"
        return text[:-2].decode("utf-8", "surrogateescape")

    def expect_closed(self):
        """Waits for the server to close; what it says instead, or None."""
        self.flush()
        try:
            if self.input:
                return self.line()
            self.fill()
            return self.line()
        except Closed:
            return None

    def close(self):
        try:
            self.flush()
            self.socket.close()
        except OSError:
            pass
