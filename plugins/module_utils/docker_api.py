"""The HTTP API of dockerd on its local socket, as far as the modules need it: JSON in, JSON out."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess

SOCKET = "/run/docker.sock"
SECONDS = 10  # for an answer of systemd


class DockerError(Exception):
    """dockerd answered, with a status of 400 or more.

    :ivar status: the HTTP status, an int
    """

    def __init__(self, status: int, text: str):
        super().__init__(f"{status} {text}".strip())
        self.status = status


def dockerd_runs() -> bool:
    """Whether dockerd of this host runs. To be asked before dockerd is: docker.socket stays active beside one that stops or was
    stopped, and any request to it starts it with all its containers.

    :raises subprocess.TimeoutExpired: systemd gives no answer
    """
    command = ["systemctl", "is-active", "--quiet", "docker.service"]
    return os.path.exists(SOCKET) and subprocess.run(command, timeout=SECONDS, check=False).returncode == 0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class DockerApi:
    """dockerd of this host. While it is stopped, a request to its socket starts it: see dockerd_runs.

    :param timeout: seconds for one request
    """

    def __init__(self, path: str = SOCKET, timeout: float = 10):
        self.path = path
        self.timeout = timeout

    def get(self, path: str):
        """GET a path such as /info.

        :returns: the decoded JSON; of several documents (events) a list
        :raises DockerError: an answer of 400 or more
        :raises OSError: no answer
        """
        content = self._request("GET", path)
        if path.startswith("/events"):
            return [json.loads(line) for line in content.splitlines() if line.strip()]
        return json.loads(content)

    def post(self, path: str, body=None) -> None:
        """POST a path; `body` is sent as JSON. Raises as `get`."""
        self._request("POST", path, body)

    def delete(self, path: str) -> None:
        """DELETE a path. Raises as `get`."""
        self._request("DELETE", path)

    def _request(self, method: str, path: str, body=None) -> str:
        connection = _Connection(self.path, self.timeout)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read().decode()
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise DockerError(answer.status, content.strip()[:500])
        return content

    def containers(self, running: bool = False) -> list[dict]:
        """The inspections of the containers; one that is removed meanwhile is skipped."""
        found = []
        for entry in self.get("/containers/json" if running else "/containers/json?all=1"):
            try:
                found.append(self.get(f"/containers/{entry['Id']}/json"))
            except DockerError:
                continue
        return found
