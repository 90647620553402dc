"""The Consul agent's HTTP API, /v1/agent/* with one exception: reads and changes the registered services.

Runs on the host, too: Python 3.9.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import ssl
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from .unix import UnixConnection

TIMEOUT = 10  # seconds
DEFAULT_URI = "consul://127.0.0.1:8500"
EXPECTED = (
    "consul://<address>:<port>, consul-tls://<address>:<port> or consul-unix:///<path> expected, such as "
    f"{DEFAULT_URI}, without user, query or fragment"
)
TOKEN = re.compile(r"[!-~]*")
TOKEN_FILE, CATALOG_TOKEN_FILE = "CONSUL_HTTP_TOKEN_FILE", "CONSUL_CATALOG_TOKEN_FILE"
# Names of the original; its older builds had the second ones.
CLIENT_CERT, CLIENT_KEY = ("CONSUL_CLIENT_CERT", "CONSUL_TLSCERT"), ("CONSUL_CLIENT_KEY", "CONSUL_TLSKEY")


class AgentError(Exception):
    """The agent cannot be used now; trying again later may help."""


class Refused(Exception):
    """The agent refused one request; the others may still succeed."""

    def __init__(self, status: int, text: str):
        super().__init__(f"{status} {text}")
        self.status = status


class Target(NamedTuple):
    """Address of the agent: host and port, in clear or by TLS, or the path of a socket."""

    scheme: str
    host: str
    port: int
    path: str = ""


def target(uri: str) -> Target:
    """Parse a URI of the original.

    :param uri: consul://h:p, consul-tls://h:p, consul-unix:///path; `consul:` and `consul://` are DEFAULT_URI
    :raises ValueError: it is none of them; the message holds nothing of it, because a secret may have slipped in
    """
    try:
        parts = urlsplit(DEFAULT_URI if uri in ("consul:", "consul://") else uri)
        host, port, path = parts.hostname or "", parts.port or 0, parts.path
    except ValueError:
        raise ValueError(EXPECTED) from None
    network = parts.scheme in ("consul", "consul-tls") and host and port and path in ("", "/")
    socket = parts.scheme == "consul-unix" and path.startswith("/") and not parts.netloc
    if not (network or socket) or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(EXPECTED)
    return Target(parts.scheme, host, port, path if socket else "")


def read_token(variable: str = TOKEN_FILE) -> str:
    """The token, read at every use, so that a replaced file is used at once.

    :param variable: of the environment, with the path of its file
    :raises AgentError: it is not one word of ASCII; the message does not hold it
    """
    path = os.environ.get(variable) or os.environ.get(TOKEN_FILE)
    if path:
        with open(path, encoding="utf-8", errors="replace") as file:
            token = file.read().strip()
    else:
        token = os.environ.get("CONSUL_HTTP_TOKEN", "")
    if not TOKEN.fullmatch(token):
        raise AgentError(f"the token in {path or 'CONSUL_HTTP_TOKEN'} is not one word")
    return token


def tls_files() -> tuple[str | None, str | None, str | None]:
    """CA, client certificate and its key."""
    ca = os.environ.get("CONSUL_CACERT") or None
    cert, key = (next((os.environ[name] for name in names if os.environ.get(name)), None) for names in (CLIENT_CERT, CLIENT_KEY))
    return ca, cert, key


def tls_context() -> ssl.SSLContext:
    """CA and client certificate, read for every connection.

    :raises AgentError: a file cannot be read or is no certificate
    """
    ca, cert, key = tls_files()
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert:
            context.load_cert_chain(cert, key)
    except OSError as error:
        raise AgentError(f"certificates CONSUL_CACERT={ca or ''} CONSUL_CLIENT_CERT={cert or ''}: {error}") from None
    return context


def tls_versions() -> tuple:
    """Distinguishes contents of the files of TLS: a connection of before a change is not used any more."""
    found: list[tuple[int, int] | None] = []
    for path in tls_files():
        try:
            status = os.stat(path) if path else None
        except OSError:
            status = None
        found.append((status.st_ino, status.st_mtime_ns) if status else None)
    return tuple(found)


def token_digest() -> str:
    """Distinguishes tokens without revealing one."""
    token = read_token()
    return hashlib.sha256(token.encode()).hexdigest()[:16] if token else ""


class Agent:
    """Keeps its connection: a new one by TLS takes seven times as long."""

    def __init__(self, uri: str, timeout: float = TIMEOUT):
        self._target, self._timeout = target(uri), timeout
        self._kept: http.client.HTTPConnection | None = None
        self._versions: tuple = ()

    def services(self) -> dict[str, dict]:
        return self._read("/v1/agent/services")

    def checks(self) -> dict[str, dict]:
        return self._read("/v1/agent/checks")

    def node(self) -> str:
        """The agent's name in the catalog, which its checks carry; '' where it has none."""
        return next((check["Node"] for check in self.checks().values()), "")

    def register(self, payload: dict) -> None:
        self._request("PUT", "/v1/agent/service/register", payload)

    def deregister(self, service_id: str) -> None:
        self._remove(f"/v1/agent/service/deregister/{quote(service_id, safe=':')}")

    def deregister_in_catalog(self, node: str, service_id: str) -> None:
        """Deregister a service in the catalog itself. Returns when the servers have agreed on it, which the agent's own sync
        does not show; fails without a leader. Needs write permission for the node, which the registrator's own token has not,
        or for the service.

        https://developer.hashicorp.com/consul/api-docs/catalog#deregister-entity
        """
        try:
            self._request("PUT", "/v1/catalog/deregister", {"Node": node, "ServiceID": service_id}, CATALOG_TOKEN_FILE)
        except AgentError as error:
            if "Unknown service ID" not in str(error):  # the agent has synced before
                raise

    def drop_check(self, check_id: str) -> None:
        self._remove(f"/v1/agent/check/deregister/{quote(check_id, safe=':')}")

    def set_health(self, check_id: str, status: str, output: str) -> None:
        path = f"/v1/agent/check/update/{quote(check_id, safe=':')}"
        self._request("PUT", path, {"Status": status, "Output": output})

    def _connection(self) -> http.client.HTTPConnection:
        scheme, host, port, path = self._target
        if scheme == "consul-unix":
            return UnixConnection(path, self._timeout)
        if scheme == "consul-tls":
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=tls_context())
        return http.client.HTTPConnection(host, port, timeout=self._timeout)

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

    def _request(self, method: str, path: str, body: dict | None = None, token_file: str = TOKEN_FILE) -> bytes:
        status, content = self._exchange(method, path, None if body is None else json.dumps(body), read_token(token_file))
        if status == 200:
            return content
        text = content[:300].decode(errors="replace").strip()
        if 400 <= status < 500 and status != 429:
            raise Refused(status, text)
        raise AgentError(f"{method} {path}: {status} {text}")

    def _exchange(self, method: str, path: str, body: str | None, token: str) -> tuple[int, bytes]:
        """Status and content; once more on a new connection where the agent has closed the kept one: all are idempotent."""
        if self._versions != (versions := tls_versions()):
            self._close()
        kept = self._kept
        try:
            connection = self._kept = kept or self._connection()
            self._versions = versions
            connection.request(method, path, body=body, headers={"X-Consul-Token": token} if token else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except BaseException as error:
            self._close()
            if kept and isinstance(error, (OSError, http.client.HTTPException)) and not isinstance(error, TimeoutError):
                return self._exchange(method, path, body, token)
            raise

    def _close(self) -> None:
        if self._kept:
            self._kept.close()
        self._kept = None
