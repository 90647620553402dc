"""The HTTP API of the container engine on its local socket, as far as the modules need it: JSON in, JSON out."""

from __future__ import annotations

import http.client
import json
import socket

SOCKET = "/run/docker.sock"


class EngineError(Exception):
    """The engine answered with a status of 400 or more.

    :ivar status: the HTTP status, an int
    """

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


class Engine(http.client.HTTPConnection):
    """The engine of this host.

    :param path: its socket
    :param timeout: seconds for one request
    """

    def __init__(self, path: str = SOCKET, timeout: float = 60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def get(self, path: str):
        """GET a path such as /info.

        :returns: the decoded JSON; None for an empty answer
        :raises EngineError: an answer of 400 or more, with the engine's message
        :raises OSError, http.client.HTTPException: no answer
        """
        return self._ask("GET", path)

    def post(self, path: str, body=None):
        """POST a path; `body` is sent as JSON. Returns and raises as `get`."""
        return self._ask("POST", path, body)

    def delete(self, path: str):
        """DELETE a path. Returns and raises as `get`."""
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body)
        try:
            self.request(method, path, data, {"Content-Type": "application/json"})
            answer = self.getresponse()
            content = answer.read()
        finally:
            self.close()
        said = _decoded(content)
        if answer.status >= 400:
            raise EngineError(answer.status, said.get("message", "") if isinstance(said, dict) else str(said))
        return said


def _decoded(content: bytes):
    """JSON where it is JSON; some answers are plain text or empty."""
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace").strip()
