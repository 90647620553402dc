"""An agent of Consul on this machine: over TCP, TLS or a unix socket."""

import http.server
import json
import socketserver
import threading
from contextlib import contextmanager


@contextmanager
def agent_at(family=http.server.ThreadingHTTPServer, address=("127.0.0.1", 0), context=None, services=None, connections=None):
    """A server that answers GET with the services; yields its port (or path) and the list of tokens it was given.

    :param connections: gets an entry for each connection; `close`, when it is in there, ends each after its first answer
    """
    tokens = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            if connections is not None:
                connections.append("opened")

        def do_GET(self):
            tokens.append(self.headers.get("X-Consul-Token"))
            self.close_connection = bool(connections and connections[0] == "close")
            body = json.dumps(services or {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))  # else the next request begins with it
            self.do_GET()

        def log_message(self, *_):
            pass

    with family(address, Handler) as server:
        server.handle_error = lambda *_: None  # a client that refuses us
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server.server_address if isinstance(server.server_address, str) else server.server_address[1], tokens
        server.shutdown()


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    def get_request(self):
        return super().get_request()[0], ("local", 0)
