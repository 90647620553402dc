"""X7: no instance is the load balancer itself, by whichever address of it, and nobody is hurt by those that claim to be."""

import dataclasses
import json
import re

import pytest

from discovery_balancer import addresses
from discovery_balancer.backends.nginx.backend import Nginx
from discovery_balancer.options import Options
from discovery_balancer.plan import plan
from discovery_balancer.store import Store
from standins import Site
from test_plan import OPTIONS, catalog, instance, reasons, tcp
from test_x7_owners import Cluster, served

SITE = dataclasses.replace(
    OPTIONS,
    addresses=("192.168.0.129",),
    hosts={"c1": "192.168.0.129", "c2": "192.168.0.130", "c3": "192.168.0.131"},
    balancers=("192.168.0.129", "192.168.0.130"),
)
OWN = frozenset({"192.168.0.129/32", "172.17.0.1/32", "172.18.0.1/32", "10.7.0.9/32", "10.77.0.0/16", "fd00::9/128"})
TRIE = """\
Id 100:
  +-- 0.0.0.0/0 2 0 2
     |-- 0.0.0.0
        /0 host LOCAL
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
     +-- 172.17.0.0/16 2 0 2
        |-- 172.17.0.0
           /16 link UNICAST
        |-- 172.17.0.1
           /32 host LOCAL
        |-- 172.17.255.255
           /32 link BROADCAST
Local:
     |-- 10.77.0.0
        /16 host LOCAL
     |-- 192.168.0.129
        /32 host LOCAL
"""
ROUTE = "{address} {length} 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 2 0 {flags} eth0\n"
ROUTES = "".join(
    ROUTE.format(address=address, length=length, flags=flags)
    for address, length, flags in [
        ("fd000000000000000000000000000009", "80", "80200001"),  # its address
        ("fd000000000000000000000000000000", "80", "00300001"),  # anycast: the router of the network
        ("fd000000000000000000000000000000", "40", "00000001"),  # the network
        ("fd000000000000000000000000000010", "80", "00000005"),  # a neighbour
        ("00000000000000000000000000000001", "80", "80200001"),  # loopback
        ("00000000000000000000000000000000", "00", "80200001"),  # of a table for marked packets
    ]
)


def kernel(path, process, trie=TRIE, routes=ROUTES):
    folder = path / str(process) / "net"
    folder.mkdir(parents=True)
    (folder / "fib_trie").write_text(trie)
    (folder / "ipv6_route").write_text(routes)


def to(address, port, tags=("tcp",)):
    return instance(address, port, list(tags))


@pytest.mark.parametrize(
    ("own", "served"),
    [
        ({"192.168.0.129/32"}, ["192.168.0.130"]),
        ({"192.168.0.129/32", "fe80::1/128"}, ["192.168.0.130"]),
        ({"192.168.0.129/32", "fd00::9/128"}, ["192.168.0.130", "[2001:db8::5]"]),
        (set(), ["192.168.0.130", "[2001:db8::5]"]),
    ],
)
def test_w12_a_balancer_without_ipv6_serves_no_instance_there(own, served):
    """Without addresses of its own it knows nothing, and leaves none out."""
    instances = [to("192.168.0.130", 8079, ["http"]), to("2001:db8::5", 8079, ["http"])]
    result = plan(catalog(web=instances), SITE, frozenset(own))
    assert [one.address for one in result.http[0].instances] == served
    left = {"web": "instance i on n: 2001:db8::5 is an address of IPv6, and the load balancer has none"}
    assert reasons(result) == (left if len(served) == 1 else {})


def test_x7_addresses_of_the_host_are_the_kernels(tmp_path):
    kernel(tmp_path, "self")
    assert addresses.own(proc=tmp_path) == {"172.17.0.1/32", "10.77.0.0/16", "192.168.0.129/32", "fd00::9/128", "fd00::/128"}


def test_x7_addresses_of_the_balancers_container_are_its_own(tmp_path):
    kernel(tmp_path, "self", "Local:\n |-- 192.168.0.129\n    /32 host LOCAL\n", "")
    kernel(tmp_path, 77, "Local:\n |-- 10.9.0.5\n    /32 host LOCAL\n")
    assert addresses.own(77, tmp_path) == {"192.168.0.129/32", "10.9.0.5/32", "fd00::9/128", "fd00::/128"}
    assert addresses.own(78, tmp_path) == {"192.168.0.129/32"}  # it has just ended


def test_x7_a_host_without_ipv6_has_its_other_addresses(tmp_path):
    kernel(tmp_path, "self")
    (tmp_path / "self/net/ipv6_route").unlink()
    assert "172.17.0.1/32" in addresses.own(proc=tmp_path)


def test_x7_without_an_answer_of_the_kernel_nothing_is_planned(tmp_path):
    with pytest.raises(OSError, match="fib_trie"):
        addresses.own(proc=tmp_path)


def test_x7_the_kernel_of_this_machine_shows_addresses():
    """Not loopback: which instances may be there is said by the options."""
    assert not any(network.startswith(("127.", "::1/")) for network in addresses.own())


def test_x7_nginx_knows_the_addresses_of_this_machine(tmp_path):
    nginx = Nginx(Options(domain="hospital.example", backend={"pid_file": str(tmp_path / "none")}))
    assert nginx.addresses() == addresses.own()


@pytest.mark.parametrize(
    ("address", "port", "tag", "name"),
    [
        ("172.17.0.1", 9990, "tcp", "x-9990"),  # it would connect to itself for ever
        ("172.17.0.1", 80, "http", "x"),
        ("172.17.0.1", 5432, "tcp", "db-9991"),  # a port of the host that is closed to strangers
        ("172.17.0.1", 8501, "http", "x"),
        ("::ffff:172.18.0.1", 80, "http", "x"),
        ("10.7.0.9", 8080, "tls", "x"),
        ("10.77.3.4", 8080, "http", "x"),
        ("FD00::9", 9990, "tcp", "x-9990"),
    ],
)
def test_x7_no_instance_is_another_address_of_the_balancers_host(address, port, tag, name):
    found = catalog(**{name: [to(address, port, [tag]), to("198.51.100.7", 8080, [tag])]})
    made = plan(found, SITE, OWN)
    (service,) = made.http + made.tls + made.tcp
    assert [i.address for i in service.instances] == ["198.51.100.7"]
    words = r"instance i on n: \S+ is an address of the load balancer's own host, and not the one of the inventory"
    assert re.fullmatch(words, reasons(made)[name])


def test_x7_a_balancer_that_is_a_docker_host_serves_its_own_containers():
    """By the address of the inventory and a published port; those of other hosts, too."""
    found = [to(address, 32768, ["http", "tcp"]) for address in ("192.168.0.129", "192.168.0.130", "192.168.0.131")]
    made = plan(catalog(**{"web-9999": found}), SITE, OWN)
    assert [len(service.instances) for service in made.http + made.tcp] == [3, 3]
    assert made.skipped == ()


def test_x7_addresses_of_the_site_are_compared_as_addresses():
    site = dataclasses.replace(SITE, addresses=("FD00::9",), hosts={"c1": "FD00::9"}, balancers=("fd00:0::9",))
    made = plan(catalog(web=[to("fd00::9", port, ["http"]) for port in (8080, 80, 8501)]), site, OWN)
    assert [(i.address, i.port) for i in made.http[0].instances] == [("[fd00::9]", 8080)]


@pytest.mark.parametrize("balancer", ["192.168.0.129", "192.168.0.130"])
def test_x7_no_instance_is_a_port_that_the_balancers_listen_on(balancer):
    site = Cluster(SITE)
    site.plan(**{"echo-9990": [to("192.168.0.131", 5000)]})
    bad = to(balancer, 9990, ["http", "tcp", "tls"])
    made = site.plan(**{"echo-9990": [to("192.168.0.131", 5000), bad], "x-9991": [bad], "web": [bad]})
    assert served(made) == ["echo-9990"]
    assert [i.address for i in made.tcp[0].instances] == ["192.168.0.131"]
    reason = f"instance i on n: {balancer} port 9990 is a load balancer, which listens there for the service echo-9990"
    assert {("echo-9990", reason), ("x-9991", reason), ("web", reason)} <= set(made.skipped)


@pytest.mark.parametrize("at_once", [True, False])
def test_x7_two_services_do_not_call_each_other(at_once):
    pair = {"a-9990": [to("192.168.0.129", 9991)], "b-9991": [to("192.168.0.130", 9990)]}
    site = Cluster(SITE)
    if not at_once:
        site.plan(**{"a-9990": pair["a-9990"]})
    for _ in range(3):
        made = site.plan(**pair)
        assert served(made) == ([] if at_once else ["a-9990"])
        assert "b-9991" in reasons(made)


@pytest.mark.parametrize("failing", [False, True])
def test_x7_a_newcomer_takes_no_instance_away(failing):
    """Whoever names a service by the port of somebody's container on a load balancer does not end that instance."""
    site, web = Cluster(SITE), {"web": [to("192.168.0.130", 32768, ["http"])]}
    newcomer = {"x-32768": [to("192.168.0.131", 5000)]}
    made = site.plan(failing=web, **newcomer) if failing else site.plan(**web, **newcomer)
    assert served(made) == ["web"] * (not failing)
    assert reasons(made) == {"x-32768": "port 32768 belongs to an instance of the service web on a load balancer"}


def test_x7_an_instance_of_its_own_port_does_not_end_a_service_that_has_it():
    """Without the register a service leaves its port to its instance on a load balancer; one that is served stays."""
    site, good, bad = Cluster(SITE), to("192.168.0.131", 5000), to("192.168.0.129", 9999)
    first = site.plan(**{"echo-9999": [good, bad]})
    assert "port 9999 belongs to its instance on a load balancer" in reasons(first)["echo-9999"]
    site.plan(**{"echo-9999": [good]})
    assert [i.address for i in site.plan(**{"echo-9999": [good, bad]}).tcp[0].instances] == ["192.168.0.131"]


def test_x7_a_port_that_is_not_listened_on_any_more_is_free_for_instances():
    site = Cluster(SITE)
    site.plan(**{"x-32768": [to("192.168.0.131", 5000)]})
    site.options = dataclasses.replace(SITE, tcp_ports=(9990, 9999))
    made = site.plan(**{"x-32768": [to("192.168.0.131", 5000)], "web": [to("192.168.0.130", 32768, ["http"])]})
    assert served(made) == ["web"]


def test_x7_a_service_on_hosts_that_may_not_offer_it_holds_no_port():
    site = dataclasses.replace(SITE, service_hosts={"web": ["c1"]})
    web = {**to("192.168.0.130", 9999, ["http"]), "node": "c2"}
    assert served(plan(catalog(**{"web": [web], "echo-9999": [to("192.168.0.131", 5000)]}), site)) == ["echo-9999"]


@pytest.mark.parametrize("port", [None, "9999", True, [9999], 10**9])
def test_x7_odd_ports_at_a_balancer_hurt_nobody(port):
    found = {"services": [tcp("a-9999", to("192.168.0.131", 5000)), tcp("b-9998", to("192.168.0.129", port))]}
    assert served(plan(found, SITE, OWN)) == ["a-9999"]


def test_x7_each_sync_reads_the_addresses_anew(tmp_path):
    site = Site(tmp_path)
    site.catalog("web")
    assert site.run()["http"] == {"web": 1}
    site.balancer.own = frozenset({"10.0.0.1/32"})
    status = site.run()
    assert (status["http"], "own host" in status["skipped"][0]["reason"]) == ({}, True)


def test_x7_the_preview_knows_the_addresses(tmp_path, monkeypatch):
    from discovery_balancer import preview

    (tmp_path / "nginx.conf").write_text("# main\n")
    options = Options(
        domain="hospital.example", backend={"config": str(tmp_path / "nginx.conf"), "pid_file": str(tmp_path / "none")}
    )
    monkeypatch.setattr(preview, "rendered", lambda template: json.dumps(catalog(web=[instance("172.17.0.1")])))
    monkeypatch.setattr(addresses, "own", lambda master: frozenset({"172.17.0.1/32"}))
    store = Store(tmp_path / "state")
    store.root.mkdir()
    assert "own host" in preview.preview(store, options, [])[0]
