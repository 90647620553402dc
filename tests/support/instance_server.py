"""An instance of a service, for tests: runs on a host (Python 3.9), speaks HTTP/1.1, and TLS when it is given a certificate.

`python3 instance_server.py PORT NAME [CERTIFICATE]`. Each answer is JSON: name, path, headers. /sleep/<seconds> answers after
that time, /status/<code> with that code, /header/<length> with a header of that length, /text/<length> with text;
/events/<seconds> are two events without chunks, that time apart; a websocket gets back what it sends, line by line; /posts lists
the paths of all POST requests, each as soon as its header is there.
"""

import base64
import hashlib
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, NAME = int(sys.argv[1]), sys.argv[2]
POSTS = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        left = int(self.headers.get("Content-Length", 0))
        while left and (piece := self.rfile.read(min(left, 2**20))):
            left -= len(piece)
        if self.headers.get("Upgrade") == "websocket":
            return self.echo()
        if self.path.startswith("/events/"):
            return self.events(float(self.path.split("/")[2]))
        answer = POSTS if self.path == "/posts" else [NAME, self.path, dict(self.headers)]
        status = int(self.path.split("/")[2]) if self.path.startswith("/status/") else 200
        if self.path.startswith("/sleep/"):
            time.sleep(float(self.path.split("/")[2]))
        body = b"x" * int(self.path.split("/")[2]) if self.path.startswith("/text/") else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Instance", NAME)
        if self.path.startswith("/text/"):
            self.send_header("Content-Type", "text/plain")
        if self.path.startswith("/header/"):
            self.send_header("X-Long", "x" * int(self.path.split("/")[2]))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.do_GET()

    def do_POST(self):
        POSTS.append(self.path)
        self.do_GET()

    def events(self, seconds):
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for pause, event in ((0, b"data: 1\n\n"), (seconds, b"data: 2\n\n")):
            time.sleep(pause)
            self.wfile.write(event)
            self.wfile.flush()

    def echo(self):
        # HAProxy 2.6 takes no answer without what follows from the client's key (RFC 6455, 4.2.2).
        key = self.headers.get("Sec-WebSocket-Key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "upgrade")
        self.end_headers()
        self.wfile.flush()
        for line in self.rfile:
            self.wfile.write(line)
            self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    server = Server(("", PORT), Handler)
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()
