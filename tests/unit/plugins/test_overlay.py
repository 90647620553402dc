"""An overlay network over several hosts: what is refused, and what is done next."""

import copy

import pytest
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule

overlay_problems = FilterModule().filters()["overlay_problems"]
overlay_steps = FilterModule().filters()["overlay_steps"]

ADDRESSES = {"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3", "d": "192.0.2.4"}
SETTINGS = {
    "name": "discovery", "driver": "swarm", "subnet": "10.90.0.0/16", "options": {}, "peers": ADDRESSES,
    "managers": ["a", "b", "c"], "pools": [], "play": list(ADDRESSES),
}  # fmt: skip
NETWORK = {
    "name": "discovery", "id": "n1", "driver": "overlay", "scope": "swarm", "attachable": True,
    "subnets": ["10.90.0.0/16"], "options": {"com.docker.network.driver.overlay.vxlanid_list": "4097"},
}  # fmt: skip


def settings(**other):
    return SETTINGS | other


def host(**other):
    """A host that is in no swarm and has no network of its own."""
    swarm = {
        "state": "inactive", "error": "", "node": "", "address": "", "manager": False, "cluster": "", "managers": [], "nodes": [],
    }  # fmt: skip
    routes = [{"network": "192.0.2.0/24", "device": "eth0"}]
    state = {"dockerd": True, "problem": "", "swarm": swarm, "networks": [], "pools": [], "routes": routes, "mtu": 1500}
    return state | other


def bare():
    return {name: host() for name in ADDRESSES}


def site(managers=("a", "b", "c"), cluster="X"):
    """Four hosts in one swarm with its network, node ids in upper case."""
    nodes = [
        {"id": name.upper(), "host": name, "address": address, "manager": name in managers, "ready": True}
        for name, address in ADDRESSES.items()
    ]
    states = {}
    for name, address in ADDRESSES.items():
        manages = name in managers
        states[name] = host(networks=[copy.deepcopy(NETWORK)] if manages else [])
        states[name]["swarm"] = {
            "state": "active", "error": "", "node": name.upper(), "address": address, "manager": manages,
            "cluster": cluster if manages else "", "managers": sorted(ADDRESSES[m] for m in managers),
            "nodes": copy.deepcopy(nodes) if manages else [],
        }  # fmt: skip
    return states


def without(states, name):
    """A site of which one host knows nothing (any more)."""
    return states | {name: host()}


def said(found, *parts):
    """There is one problem, and it says all this."""
    assert len(found) == 1, found
    assert [part for part in parts if part not in found[0]] == [], found[0]


def test_bare_hosts_and_a_whole_site_have_no_problems():
    assert overlay_problems(bare(), SETTINGS) == []
    assert overlay_problems(site(), SETTINGS) == []
    assert overlay_problems({}, SETTINGS) == []


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        ({"driver": "vxlan"}, ["discovery_overlay is 'vxlan'", "consul, swarm or none"]),
        ({"name": "my net"}, ["discovery_overlay_network is 'my net'"]),
        ({"name": "-x"}, ["discovery_overlay_network"]),
        ({"name": "ingress"}, ["discovery_overlay_network is 'ingress'"]),
        ({"subnet": "10.90.0.1/16"}, ["discovery_overlay_subnet is '10.90.0.1/16'", "host bits"]),
        ({"subnet": "10.90.0.0/30"}, ["16 addresses or more"]),
        ({"subnet": "somewhere"}, ["discovery_overlay_subnet is 'somewhere'"]),
        ({"subnet": "127.0.0.0/8"}, ["discovery_overlay_subnet"]),
        ({"managers": ["a", "z"]}, ["overlay_network_managers is ['a', 'z']", "a, b, c, d"]),
        ({"managers": []}, ["overlay_network_managers is []"]),
        ({"driver": "consul", "options": {"encrypted": ""}}, ["overlay_network_options", "only a swarm"]),
    ],
)
def test_wrong_settings(wrong, parts):
    said(overlay_problems(bare(), settings(**wrong)), *parts)


def test_a_route_of_any_host_into_the_subnet():
    states = bare()
    states["c"]["routes"].append({"network": "10.90.7.0/24", "device": "tun0"})
    said(overlay_problems(states, SETTINGS), "discovery_overlay_subnet is 10.90.0.0/16", "10.90.7.0/24", "host c", "tun0")


def test_a_wider_route_counts_but_not_a_default_route_in_two_halves():
    states = bare()
    states["a"]["routes"].append({"network": "0.0.0.0/1", "device": "tun0"})
    assert overlay_problems(states, SETTINGS) == []
    states["a"]["routes"].append({"network": "10.0.0.0/8", "device": "tun0"})
    said(overlay_problems(states, SETTINGS), "10.0.0.0/8")


def test_the_pools_of_dockerd():
    assert any("default-address-pools" in text for text in overlay_problems(bare(), settings(subnet="172.20.0.0/16")))
    assert overlay_problems(bare(), settings(subnet="172.20.0.0/16", pools=["10.200.0.0/16"])) == []
    states = bare()
    states["b"]["pools"] = ["10.88.0.0/14"]
    said(overlay_problems(states, SETTINGS), "10.88.0.0/14 on host b")


def test_another_network_with_the_subnet_and_what_a_new_swarm_takes():
    states = bare()
    states["b"]["networks"] = [NETWORK | {"name": "other", "driver": "bridge", "subnets": ["10.90.3.0/24"]}]
    said(overlay_problems(states, SETTINGS), "10.90.3.0/24 on host b", "network other")
    assert any("ingress" in text for text in overlay_problems(bare(), settings(subnet="10.0.0.0/16")))


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        ({"subnets": ["10.91.0.0/16"]}, ["discovery_overlay_subnet", "10.91.0.0/16, not 10.90.0.0/16"]),
        ({"driver": "bridge"}, ["driver bridge, not overlay"]),
        ({"options": {"encrypted": ""}}, ["overlay_network_options", "encrypted"]),
        ({"attachable": False}, ["attachable False"]),
        ({"scope": "global"}, ["scope global, not swarm"]),
    ],
)
def test_a_network_of_this_name_that_is_another_one_is_refused_with_the_way_out(other, parts):
    states = site()
    states["b"]["networks"] = [NETWORK | other]
    said(overlay_problems(states, SETTINGS), "network discovery exists on host b", "docker network rm discovery", *parts)


def test_numbers_among_the_options_become_texts():
    states = site()
    for state in states.values():
        for network in state["networks"]:
            network["options"]["com.docker.network.driver.mtu"] = "1350"
    assert overlay_problems(states, settings(options={"com.docker.network.driver.mtu": 1350})) == []
    assert overlay_problems(states, SETTINGS) == [], "one that was found out is not compared"
    assert len(overlay_problems(states, settings(options={"com.docker.network.driver.mtu": 1400}))) == 3


def test_a_host_of_a_swarm_with_managers_elsewhere():
    states = bare()
    states["b"]["swarm"] |= {"state": "active", "address": "192.0.2.2", "node": "N", "managers": ["198.51.100.7"]}
    said(overlay_problems(states, SETTINGS), "host b belongs to another swarm", "198.51.100.7", "docker swarm leave --force")


def test_a_host_that_made_a_swarm_of_its_own():
    states = site()
    states["d"]["swarm"] |= {"manager": True, "cluster": "Y", "node": "D2", "managers": ["192.0.2.4"]}
    said(overlay_problems(states, SETTINGS), "host d belongs to another swarm (Y) than a, b, c (X)", "docker swarm leave")


def test_a_worker_that_the_managers_do_not_know():
    states = site()
    states["d"]["swarm"]["node"] = "OLD"
    said(overlay_problems(states, SETTINGS), "host d belongs to another swarm", "OLD")


@pytest.mark.parametrize("state", ["locked", "error", "pending"])
def test_a_member_that_is_none_for_the_moment(state):
    states = site()
    states["b"]["swarm"] |= {"state": state, "error": "why"}
    said(overlay_problems(states, SETTINGS), "host b", state, "why", "docker swarm")


def test_an_address_that_is_not_the_host_s():
    states = site()
    states["d"]["swarm"]["address"] = "198.51.100.4"
    said(overlay_problems(states, SETTINGS), "host d", "198.51.100.4", "discovery_address is 192.0.2.4")


def test_with_the_consul_store_no_host_may_be_in_a_swarm():
    found = overlay_problems(site(), settings(driver="consul"))
    assert sum("does not start" in text for text in found) == 4


def test_dockerd_that_does_not_answer():
    states = site()
    states["b"]["problem"] = "EngineError: The swarm does not have a leader"
    said(overlay_problems(states, SETTINGS), "host b", "does not have a leader")


def steps(states, **other):
    found = overlay_steps(states, settings(**other))
    return {key: value for key, value in found.items() if value}


def test_a_new_site():
    joins = {"b": "manager", "c": "manager", "d": "worker"}
    assert steps(bare()) == {"init": "a", "manager": "a", "join": joins, "create": "a"}


def test_a_site_that_is_as_it_should_be():
    assert steps(site()) == {"manager": "a"}
    assert steps({"d": site()["d"]} | {"a": site()["a"]}, play=["d"]) == {"manager": "a"}


def test_a_run_that_ended_between_swarm_and_network():
    states = bare() | {"a": site(managers=("a",))["a"]}
    states["a"]["networks"] = []
    states["a"]["swarm"]["nodes"] = states["a"]["swarm"]["nodes"][:1]
    assert steps(states) == {"manager": "a", "join": {"b": "manager", "c": "manager", "d": "worker"}, "create": "a"}


def test_a_host_joins_alone_and_what_it_was_is_forgotten():
    states = without(site(), "b")
    assert steps(states, play=["b"]) == {"manager": "a", "join": {"b": "manager"}, "remove": ["192.0.2.2"]}


def test_the_first_host_joins_what_the_others_have():
    assert steps(without(site(), "a")) == {"manager": "b", "join": {"a": "manager"}, "remove": ["192.0.2.1"]}


def test_nobody_makes_a_second_swarm():
    for play, states in ((["d"], {"d": host()}), (["b"], {"b": host()}), (["d"], bare())):
        found = steps(states, play=play)
        assert "init" not in found and "--limit" in found["problem"], found
    found = steps(without({"d": site()["d"]}, "b"), play=["b", "d"])
    assert "start a manager" in found["problem"]


def test_another_list_of_managers():
    found = steps(site(managers=("a", "b", "c")), managers=["b", "c", "d"])
    assert found == {"manager": "b", "roles": {"A": "worker", "D": "manager"}}


def test_a_host_without_dockerd():
    assert "c: run the playbook docker.yml" in steps(bare() | {"c": host(dockerd=False)})["problem"]


def test_the_consul_store_needs_the_network_only():
    assert steps(bare(), driver="consul") == {"create": "a"}
    states = bare()
    states["d"]["networks"] = [NETWORK | {"scope": "global", "attachable": False}]
    assert steps(states, driver="consul") == {}


def test_the_smallest_mtu_of_all_hosts_is_the_network_s():
    states = bare()
    states["b"]["mtu"] = 1400
    assert steps(states)["options"] == {"com.docker.network.driver.mtu": "1400"}
    given = {"com.docker.network.driver.mtu": 1300}
    assert steps(states, options=given)["options"] == {"com.docker.network.driver.mtu": "1300"}


def lying(states, name, **swarm):
    """States of which one host returns something else about the swarm."""
    return states | {name: states[name] | {"swarm": states[name]["swarm"] | swarm}}


def test_x1_a_worker_that_calls_itself_a_manager_demotes_nobody():
    """`a` is a manager, `d` is none: by its own word, and by naming the node of another host."""
    for node in ("D", "A"):
        states = lying(site(), "d", manager=True, cluster="X", node=node, nodes=[])
        assert overlay_problems(states, SETTINGS) == []
        assert steps(states) == {"manager": "a"}


def test_x1_what_a_worker_lists_as_nodes_does_not_count():
    nodes = [{"id": name.upper(), "host": name, "address": ADDRESSES["d"], "manager": True, "ready": True} for name in "abc"]
    assert steps(lying(site(), "d", manager=True, cluster="X", nodes=nodes)) == {"manager": "a"}
    states = lying(without(site(), "c"), "d", manager=True, cluster="X", nodes=nodes)
    assert steps(states) == {"manager": "a", "join": {"c": "manager"}, "remove": ["192.0.2.3"]}


def test_x1_a_manager_that_calls_itself_a_worker_loses_its_part_all_the_same():
    states = lying(site(managers=("a", "b", "c", "d")), "d", manager=False, cluster="", node="A", nodes=[])
    assert steps(states) == {"manager": "a", "roles": {"D": "worker"}}


def test_x1_a_host_that_is_to_be_a_manager_names_no_node_of_another():
    states = lying(site(managers=("a", "b")), "c", node="D")
    assert steps(states) == {"manager": "a"}
    assert steps(site(managers=("a", "b"))) == {"manager": "a", "roles": {"C": "manager"}}


def test_a_host_becomes_a_manager_by_its_id_where_managers_know_another_address_of_it():
    states = site(managers=("a", "b"))
    for name in ("a", "b"):
        states[name]["swarm"]["nodes"][2]["address"] = "198.51.100.3"
    assert steps(states) == {"manager": "a", "roles": {"C": "manager"}}


def test_x1_only_what_all_managers_list_counts():
    states = site(managers=("a", "b", "c", "d"))
    states["b"]["swarm"]["nodes"][3]["manager"] = False
    assert steps(states) == {"manager": "a"}


@pytest.mark.parametrize("play", [["c", "d"], ["d"]])
def test_x1_no_host_joins_a_swarm_whose_manager_the_inventory_does_not_name(play):
    """While the real managers are away, or not yet there."""
    states = {"c": host(), "d": lying(site(), "d", manager=True, cluster="Y", nodes=[])["d"]}
    found = overlay_problems(states, settings(play=play))
    said(found, "overlay_network_managers is ['a', 'b', 'c']", "d does, which is not in it and so is not trusted")
    assert steps(states, play=play).keys() <= {"problem"}


def test_x1_a_worker_does_not_keep_the_network_from_being_made():
    states = site()
    for state in states.values():
        state["networks"] = []
    states["d"]["networks"] = [copy.deepcopy(NETWORK)]
    assert steps(states) == {"manager": "a", "create": "a"}


def test_x1_the_swarm_of_the_inventory_s_managers_is_the_site_s():
    """However many others return another one."""
    states = {name: state for name, state in site().items() if name in ("a", "d")}
    states |= {name: lying(site(), "d", manager=True, cluster="Y", node="D", managers=[])["d"] for name in ("d", "e", "f")}
    for name in ("e", "f"):
        states[name]["swarm"]["address"] = "192.0.2.9"
    found = overlay_problems(states, settings(peers=ADDRESSES | {"e": "192.0.2.9", "f": "192.0.2.9"}))
    assert sorted(text[:6] for text in found) == ["host d", "host e", "host f"]


def test_an_mtu_that_carries_nothing_is_refused():
    states = bare()
    states["d"]["mtu"] = 68
    said(overlay_problems(states, SETTINGS), "host d has an MTU of 68", "overlay_network_options")
    assert overlay_problems(states, settings(options={"com.docker.network.driver.mtu": 1400})) == []
