"""Instances of services on this machine: each records its requests, and answers or fails as set."""

import base64
import contextlib
import hashlib
import http.server
import json
import select
import socket
import ssl
import subprocess
import threading
import time

ADDRESS = "127.0.71.2"
UPPER = {"X-Real-Ip": "X-Real-IP"}


# A client's first request for a websocket; some servers look at its key.
WEBSOCKET = (
    "Connection: Upgrade\r\nUpgrade: WebSocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Instance:
    """An HTTP server.

    :param answer: status, or "close" (reads the request and hangs up), or seconds to wait before 200, as a float
    :param tls: (certificate, key), to speak TLS
    :param accel: a path that nginx shall ask for instead, or ""
    """

    def __init__(self, answer=200, tls=None, name="", accel=""):
        self.asked, self.name = [], name
        instance = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                instance.asked.append((self.command, self.path, dict(self.headers)))
                if answer == "close":
                    self.close_connection = True
                    return
                if isinstance(answer, float):
                    time.sleep(answer)
                status = answer if isinstance(answer, int) else 200
                if self.headers.get("Upgrade", "").lower() == "websocket":
                    status = 101
                body = b"" if status == 101 else json.dumps([instance.name, self.path, _titled(self.headers)]).encode()
                self.send_response(status)
                if status == 101:
                    self.send_header("Upgrade", "websocket")
                    self.send_header("Connection", "upgrade")
                    key = self.headers.get("Sec-WebSocket-Key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
                    self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
                else:
                    self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Own", "yes")
                if accel:
                    self.send_header("X-Accel-Redirect", accel)
                if length := int(self.headers.get("X-Answer", 0)):
                    self.send_header("X-Long", "x" * length)
                self.end_headers()
                self.wfile.write(body)
                while status == 101 and (line := self.rfile.readline()):
                    self.wfile.write(line)

            do_POST = do_PUT = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((ADDRESS, 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a connection that a client resets, as health checks do
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    def close(self):
        with contextlib.suppress(OSError):
            self.server.shutdown()
        self.server.server_close()


class Wire:
    """An instance whose connections the test reads and writes itself."""

    def __init__(self):
        self.listener = socket.create_server((ADDRESS, 0))
        self.port = self.listener.getsockname()[1]

    def request(self, *others, seconds=10):
        """The next connection that asks, here or at one of the others, with what came of its request: all of the header."""
        listeners = [self.listener, *(other.listener for other in others)]
        while ready := select.select(listeners, [], [], seconds)[0]:
            connection = ready[0].accept()[0]
            connection.settimeout(seconds)
            with contextlib.suppress(ConnectionResetError):
                if received := until(connection, b"\r\n\r\n"):
                    return connection, received
            connection.close()  # a check, which ends or resets the connection
        raise TimeoutError("nobody asks")

    def close(self):
        self.listener.close()


@contextlib.contextmanager
def running(server, **variables):
    """A balancer that runs, and serves nothing yet.

    :param server: real_nginx or real_haproxy
    :param variables: of its roles
    """
    with server.Balancer(**variables) as balancer:
        balancer.sync(catalog())
        balancer.start()
        yield balancer


def until(connection, end: bytes, received=b"") -> bytes:
    """What comes on a connection until this has come, too, or the connection ends."""
    while end not in received and (piece := connection.recv(65536)):
        received += piece
    return received


def _titled(headers) -> dict:
    """Headers by their usual names; HTTP does not tell cases apart, and HAProxy sends all in lower case."""
    return {UPPER.get(name.title(), name.title()): value for name, value in headers.items()}


def entry(port: int, tags=("http",), **settings) -> dict:
    """An instance as in the catalog, with settings in its meta."""
    meta = {f"balancer_{key}": value for key, value in settings.items()}
    return {"id": "i", "node": "n", "address": ADDRESS, "port": port, "tags": list(tags), "weight": 1, "meta": meta}


def catalog(**services) -> dict:
    """catalog(name=[entries]); underscores become hyphens."""
    listed = [{"name": name.replace("_", "-"), "instances": found} for name, found in services.items()]
    return {"consul": 3, "services": listed, "skipped": []}


def apply(balancer, **services) -> dict:
    """Have a running balancer serve these services alone; no old worker answers any more. The status."""
    before = balancer.taking()
    status = balancer.sync(catalog(**services))
    assert status["state"] == "ok", status["reason"]
    if status["last_reload"] == status["time"]:
        balancer.taken_over(before)
    return status


def certificate(folder, *names: str, key=("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")):
    """A certificate for these names that signs itself: (file, file of its key)."""
    stem = folder / names[0].replace("*", "any")
    files = stem.with_suffix(".pem"), stem.with_suffix(".key")
    alternatives = ",".join(f"DNS:{name}" for name in names)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", "2",
         "-subj", f"/CN={names[0]}", "-addext", f"subjectAltName={alternatives}", "-out", files[0], "-keyout", files[1]],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return tuple(map(str, files))
