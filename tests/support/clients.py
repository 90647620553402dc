"""Clients of a site: one request over HTTP, TCP or DNS each, and what the sample services answer."""

import http.client
import socket
from dataclasses import dataclass

import dns.message
import dns.query


def backend_body(version: str) -> str:
    """The body of each answer of a container of the image httpbackend, by its VERSION."""
    return f"this is httpbackendservice, version: {version}\n"


BACKEND_BODY = backend_body("v1.0.0")
FRONT_BODY = f"this is httpfrontservice, version: v1.0.0, calling backendservice ok, its resp: [{BACKEND_BODY}]"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, with the address this machine asked from."""

    status: int
    headers: http.client.HTTPMessage
    body: str
    source: str


def http_get(address: str, host: str, port: int = 80) -> Answer:
    """Ask a balancer (or, at its port, an instance) for the virtual host `host`, on a connection of its own."""
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request("GET", "/", headers={"Host": host})
        source = connection.sock.getsockname()[0]
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode(), source)
    finally:
        connection.close()


def tcp_echo(address: str, port: int, line: str) -> str:
    """Send one line over TCP; the line that comes back ("" when the connection was closed instead)."""
    with socket.create_connection((address, port), timeout=5) as connection:
        connection.sendall(f"{line}\n".encode())
        return connection.makefile().readline().rstrip("\n")


def tcp_open(address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def dns_ask(address: str, name: str, kind: str) -> dns.message.Message:
    """One DNS question over UDP to one server."""
    return dns.query.udp(dns.message.make_query(name, kind, use_edns=0, payload=1232), address, timeout=3)


def lost_lookups(node, name: str, count: int = 100) -> int:
    """How many of `count` lookups of a name on a host fail."""
    return int(node.run(f"for i in $(seq {count}); do getent hosts {name} >/dev/null || echo lost; done | wc -l"))


class Websocket:
    """A websocket through a balancer; what is sent comes back."""

    def __init__(self, balancer, host: str):
        self.connection = socket.create_connection((balancer.address, 80), 10)
        # HAProxy 2.6 answers 400 without a key (RFC 6455, 4.2.1).
        head = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        self.connection.sendall((head + key).encode())
        self.lines = self.connection.makefile("rb")
        assert self.lines.readline().startswith(b"HTTP/1.1 101 ")
        while self.lines.readline().strip():
            pass

    def echoes(self, text: str) -> bool:
        self.connection.sendall(f"{text}\n".encode())
        return self.lines.readline() == f"{text}\n".encode()
