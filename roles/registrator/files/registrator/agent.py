"""The Consul agent's HTTP API, /v1/agent/* only: what is registered here, and how to change it.

Runs on the host, too: Python 3.9.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
from urllib.parse import quote, urlsplit

TIMEOUT = 10  # seconds


class AgentError(Exception):
    """The agent cannot be used now; trying again later may help."""


class Refused(Exception):
    """The agent refused one request; the others may still succeed."""

    def __init__(self, status: int, text: str):
        super().__init__(f"{status} {text}")
        self.status = status


def read_token() -> str:
    """The token, read at every use, so that a replaced file counts at once."""
    path = os.environ.get("CONSUL_HTTP_TOKEN_FILE")
    if not path:
        return os.environ.get("CONSUL_HTTP_TOKEN", "")
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def token_digest() -> str:
    """Tells one token from another without telling the token."""
    token = read_token()
    return hashlib.sha256(token.encode()).hexdigest()[:16] if token else ""


class Agent:
    def __init__(self, uri: str, timeout: float = TIMEOUT):
        parts = urlsplit(uri)
        self._host, self._port, self._timeout = parts.hostname, parts.port, timeout

    def services(self) -> dict[str, dict]:
        return self._read("/v1/agent/services")

    def checks(self) -> dict[str, dict]:
        return self._read("/v1/agent/checks")

    def register(self, payload: dict) -> None:
        self._request("PUT", "/v1/agent/service/register", payload)

    def deregister(self, service_id: str) -> None:
        self._remove(f"/v1/agent/service/deregister/{quote(service_id, safe=':')}")

    def drop_check(self, check_id: str) -> None:
        self._remove(f"/v1/agent/check/deregister/{quote(check_id, safe=':')}")

    def set_health(self, check_id: str, status: str, output: str) -> None:
        path = f"/v1/agent/check/update/{quote(check_id, safe=':')}"
        self._request("PUT", path, {"Status": status, "Output": output})

    def _read(self, path: str) -> dict[str, dict]:
        try:
            return json.loads(self._request("GET", path))
        except (Refused, ValueError) as error:
            raise AgentError(f"GET {path}: {error}") from None

    def _remove(self, path: str) -> None:
        try:
            self._request("PUT", path)
        except Refused as error:
            if error.status != 404:
                raise

    def _request(self, method: str, path: str, body: dict | None = None) -> bytes:
        token = read_token()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            connection.request(
                method,
                path,
                body=None if body is None else json.dumps(body),
                headers={"X-Consul-Token": token} if token else {},
            )
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status == 200:
            return content
        text = content[:300].decode(errors="replace").strip()
        if 400 <= answer.status < 500 and answer.status != 429:
            raise Refused(answer.status, text)
        raise AgentError(f"{method} {path}: {answer.status} {text}")
