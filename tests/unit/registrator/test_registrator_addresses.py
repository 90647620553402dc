"""Which containers and ports get a service, and under which address."""

from dataclasses import replace

import pytest

from discovery_balancer import plan
from registrator.options import Options
from registrator.wanted import PLATFORM_PORTS, wanted
from registrator_cases import HOST, container

OPTIONS = Options(ip="192.0.2.1")
INTERNAL = replace(OPTIONS, internal=True)
NAMED = replace(INTERNAL, network="web")
NETWORKS = {"web": {"IPAddress": "10.9.0.5"}, "app": {"IPAddress": "172.18.0.5"}, "none": {"IPAddress": ""}}


def run(*containers, options=OPTIONS, **more):
    return wanted(containers, options, HOST, **more)


def places(result):
    return [(service.address, service.port) for service in result.services]


@pytest.mark.parametrize("bindings, place", [
    ([("0.0.0.0", "8080"), ("::", "8080")], ("192.0.2.1", 8080)),
    ([("::", "8080"), ("", "8080")], ("192.0.2.1", 8080)),
    ([("127.0.0.1", "1"), ("0.0.0.0", "8080")], ("192.0.2.1", 8080)),
    ([("198.51.100.7", "8080")], ("198.51.100.7", 8080)),
    ([("0.0.0.0", "9000"), ("0.0.0.0", "8080")], ("192.0.2.1", 8080)),
])  # fmt: skip
def test_bindings(bindings, place):
    ports = {"80/tcp": [{"HostIp": address, "HostPort": port} for address, port in bindings]}
    assert places(run(container(ports=ports))) == [place]


@pytest.mark.parametrize(("ip", "bindings", "place"), [
    ("192.0.2.1", [("::", "8079"), ("0.0.0.0", "8080")], ("192.0.2.1", 8080)),
    ("2001:db8::1", [("::", "8079"), ("0.0.0.0", "8080")], ("2001:db8::1", 8079)),
    ("2001:db8::1", [("", "8080")], ("2001:db8::1", 8080)),
    ("", [("::", "8079"), ("0.0.0.0", "8080")], ("", 8080)),
    ("192.0.2.1", [("2001:db8::5", "8079")], ("2001:db8::5", 8079)),
    ("2001:db8::1", [("::", "8079"), ("198.51.100.7", "8080")], ("2001:db8::1", 8079)),
])  # fmt: skip
def test_w12_a_port_is_registered_by_the_family_that_it_is_published_on(ip, bindings, place):
    ports = {"80/tcp": [{"HostIp": address, "HostPort": port} for address, port in bindings]}
    assert places(run(container(ports=ports), options=Options(ip=ip))) == [place]


@pytest.mark.parametrize(("ip", "binding", "reason"), [
    ("192.0.2.1", "::", "published on IPv6 only, and the host is registered by IPv4: publish it there"),
    ("", "::", "published on IPv6 only, and the host is registered by IPv4: publish it there"),
    ("2001:db8::1", "0.0.0.0", "published on IPv4 only, and the host is registered by IPv6: publish it there"),
    ("192.0.2.1", "::1", "published on a loopback address only"),
])  # fmt: skip
def test_w12_a_port_of_the_other_family_is_reported(ip, binding, reason):
    """dockerd listens on `::` by IPv6 only: registered by IPv4 it passes, and nobody answers."""
    one = container(labels={"SERVICE_NAME": "shop"}, ports={"80/tcp": [{"HostIp": binding, "HostPort": "8079"}]})
    result = run(one, options=Options(ip=ip))
    assert result.services == [] and result.skipped == [("web", "port 80/tcp", reason, True)]


@pytest.mark.parametrize(("label", "binding", "count"), [
    ("2001:db8::7", "::", 1), ("2001:db8::7/64", "::", 1), ("10.9.0.7", "::", 0), ("2001:db8::7", "0.0.0.0", 0),
    ("soon", "::", 0),
])  # fmt: skip
def test_w12_an_address_from_a_label_decides_the_family(label, binding, count):
    one = container(labels={"ip": label}, ports={"80/tcp": [{"HostIp": binding, "HostPort": "8079"}]})
    result = run(one, options=replace(OPTIONS, use_ip_from_label="ip"))
    assert (len(result.services), [item.item for item in result.skipped]) == (count, ["port 80/tcp"] * (1 - count))


@pytest.mark.parametrize("bindings, reason", [
    (None, "not published on the host"),
    ([], "not published on the host"),
    ([{"HostIp": "127.0.0.1", "HostPort": "80"}], "published on a loopback address only"),
])  # fmt: skip
def test_port_nobody_can_reach_is_reported(bindings, reason):
    result = run(container(ports={"80/tcp": bindings}))
    assert result.services == [] and [item.reason for item in result.skipped] == [reason]


def test_container_without_ports_is_nothing_to_report():
    assert run(container()) == wanted([], OPTIONS, HOST)


def test_ignored_container_is_nothing_to_report():
    assert run(container(labels={"SERVICE_IGNORE": "1"}, exposed=["80/tcp"])).skipped == []


def test_sctp_is_reported():
    assert "sctp" in run(container(ports={"80/sctp": 1})).skipped[0].reason


@pytest.mark.parametrize("mode, overlays, address", [
    ("app", [], "172.18.0.5"),
    ("web", [], "10.9.0.5"),
    ("bridge", [], "172.18.0.5"),
    ("app", ["web"], "10.9.0.5"),
])  # fmt: skip
def test_internal_takes_the_containers_address(mode, overlays, address):
    one = container(mode=mode, networks=NETWORKS, exposed=["80/tcp"])
    assert places(run(one, options=INTERNAL, overlays=frozenset(overlays))) == [(address, 80)]


def test_internal_without_an_address_is_reported():
    assert run(container(exposed=["80/tcp"]), options=INTERNAL).skipped[0].reason == "the container has no address"


@pytest.mark.parametrize("networks, ports, place", [
    ({"web": "10.9.0.5"}, {}, ("10.9.0.5", 80)),
    ({"aaa": "10.8.0.5", "web": "10.9.0.5", "zzz": "10.7.0.5"}, {}, ("10.9.0.5", 80)),
    ({"aaa": "10.8.0.5", "web": "10.9.0.5"}, {"80/tcp": 32768}, ("10.9.0.5", 80)),
    ({"aaa": "10.8.0.5"}, {"80/tcp": 32768}, ("192.0.2.1", 32768)),
    ({"aaa": "10.8.0.5", "web": ""}, {"80/tcp": 32768}, ("192.0.2.1", 32768)),
])  # fmt: skip
def test_a_named_network_counts_and_else_the_published_port(networks, ports, place):
    networks = {name: {"IPAddress": address} for name, address in networks.items()}
    one = container(mode="aaa", networks=networks, ports=ports, exposed=["80/tcp"])
    assert places(run(one, options=NAMED, overlays=frozenset(["aaa", "web"]))) == [place]


@pytest.mark.parametrize("bindings, reason", [
    (None, "not in the network web, and not published on the host"),
    ([{"HostIp": "127.0.0.1", "HostPort": "80"}], "not in the network web, and published on a loopback address only"),
])  # fmt: skip
def test_a_container_outside_the_named_network_that_publishes_nothing_is_reported(bindings, reason):
    one = container(mode="app", networks={"app": {"IPAddress": "172.18.0.5"}}, ports={"80/tcp": bindings})
    result = run(one, options=NAMED)
    assert result.services == [] and [item.reason for item in result.skipped] == [reason]


def test_a_check_over_the_network_stays_where_the_named_network_is_none_of_the_overlays():
    one = container(mode="web", networks=NETWORKS, exposed=["80/tcp"], labels={"SERVICE_CHECK_HTTP": "/"})
    (service,) = run(one, options=NAMED).services
    assert service.check["HTTP"] == "http://10.9.0.5:80/"


@pytest.mark.parametrize("options", ["INTERNAL", "NAMED"])
@pytest.mark.parametrize("kind", ["HTTP", "HTTPS", "TCP", "GRPC"])
def test_check_that_cannot_reach_an_overlay_address_is_replaced(kind, options):
    one = container(mode="web", networks=NETWORKS, exposed=["80/tcp"], labels={f"SERVICE_CHECK_{kind}": "/"})
    result = run(one, options={"INTERNAL": INTERNAL, "NAMED": NAMED}[options], overlays=frozenset(["web"]))
    assert result.services[0].health == ("passing", "")
    assert "overlay" in result.skipped[0].reason


def test_container_in_the_network_of_another_is_found_there():
    owner = container("owner", ports={"80/tcp": 32768, "9/tcp": 32769}, labels={"SERVICE_80_IGNORE": "1"}, number=1)
    guest = container("guest", mode=f"container:{owner['Id']}", exposed=["80/tcp"], number=2)
    ids = {service.id: service.port for service in run(owner, guest).services}
    assert ids == {"node-1:guest:80": 32768, "node-1:owner:9": 32769}
    assert "does not run" in run(guest).skipped[0].reason


@pytest.mark.parametrize("status, count", [
    ("running", 1), ("paused", 1), ("restarting", 0), ("created", 0), ("exited", 0), ("removing", 0), ("dead", 0),
])  # fmt: skip
def test_only_what_runs_is_registered(status, count):
    assert len(run(container(ports={"80/tcp": 1}, state={"Status": status})).services) == count


def test_a_stopping_container_gets_no_service():
    one = container(ports={"80/tcp": 1})
    assert run(one, leaving=frozenset([one["Id"]])).services == []


@pytest.mark.parametrize("code, kept", [(0, {}), (1, {"node-1:web:80": "exited (1)"}), (137, {}), (143, {})])
def test_deregister_on_success_keeps_what_failed(code, kept):
    options = replace(OPTIONS, deregister="on-success")
    one = container(exposed=["80/tcp"], state={"Status": "exited", "ExitCode": code})
    assert run(one, options=options).kept == kept
    assert run(one).kept == {}


def test_the_load_balancer_refuses_the_same_ports():
    assert PLATFORM_PORTS == plan.PLATFORM_PORTS
