"""W65: one client with more idle connections than a server has places takes none from the others; the distribution's servers."""

import contextlib
import http.client
import os
import socket
import ssl

import pytest
from tests.support.wait import eventually

import real_haproxy
import real_nginx
from discovery_balancer.backends.haproxy.options import HaproxyOptions
from discovery_balancer.backends.haproxy.render import files, layout
from discovery_balancer.backends.nginx.render import render_nginx
from discovery_balancer.options import Options
from discovery_balancer.plan import Instance as Placed
from discovery_balancer.plan import Plan, Service
from instances import Instance, apply, certificate, entry, running
from real_nginx import ADDRESS, DOMAIN

MOST = 20  # connections of one address
PLACES = {"nginx_worker_connections": 64, "haproxy_connections": 100}
SERVICE = Service("echo-9999", (Placed("10.0.0.1", 7),), 9999)
OPTIONS = Options(domain=DOMAIN)
IDLE, OTHER, PROXY = "127.0.71.31", "127.0.71.32", "127.0.71.33"


class Site:
    """A running balancer with a service of each kind, and where they are."""

    def __init__(self, balancer, ca):
        self.balancer, self.ca, self.echo = balancer, ca, balancer.ports[0]
        self.ports = {"http": balancer.http_port, "tls": balancer.tls_port, "tcp": self.echo}

    def connected(self, stack, kind, source, count) -> list:
        """So many connections, as far as the server takes them: each has had an answer, with TLS none has asked for a name."""
        found = []
        for _ in range(count):
            with contextlib.suppress(OSError):
                client = stack.enter_context(socket.create_connection((ADDRESS, self.ports[kind]), 10, (source, 0)))
                found.append(client)
                if kind != "tls":
                    client.sendall(f"GET / HTTP/1.1\r\nHost: web.{DOMAIN}\r\n\r\n".encode())
                    client.recv(65536)
        return found

    def status(self, kind, source) -> int:
        """Of the answer to a request on a connection of its own."""
        with socket.create_connection((ADDRESS, self.ports[kind]), 10, (source, 0)) as plain, contextlib.ExitStack() as stack:
            client, name = plain, f"web.{DOMAIN}"
            if kind == "tls":
                client = stack.enter_context(ssl.create_default_context(cafile=self.ca).wrap_socket(plain, server_hostname=name))
            client.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            answer = http.client.HTTPResponse(client)
            answer.begin()
            return answer.status


@pytest.fixture(scope="module", params=[real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def site(request, tmp_path_factory):
    ca, key = certificate(tmp_path_factory.mktemp("tls"), f"*.{DOMAIN}")
    places = {name: value for name, value in PLACES.items() if name.startswith(request.param.__name__.removeprefix("real_"))}
    chosen = {
        "balancer_client_open_connections": MOST, "balancer_trusted_proxies": [PROXY], "balancer_tcp_ports": "20000-32000",
        "balancer_certificates": [{"names": [f"*.{DOMAIN}"], "certificate": str(ca), "key": str(key)}],
    }  # fmt: skip
    instance = Instance()
    try:
        with running(request.param, **places, **chosen) as balancer:
            found = Site(balancer, ca)
            tcp = {f"echo_{found.echo}": [entry(instance.port, tags=["tcp"])]}
            status = apply(balancer, web=[entry(instance.port)], **tcp)
            assert status["skipped"] == []
            yield found
    finally:
        instance.close()


def is_open(client) -> bool:
    with contextlib.suppress(BlockingIOError):
        try:
            client.setblocking(False)
            return client.recv(1, socket.MSG_PEEK) != b""
        except ConnectionError:
            return False
    return True


def test_w65_http(site):
    """nginx takes back the place of whoever is idle for longest; HAProxy would have all wait, and closes what exceeds."""
    more = PLACES["nginx_worker_connections"] * (os.cpu_count() or 1) + 64
    with contextlib.ExitStack() as stack:
        site.connected(stack, "http", IDLE, more)
        assert [site.status("http", OTHER) for _ in range(10)] == [200] * 10


@pytest.mark.parametrize("kind", ["tls", "tcp"])
def test_w65_one_address_has_its_share_of_connections(site, kind):
    with contextlib.ExitStack() as stack:
        idle = site.connected(stack, kind, IDLE, 3 * MOST)
        eventually(lambda: sum(map(is_open, idle)) <= MOST, 30, every=0.05)
        assert sum(map(is_open, idle)) > 0, "the limit is no refusal of everything"
        assert [site.status(kind, OTHER) for _ in range(5)] == [200] * 5
    # Nobody counts those that have ended.
    eventually(lambda: answered(site, kind) == 200, 30, every=0.1)


def answered(site, kind) -> int:
    """The status of an answer to the client that had too many connections; 0 for none."""
    try:
        return site.status(kind, IDLE)
    except (OSError, http.client.HTTPException):
        return 0


def test_w65_a_proxy_that_the_site_trusts_may_have_more(site):
    with contextlib.ExitStack() as stack:
        idle = site.connected(stack, "tls", PROXY, MOST + 5)
        assert site.status("tls", PROXY) == 200
        assert sum(map(is_open, idle)) == MOST + 5


def test_w65_no_limit():
    plan = Plan(tcp=(SERVICE,), tls_port=443)
    assert "limit_conn" not in render_nginx(plan, OPTIONS)["stream.conf"]
    text = files(layout(plan, OPTIONS, HaproxyOptions(limits={"client_open_connections": 0})))["services.cfg"]
    assert "tcp-request connection" not in text


def test_w65_each_generation_of_nginx_counts_its_own_connections():
    """A worker that is killed leaves those that it has counted in the shared memory, and the client would be refused for ever."""
    plans = [Plan(tcp=(SERVICE,), tls_port=port) for port in (443, 444, 443)]
    found = [render_nginx(plan, OPTIONS, open_connections=7)["stream.conf"] for plan in plans]
    zones = [text.partition("zone=connections_")[2][:16] for text in found]
    assert zones[0] == zones[2] != zones[1] and f"\nlimit_conn connections_{zones[0]} 7;\n" in found[0]
    assert "limit_conn" not in render_nginx(Plan(), OPTIONS, open_connections=7)["stream.conf"], "without a listener"
