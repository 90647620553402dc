"""Consul's API."""

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path


class Consul:
    """The HTTPS API of one agent, from outside: verified by the site's CA.

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

    def send(self, method: str, path: str, body=None) -> None:
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
