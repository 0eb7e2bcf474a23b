#!/usr/bin/python3
"""A web server for tests: https with an authority of its own, or http, answering from a script.

    with web.Server({"mta-sts.example.net/.well-known/mta-sts.txt": "version: STSv1\\n..."}, folder) as w:
        ... fetch_authorities = w.authority; the port is w.port ...

A page's key is host (without port) and path; "*" stands for any host.  A page is its text (status 200, text/plain), or a
dict of "status", "type", "body" (text or bytes), "fields" {name: value}, "delay" (seconds before the answer), "stall" (True:
the answer begins and never ends), or a function of the request that gives one of these (it has .method, .path, .fields, .body).
Unknown pages are 404.  What came in is in `asked`: (method, host, path, fields, body).

Built in for any host: /echo tells what came in, /bytes/N is N letters, /redirect/PATH leads to /PATH.

The certificate is for the names in `names` (default: localhost, 127.0.0.1 and the hosts of the pages), signed by an authority that
is made anew in `folder`; expired=True makes one that has ended.  Run by itself it reads pages as JSON from its standard input and
prints its port:  tests/web.py [--port N] [--address A] [--http] [--expired] [--name NAME]... FOLDER < pages.json
"""

import argparse
import http.server
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import threading
import time


def run(*command, text=""):
    subprocess.run(command, input=text.encode(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def is_address(name):
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        return False


def make_certificate(folder, names, expired=False):
    """ca.pem, and server.pem with its key; returns their paths."""
    ca, ca_key = os.path.join(folder, "ca.pem"), os.path.join(folder, "ca-key.pem")
    cert, key, request = (os.path.join(folder, n) for n in ("server.pem", "server-key.pem", "server.csr"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    if not os.path.exists(ca):
        run("openssl", "req", "-x509", *curve, "-keyout", ca_key, "-out", ca, "-days", "3650", "-subj", "/CN=test authority",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    run("openssl", "req", *curve, "-keyout", key, "-out", request, "-subj", "/CN=test")
    extensions = os.path.join(folder, "server.ext")
    with open(extensions, "w", encoding="ascii") as f:
        f.write("subjectAltName=" + ",".join(("IP:" if is_address(n) else "DNS:") + n for n in names) + "\n")
    dates = ("-days", "-1") if expired else ("-days", "3650")
    run("openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-out", cert, "-extfile", extensions, *dates)
    return ca, cert, key


class Request:
    def __init__(self, method, host, path, fields, body):
        self.method, self.host, self.path, self.fields, self.body = method, host, path, fields, body


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.answer("GET", b"")

    def do_POST(self):
        self.answer("POST", self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def built_in(self, q):
        if q.path == "/echo":
            lines = ["%s %s" % (q.method, q.host)] + sorted("%s: %s" % f for f in q.fields.items())
            return "\n".join(lines) + "\n\n" + q.body.decode("latin-1")
        if q.path.startswith("/bytes/"):
            return "x" * int(q.path[len("/bytes/"):])
        if q.path.startswith("/redirect/"):
            return {"status": 302, "fields": {"Location": q.path[len("/redirect"):]}}
        return {"status": 404, "body": "no such page\n"}

    def answer(self, method, body):
        host = self.headers.get("Host", "").rsplit(":", 1)[0] if not self.headers.get("Host", "").endswith("]") else ""
        q = Request(method, host, self.path, dict(self.headers.items()), body)
        self.server.asked.append((method, host, q.path, q.fields, body))
        pages = self.server.pages
        page = pages.get(host + q.path, pages.get("*" + q.path))
        if callable(page):
            page = page(q)
        if page is None:
            page = self.built_in(q)
        if not isinstance(page, dict):
            page = {"body": page}
        text = page.get("body", "")
        data = text if isinstance(text, bytes) else text.encode()
        time.sleep(page.get("delay", 0))
        self.send_response(page.get("status", 200))
        self.send_header("Content-Type", page.get("type", "text/plain"))
        for name, value in page.get("fields", {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) + (1 if page.get("stall") else 0)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        if page.get("stall"):
            self.server.ended.wait()


class Http(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that go away are what many tests are about


class Server:
    def __init__(self, pages, folder, names=None, address="127.0.0.1", port=0, tls=True, expired=False):
        self.pages = pages
        self.http = Http((address, port), Handler)
        self.http.pages, self.http.asked, self.http.ended = pages, [], threading.Event()
        self.asked, self.port, self.authority = self.http.asked, self.http.server_address[1], ""
        if tls:
            hosts = {k.split("/", 1)[0] for k in pages} - {"*"}
            self.authority, cert, key = make_certificate(folder, names or sorted({"localhost", "127.0.0.1"} | hosts), expired)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key)
            # The handshake is the connection's own thread's, not that of the one that accepts.
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *args):
        self.http.ended.set()
        self.http.shutdown()
        self.http.server_close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--expired", action="store_true")
    parser.add_argument("--name", action="append")
    parser.add_argument("folder")
    args = parser.parse_args()
    pages = json.load(sys.stdin)
    with Server(pages, args.folder, args.name, args.address, args.port, not args.http, args.expired) as server:
        print(server.port, flush=True)
        server.thread.join()


if __name__ == "__main__":
    main()
