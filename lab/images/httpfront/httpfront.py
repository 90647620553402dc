"""httpfront: calls httpbackend by name and answers with what it heard.

The response headers name the instance and repeat what reached it through a balancer.
"""

import os
import signal
import socket
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT", "8080"))
VERSION = os.environ.get("VERSION", "v1.0.0")
BACKEND_URL = os.environ.get("BACKEND_URL", "http://httpbackend.service.dc1.consul:8081/")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answer():
    """The status and text of one answer."""
    me = f"this is httpfrontservice, version: {VERSION}, calling backendservice"
    try:
        with DIRECT.open(BACKEND_URL, timeout=3) as response:
            return 200, f"{me} ok, its resp: [{response.read().decode()}]"
    except (OSError, ValueError) as error:
        return 502, f"{me} failed: {BACKEND_URL}: {error}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive
    wbufsize = -1  # headers and body leave in one packet

    def do_GET(self):
        status, text = answer()
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Instance", socket.gethostname())
        self.send_header("X-Seen-Host", self.seen("Host"))
        self.send_header("X-Seen-Forwarded-For", self.seen("X-Forwarded-For"))
        self.end_headers()
        self.wfile.write(body)

    def seen(self, header):
        return " ".join(self.headers.get(header, "").split())


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # PID 1 has no default handler
    Server(("", PORT), Handler).serve_forever()
