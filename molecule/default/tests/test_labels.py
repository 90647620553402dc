"""Labels of a service that change what a request or an answer may be: each by a real request through every balancer."""

import http.client

from tests.support.clients import http_get
from tests.support.wait import everywhere

LONGEST = 65_000  # of a header; Python's client reads lines of 65,536 bytes
SECONDS = 30  # for a service to be served


def ask(balancer, host: str, path: str = "/", method: str = "GET", body: bytes | None = None, **headers: str):
    """Status, headers and body of one answer; underscores in names of headers are hyphens."""
    connection = http.client.HTTPConnection(balancer.address, 80, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Host": host, **named})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def served(site, serve, name: str, **settings: str) -> str:
    """Serve an instance with these settings by every balancer; its host."""
    serve(site.docker_hosts[0], name, "http", **settings)
    host = site.host_of(name)
    everywhere(site.balancers, lambda b: http_get(b.address, host).status == 200, SECONDS)
    return host


def test_w8_p1_long_headers_of_answers(site, serve, show):
    plain, long = served(site, serve, "test-plain"), served(site, serve, "test-long", header_size="64k")
    for balancer in site.balancers:
        for host, length in ((plain, 4_500), (plain, 32 * 1024), (long, LONGEST)):
            status, headers, _ = ask(balancer, host, f"/header/{length}")
            assert (status, len(headers.get("X-Long", ""))) == (200, length), (balancer.name, host)
        show(f"{balancer.name}: headers of 32 KiB from any service, of 64 KiB from one with the label")
