"""Settings of virtual hosts in the services' meta, and the headers about clients that the balancer sets."""

import http.client
import json

from tests.support.balancer import synced
from tests.support.clients import http_get
from tests.support.wait import everywhere


def ask(balancer, host: str, path: str = "/", **headers: str):
    """Status, headers and body of one answer."""
    connection = http.client.HTTPConnection(balancer.address, 80, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host, **{key.replace("_", "-"): v for key, v in headers.items()}})
        source = connection.sock.getsockname()[0]
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode(), source
    finally:
        connection.close()


def answer_of(balancer, host: str, path: str = "/", **headers: str) -> list:
    """The answer of an instance: name, path, headers."""
    status, _, body, _ = ask(balancer, host, path, **headers)
    assert status == 200, f"{status}: {body[:200]}"
    return json.loads(body)


def test_h8_services_share_a_host_by_path(site, serve, show):
    where = site.docker_hosts[0]
    web = serve(where, "test-web", "http", hosts="portal.example.org")
    api = serve(where, "test-api", "http", hosts="portal.example.org", path="/api", strip="true", read_timeout="5m")
    names = {"/": f"test-web-{web.port}", "/apix": f"test-web-{web.port}", "/api/x?y=1": f"test-api-{api.port}"}
    took = everywhere(
        site.balancers,
        lambda b: {path: answer_of(b, "portal.example.org", path)[0] for path in names} == names and synced(b, "test-api"),
        30,
    )
    show(f"both services on one host after: {took}")
    for balancer in site.balancers:
        assert answer_of(balancer, "portal.example.org", "/api/x?y=1")[1] == "/x?y=1"
        assert ask(balancer, site.host_of("test-web"))[0] == 503  # its own names replace the default
        lines = balancer.run("discovery-balancer status").splitlines()
        assert [line for line in lines if "test-" in line and not line.startswith("http: ")] == []


def test_h8_invalid_settings_are_reported_and_ignored(site, serve):
    serve(site.docker_hosts[0], "test-odd", "http", weight="many", read_timeout="5; evil", hosts="a b_c;")
    host = site.host_of("test-odd")
    everywhere(site.balancers, lambda b: http_get(b.address, host).status == 200, 30)

    def reported(balancer) -> bool:
        """The status comes a moment after the reload."""
        status = balancer.run("discovery-balancer status")
        return all(f"balancer_{key}" in status for key in ("weight", "read_timeout", "hosts"))

    everywhere(site.balancers, reported, 30)


def test_h8_forwarding_headers_of_clients_are_not_trusted(site, serve):
    serve(site.docker_hosts[0], "test-web", "http")
    host = site.host_of("test-web")
    everywhere(site.balancers, lambda b: http_get(b.address, host).status == 200 and synced(b, "test-web"), 30)
    lies = {"X_Forwarded_For": "192.0.2.1", "X_Real_IP": "192.0.2.1", "Forwarded": "for=192.0.2.1", "X_Forwarded_Proto": "https"}
    for balancer in site.balancers:
        _, _, body, source = ask(balancer, host, **lies)
        # HAProxy writes names in lower case.
        known = {name.replace("_", "-").lower() for name in lies}
        found = {name.lower(): value for name, value in json.loads(body)[2].items() if name.lower() in known}
        assert found == {"x-forwarded-for": source, "x-real-ip": source, "x-forwarded-proto": "http"}


def test_h12_pages_are_for_people(site):
    for balancer in site.balancers:
        for host, status, retry in ((site.host_of("never-was"), 503, "5"), ("external.example.org", 404, None)):
            answer = http_get(balancer.address, host)
            assert (answer.status, answer.headers["Content-Type"], answer.headers["Retry-After"]) == (status, "text/html", retry)
            assert answer.body.startswith("<!doctype html>")
