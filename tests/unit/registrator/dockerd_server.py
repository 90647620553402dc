"""A stand-in for dockerd on a unix socket of this machine."""

import http.server
import threading
from contextlib import contextmanager

from agent_server import UnixServer


@contextmanager
def dockerd_at(path, answer):
    """Answers requests on a socket; yields its address, as DOCKER_HOST has it, and the list of requests, (method, path).

    :param path: of the socket
    :param answer: (path of a request) -> status and body, bytes
    """
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.command, self.path))
            status, body = answer(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with UnixServer(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"unix://{path}", asked
        server.shutdown()
