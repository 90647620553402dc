"""tcpfront: sends each line back as [version]time [line]."""

import os
import signal
import socketserver
import sys
import time

PORT = int(os.environ.get("PORT", "9999"))
VERSION = os.environ.get("VERSION", "v1.0.0")


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        for line in self.rfile:
            now = time.strftime("%Y-%m-%d %H:%M:%S").encode()
            self.wfile.write(b"[%s]%s [%s]\n" % (VERSION.encode(), now, line.rstrip(b"\r\n")))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # PID 1 has no default handler
    Server(("", PORT), Handler).serve_forever()
