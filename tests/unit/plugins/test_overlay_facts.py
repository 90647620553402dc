"""What a host says before an overlay network is made, and what its dockerd reports of a swarm."""

import json

from ansible_collections.fewnodes.discovery.plugins.module_utils.swarm import node, swarm
from ansible_collections.fewnodes.discovery.plugins.modules.overlay_facts import mtu, network, routes
from ansible_collections.fewnodes.discovery.plugins.modules.swarm_member import request
from ansible_collections.fewnodes.discovery.plugins.modules.swarm_nodes import changes

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\tFE3E4D0A\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t003E4D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
gone\t000012AC\t00000000\t0000\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def test_routes_without_the_default_one():
    assert routes(ROUTES) == [
        {"network": "10.77.62.0/24", "device": "eth0"},
        {"network": "172.17.0.0/16", "device": "docker0"},
    ]


def test_the_mtu_of_the_device_with_the_address():
    shown = json.loads('[{"mtu":65536,"addr_info":[{"local":"127.0.0.1"}]},{"mtu":1400,"addr_info":[{"local":"192.0.2.1"}]}]')
    assert (mtu(shown, "192.0.2.1"), mtu(shown, "192.0.2.9")) == (1400, 0)


def test_a_network_without_addresses():
    found = network({"Name": "host", "Id": "1", "Driver": "host", "Scope": "local", "IPAM": {"Config": None}, "Options": None})
    assert (found["subnets"], found["options"], found["attachable"]) == ([], {}, False)


def test_dockerd_without_a_swarm():
    assert swarm({}, [])["state"] == "inactive"
    told = {"Swarm": {"LocalNodeState": "inactive", "RemoteManagers": None, "NodeID": ""}}
    assert swarm(told, []) == swarm({}, [])


def test_addresses_come_without_ports_and_the_leader_s_from_its_part():
    found = swarm({"Swarm": {"LocalNodeState": "active", "RemoteManagers": [{"NodeID": "A", "Addr": "192.0.2.1:2377"}]}}, [])
    assert found["managers"] == ["192.0.2.1"]
    leader = {
        "ID": "A", "Spec": {"Role": "manager"}, "Description": {"Hostname": "a"},
        "Status": {"State": "ready", "Addr": "0.0.0.0"}, "ManagerStatus": {"Addr": "192.0.2.1:2377"},
    }  # fmt: skip
    assert node(leader) == {"id": "A", "host": "a", "address": "192.0.2.1", "manager": True, "ready": True}


def test_requests_that_make_and_join_a_swarm():
    path, body = request("192.0.2.1", [], "")
    assert (path, body["ListenAddr"], body["AdvertiseAddr"]) == ("/swarm/init", "192.0.2.1:2377", "192.0.2.1")
    path, body = request("192.0.2.2", ["192.0.2.1"], "secret")
    assert (path, body["RemoteAddrs"], body["JoinToken"]) == ("/swarm/join", ["192.0.2.1:2377"], "secret")


def member(key, manager, ready=True):
    return {"id": key, "host": key.lower(), "address": f"192.0.2.{ord(key) - 64}", "manager": manager, "ready": ready}


def test_promotions_come_before_demotions():
    nodes = [member("A", True), member("B", False), member("C", True)]
    assert changes(nodes, {"A": "worker", "B": "manager", "C": "manager", "GONE": "worker"}, []) == [
        ("B", "manager"),
        ("A", "worker"),
    ]


def test_managers_that_are_forgotten_are_demoted_before():
    nodes = [member("A", True), member("B", True, ready=False), member("C", False)]
    assert changes(nodes, {}, ["192.0.2.3", "192.0.2.2"]) == [("B", "worker"), ("B", "remove"), ("C", "remove")]
    assert changes(nodes, {}, ["192.0.2.9"]) == []
