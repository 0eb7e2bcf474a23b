"""Another mail server, elsewhere: takes everything and remembers the names of what it took."""

import re
import socket
import threading

NAME = re.compile(rb"^Message-ID: <([^@>]+)@fault\.test>", re.M | re.I)


class Sink:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.names, self.count = {}, 0  # how often each came
        self.answer = b"250 2.0.0 taken\r\n"
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.listener.close()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        try:
            with client, client.makefile("rb") as lines:
                client.sendall(b"220 elsewhere.example\r\n")
                for line in lines:
                    verb = line[:4].upper()
                    if verb == b"DATA":
                        client.sendall(b"354 go on\r\n")
                        self.take(lines)
                        client.sendall(self.answer)
                    elif verb == b"QUIT":
                        client.sendall(b"221 2.0.0 bye\r\n")
                        return
                    else:
                        client.sendall(b"250 2.0.0 ok\r\n")
        except OSError:
            pass

    def take(self, lines):
        text = b""
        for line in lines:
            if line == b".\r\n":
                break
            text += line
        found = NAME.search(text)
        self.count += 1
        if found is not None and self.answer.startswith(b"2"):
            name = found.group(1).decode()
            self.names[name] = self.names.get(name, 0) + 1
