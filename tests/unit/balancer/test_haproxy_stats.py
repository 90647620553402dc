"""HAProxy's own page: off unless a port is set, for the host and management networks alone, and it changes nothing."""

import http.client

import pytest
from tests.support.ports import free_port

from discovery_balancer.backends.haproxy.options import HaproxyOptions
from discovery_balancer.backends.haproxy.render import files, layout
from discovery_balancer.options import Options
from discovery_balancer.plan import Plan
from instances import Instance, catalog, entry
from real_haproxy import Balancer
from real_nginx import ADDRESS

NETWORK, ADMIN, STRANGER = "127.0.71.0/24", "127.0.71.9", "127.0.72.9"


def section(own, **given) -> list[str]:
    text = files(layout(Plan(), Options("hospital.example", **given), own))["services.cfg"]
    lines = text.split("\n")
    start = lines.index("frontend discovery_stats") if "frontend discovery_stats" in lines else len(lines)
    return [line.strip() for line in lines[start:][: next((n for n, x in enumerate(lines[start + 1 :], 1) if x[:1] != " "), 0)]]


def test_there_is_none_by_default():
    assert section(HaproxyOptions()) == []


def test_it_is_for_the_host_and_the_networks_and_not_through_a_load_balancer():
    own = HaproxyOptions(stats_port=8404, stats_networks=("10.8.0.0/24", "2001:db8::/64"))
    assert section(own, addresses=("192.0.2.2",), balancers=("192.0.2.1", "192.0.2.2")) == [
        "frontend discovery_stats", "bind 0.0.0.0:8404", "maxconn 32",
        "tcp-request connection reject if { src 192.0.2.1 192.0.2.2 }",
        "tcp-request connection reject unless { src 127.0.0.1 ::1 10.8.0.0/24 2001:db8::/64 }",
        "stats enable", "stats uri /", "stats hide-version",
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [
    {"stats_port": -1}, {"stats_port": 65536}, {"stats_port": "8404"}, {"stats_port": True}, {"stats_networks": ("office",)},
])  # fmt: skip
def test_what_could_not_be_rendered_is_refused(wrong):
    with pytest.raises(ValueError):
        HaproxyOptions(**wrong)


@pytest.fixture(scope="module")
def running():
    """It serves one instance, and its page on a port."""
    port, instance = free_port(), Instance("web")
    with Balancer(haproxy_stats_port=port, haproxy_stats_networks=[NETWORK, f"{ADDRESS}/32"]) as balancer:
        balancer.stats_port = port
        balancer.sync(catalog(web=[entry(instance.port)]))
        balancer.start()
        yield balancer
    instance.close()


def answer(balancer, source: str, path: str = "/", method: str = "GET", body=None) -> tuple[int, str]:
    """Status and body of the page for a client with this address; 0 where it is cut off."""
    connection = http.client.HTTPConnection(ADDRESS, balancer.stats_port, timeout=5, source_address=(source, 0))
    try:
        connection.request(method, path, body)
        got = connection.getresponse()
        return got.status, got.read().decode()
    except (TimeoutError, http.client.RemoteDisconnected, ConnectionError) as error:
        return 0, repr(error)
    finally:
        connection.close()


@pytest.mark.parametrize("source", ["127.0.0.1", ADMIN])
def test_it_shows_services_and_no_version(running, source):
    status, body = answer(running, source)
    assert status == 200 and "http_web" in body and "discovery_http" in body
    assert "version 2" not in body and "version 3" not in body


@pytest.mark.parametrize("source", [STRANGER, ADDRESS], ids=["a stranger", "a load balancer of its networks"])
def test_nobody_else_gets_an_answer(running, source):
    assert answer(running, source)[0] == 0


def test_it_changes_nothing(running):
    before = running.backend.running()
    status, _ = answer(running, ADMIN, "/", "POST", "s=x&action=drain&b=http_web")
    assert status != 200 and running.backend.running() == before and running.ask("web")[0] == 200


def test_no_service_takes_its_port(running):
    status = running.sync(catalog() | {"services": [
        {"name": f"echo-{running.stats_port}", "instances": [entry(running.stats_port) | {"tags": ["tcp"]}]},
    ]})  # fmt: skip
    assert [one["reason"] for one in status["skipped"]] == [f"port {running.stats_port} is reserved"]
    assert answer(running, ADMIN)[0] == 200
