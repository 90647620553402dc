"""Consul: version, quorum, leader, and access."""

import socket
import ssl
import time
import urllib.error

import pytest
import yaml
from tests.support.consul import Consul
from tests.support.site import ROOT
from tests.support.wait import eventually


@pytest.mark.on("consul_servers")
def test_h1_runs_the_pinned_version(site, node, show):
    defaults = yaml.safe_load((ROOT / "roles/consul/defaults/main.yml").read_text())
    expected = node.variables.get("consul_version", defaults["consul_version"])
    running = site.consul(node).get("/v1/agent/self")["Config"]["Version"]
    show(f"Consul {running}")
    assert running == expected


def test_h1_all_servers_vote_and_one_leads(site, show):
    for node in site.servers:
        peers = site.consul(node).get("/v1/operator/raft/configuration")["Servers"]
        assert {p["Node"] for p in peers if p["Voter"]} == {n.name for n in site.servers}
        assert sum(p["Leader"] for p in peers) == 1
    show(f"{len(site.servers)} voters, leader {site.leader()}")
    assert site.leader(), "the servers name different leaders"


def test_h1_majority_makes_the_leader(site, settled, show):
    """Once bootstrapped: no leader with one server up, a leader at most 30 s after the second is up."""
    alone, second, *others = site.servers

    def leader() -> str:
        return site.consul(alone).get("/v1/status/leader")

    try:
        for node in (second, *others):
            node.run("systemctl stop consul")
        eventually(lambda: leader() == "", 20)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            assert leader() == "", "one server alone elected itself"
            time.sleep(0.5)
        second.run("systemctl start --no-block consul")
        _, seconds = eventually(leader, 30)
        show(f"leader {seconds:.1f} s after the second server was started")
    finally:
        for node in (second, *others):
            node.run("systemctl start consul")


@pytest.mark.on("consul_servers")
def test_k1_anonymous_is_denied(site, node):
    anonymous = Consul(node.address, site.ca, token=None)
    for path in ("/v1/agent/self", "/v1/kv/discovery", "/v1/operator/raft/configuration", "/v1/acl/tokens"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            anonymous.get(path)
        assert refused.value.code == 403, path
    assert anonymous.get("/v1/catalog/services") == {}
    assert anonymous.get("/v1/catalog/nodes") == []


@pytest.mark.on("consul_servers")
def test_rpc_demands_a_certificate_of_the_site(site, node):
    """A server's RPC port closes a TLS handshake that brings no client certificate."""
    context = ssl.create_default_context(cafile=str(site.ca))
    context.check_hostname = False
    with socket.create_connection((node.address, 8300), timeout=5) as raw:
        raw.sendall(b"\x03")  # Consul's marker: TLS follows
        with pytest.raises(OSError), context.wrap_socket(raw) as tls:
            tls.sendall(b"\x00")
            assert tls.recv(1) == b"", "the port answered an external host"
            raise ConnectionResetError("closed without an answer")
