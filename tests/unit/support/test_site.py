"""The site under test, as far as its hosts can be asked side by side and once."""

import functools
import json
import threading
from types import SimpleNamespace

import pytest
from tests.support import site as sites
from tests.support.fixtures import start_container
from tests.support.site import Site


def container(name: str, port: int, address: str = "") -> dict:
    networks = {"discovery": {"IPAddress": address}} if address else {}
    bindings = [{"HostIp": ip, "HostPort": str(port)} for ip in ("0.0.0.0", "::")]
    return {
        "Name": f"/{name}",
        "Config": {"ExposedPorts": {"8080/tcp": {}}},
        "NetworkSettings": {"Networks": networks, "Ports": {"8080/tcp": bindings, "9/tcp": None}},
    }


class Host:
    """A docker host with containers; it keeps the commands that it was given."""

    def __init__(self, name: str, *containers: dict):
        self.name, self.address, self.containers, self.commands = name, f"192.0.2.{name[-1]}", containers, []

    def run(self, command: str) -> str:
        self.commands.append(command)
        chosen = [one for one in self.containers if f"name=^{one['Name'][1:]}$" in command]
        return json.dumps(chosen) if chosen else ""

    tries = run


@pytest.fixture
def site(monkeypatch):
    """site(*hosts, network=…): a site of these docker hosts."""

    def made(*hosts: Host, network: str = "") -> Site:
        monkeypatch.setattr(Site, "docker_hosts", list(hosts))
        one = object.__new__(Site)
        one.network, one.names_by_host = network, bool(network)
        return one

    return made


def test_each_host_is_asked_once_for_all_services(site):
    first, second = Host("a-1", container("web", 1), container("shop", 2)), Host("a-2", container("web", 3))
    found = site(first, second).published_of_each(["web", "shop", "none"])
    assert found == {"web": {("192.0.2.1", 1), ("192.0.2.2", 3)}, "shop": {("192.0.2.1", 2)}, "none": set()}
    asked = "docker ps -q --filter 'name=^web$' --filter 'name=^shop$' --filter 'name=^none$'"
    assert [len(host.commands) for host in (first, second)] == [1, 1] and asked in first.commands[0]


def test_one_service_and_a_host_without_containers(site):
    assert site(Host("a-1", container("web", 1)), Host("a-2")).published("web") == {("192.0.2.1", 1)}


def test_in_the_overlay_network_a_container_has_its_own_address_and_its_hosts_name(site):
    found = site(Host("a-1", container("web-a-1", 1, "10.90.0.5")), network="discovery").published_of_each(["web"])
    assert found == {"web": {("10.90.0.5", 8080)}}


def test_a_site_is_healthy_when_catalog_and_containers_agree(site, monkeypatch):
    """The sample services of all hosts by one question to each host."""
    names = [service["name"] for service in sites.SAMPLE_SERVICES]
    hosts = [Host(f"a-{n}", *(container(name, 10 * n + i) for i, name in enumerate(names))) for n in (1, 2)]
    one = site(*hosts)
    monkeypatch.setattr(Site, "servers", [])
    monkeypatch.setattr(Site, "balancers", [])
    monkeypatch.setattr(Site, "domain", "hospital.example", raising=False)
    monkeypatch.setattr(Site, "leader", lambda self: "x:8300")
    monkeypatch.setattr(Site, "consul", lambda self, node=None: SimpleNamespace(get=lambda path: {"Healthy": True}))
    monkeypatch.setattr(Site, "passing", lambda self, service, asked=None: one.published(service))
    monkeypatch.setattr(sites, "http_get", lambda *_: SimpleNamespace(status=200, body=sites.FRONT_BODY))
    assert one.is_healthy()
    monkeypatch.setattr(Site, "passing", lambda self, service, asked=None: set())
    with pytest.raises(AssertionError, match="in the catalog"):
        one.is_healthy()


def test_a_server_that_lags_behind_is_not_healthy(site, monkeypatch):
    one, applied = site(), {"a": 70, "b": 69}
    monkeypatch.setattr(Site, "servers", [SimpleNamespace(name=name) for name in applied])
    monkeypatch.setattr(Site, "leader", lambda self: "x:8300")
    monkeypatch.setattr(Site, "consul", lambda self, node=None: SimpleNamespace(get=lambda path: {"Healthy": True}))
    monkeypatch.setattr(Site, "raft", lambda self, node: {"commit_index": applied["a"], "applied_index": applied[node.name]})
    with pytest.raises(AssertionError, match="b: has applied 69 of 70 changes"):
        one.is_healthy()


def test_containers_of_a_test_are_removed_on_all_hosts_at_the_same_time():
    """Each host waits for the other one; a host is told of all of its containers at once."""
    both = threading.Barrier(2, timeout=10)
    removed = []

    def tries(host, command: str) -> None:
        both.wait()
        removed.append((host.name, command))

    hosts = [Host("a-1"), Host("a-2")]
    for host in hosts:
        host.tries = functools.partial(tries, host)
    steps = start_container.__wrapped__(SimpleNamespace(network=""), None)
    start = next(steps)
    for host, name in ((hosts[0], "one"), (hosts[1], "two"), (hosts[0], "three")):
        start(host, name, "web:1")
    assert list(steps) == []
    assert sorted(removed) == [("a-1", "docker rm -f one three"), ("a-2", "docker rm -f two")]
