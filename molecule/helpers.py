"""What the tests of a running site share: waiting, asking over HTTP, TCP, DNS and Consul's API."""

import functools
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.query

BACKEND_BODY = "this is httpbackendservice, version: v1.0.0\n"
FRONT_BODY = f"this is httpfrontservice, version: v1.0.0, calling backendservice ok, its resp: [{BACKEND_BODY}]"
NOT_YET = (AssertionError, OSError, RuntimeError, http.client.HTTPException)


def eventually(probe, seconds: float, every: float = 0.3):
    """Call a probe until it returns something true.

    :param probe: called without arguments; an error out of NOT_YET counts as "not yet"
    :param seconds: the bound
    :returns: what the probe returned, and the seconds it took
    :raises AssertionError: the bound has passed; says what was still wrong
    """
    start = time.monotonic()
    while True:
        problem = "still not so"
        try:
            if value := probe():
                return value, time.monotonic() - start
        except NOT_YET as error:
            problem = f"{type(error).__name__}: {error}"
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds} s: {problem}")
        time.sleep(every)


class Repeating:
    """Takes a step over and over, in a thread of its own, while the block runs. A subclass says which step."""

    pause = 0.1  # seconds between two steps

    def __init__(self):
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self.pause):
            self.step()

    def step(self) -> None:
        raise NotImplementedError


def everywhere(nodes, probe, seconds: float) -> str:
    """Wait until `probe(node)` is true on each node; the seconds each took, as text."""
    took = [f"{node.name} {eventually(functools.partial(probe, node), seconds)[1]:.1f} s" for node in nodes]
    return ", ".join(took)


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


class Consul:
    """The HTTPS API of one agent, seen from outside: verified by the site's CA.

    :param token: SecretID, or None for an anonymous caller
    """

    def __init__(self, address: str, ca: Path, token: str | None):
        self.base = f"https://{address}:8501"
        self.tls = ssl.create_default_context(cafile=str(ca))
        self.headers = {"X-Consul-Token": token} if token else {}

    def open(self, path: str, method: str = "GET", body=None):
        """Ask for a path; the response, to be closed. A body goes as JSON, bytes go as they are."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, headers=self.headers, method=method)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.tls)
        )
        return opener.open(request, timeout=10)

    def ask(self, path: str, method: str = "GET", body=None):
        """Ask for a path; the decoded JSON and the response headers."""
        with self.open(path, method, body) as response:
            content = response.read()
            return json.loads(content) if content else None, response.headers

    def get(self, path: str):
        """GET a path; the decoded JSON."""
        return self.ask(path)[0]

    def put(self, path: str, body=None):
        """PUT a path, `body` as JSON; the decoded JSON."""
        return self.ask(path, "PUT", body)[0]

    def tell(self, method: str, path: str, body=None) -> None:
        """Do something whose answer does not matter, or is empty; an error is an urllib.error.HTTPError."""
        self.open(path, method, body).close()

    def health(self) -> dict:
        """Autopilot's view of the servers; it answers 429, with the same body, while one is not healthy."""
        try:
            return self.get("/v1/operator/autopilot/health")
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
            return json.load(error)
