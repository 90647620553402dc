"""The HTTPS API of this host's Consul agent, as far as the modules need it: JSON in, JSON out.

The agent proves itself by a certificate of the site's CA before it gets a token: while it is down, any local user may listen on
its port.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request

AGENT = "https://127.0.0.1:8501"
CA = "/etc/consul.d/tls/ca.pem"
# An agent remembers for 30 s that the cluster does not know a token, and which policies one has (acl.token_ttl, acl.policy_ttl).
SECONDS_TO_ACCEPT = 35


class ApiError(Exception):
    """The agent answered, with a status of 400 or more.

    :ivar status: the HTTP status, an int
    :ivar text: the body, whole
    """

    def __init__(self, status: int, text: str):
        super().__init__(f"{status} {text[:500]}")
        self.status = status
        self.text = text


class Api:
    """One agent.

    :param token: SecretID, '' for an anonymous caller
    :param timeout: seconds for one request
    :param base: address of the API
    :param ca: file of the CA that verifies the agent
    """

    def __init__(self, token: str = "", timeout: float = 10, base: str = AGENT, ca: str = CA):
        self.base = base
        self.ca = ca
        self.timeout = timeout
        self.headers = {"X-Consul-Token": token} if token else {}

    def get(self, path: str):
        """GET a path such as /v1/status/leader.

        :returns: the decoded JSON
        :raises ApiError: an answer of 400 or more
        :raises OSError: no answer
        """
        return self._ask("GET", path)

    def put(self, path: str, body=None):
        """PUT a path; `body` is sent as JSON. Returns and raises as `get`."""
        return self._ask("PUT", path, body)

    def put_text(self, path: str, text: str):
        """PUT a text as it is, such as the value of a key. Returns and raises as `get`."""
        return self._ask("PUT", path, text.encode())

    def post(self, path: str, body=None):
        """POST a path; `body` is sent as JSON. Returns and raises as `get`."""
        return self._ask("POST", path, body)

    def delete(self, path: str, body=None):
        """DELETE a path; `body` is sent as JSON. Returns and raises as `get`."""
        return self._ask("DELETE", path, body)

    def _ask(self, method: str, path: str, body=None):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, headers=self.headers, method=method)
        try:
            with self._opener().open(request, timeout=self.timeout) as answer:
                return _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(error.code, error.read().decode(errors="replace").strip()) from None

    def _opener(self) -> urllib.request.OpenerDirector:
        """Without any proxy; reads the CA at every request, because the file changes with the CA.

        :raises OSError: there is no CA on this host
        """
        context = ssl.create_default_context(cafile=self.ca)
        return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))


def _decoded(content: bytes):
    """JSON where it is JSON; some answers are plain text or empty."""
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


def refusal(api: Api, path: str = "/v1/agent/services") -> str:
    """Why an agent refuses a token; '' when it does not, also because it does not answer.

    :param path: what the token is to read
    """
    try:
        api.get(path)
    except ApiError as error:
        return str(error) if error.status == 403 else ""
    except OSError:
        pass
    return ""


def wait_until(probe, seconds: float, every: float = 0.5, clock=time.monotonic, sleep=time.sleep) -> str:
    """Call a probe until it finds nothing to wait for.

    :param probe: returns '' when all is well, else what is still missing; an OSError or ApiError counts as missing
    :param seconds: the bound
    :returns: '' or, after the bound, what was still missing
    """
    end = clock() + seconds
    while True:
        try:
            missing = probe()
        except (OSError, ApiError) as error:
            missing = f"the agent's API: {error}"
        if not missing or clock() > end:
            return missing
        sleep(every)
