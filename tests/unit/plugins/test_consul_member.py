"""When a member may leave the cluster, what is still to be done about one that is gone, and what a full member is."""

import copy

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules import consul_member as module

A, B, C = "id-a", "id-b", "id-c"


def cluster(healthy=(A, B, C), voters=(A, B, C), left=None):
    """Three servers a, b, c (addresses 10.0.0.1-3, leader a), as the module reads them; `left`: status of c in gossip."""
    names = {A: ("a", "10.0.0.1"), B: ("b", "10.0.0.2"), C: ("c", "10.0.0.3")}
    return {
        "leader": "10.0.0.1:8300",
        "peers": [
            {"ID": node, "Node": name, "Address": f"{address}:8300", "Leader": node == A, "Voter": node in voters}
            for node, (name, address) in names.items()
        ],
        "health": {node: {"Healthy": node in healthy} for node in names},
        "members": [
            {"Name": name, "Addr": address, "Status": left if left and node == C else module.ALIVE, "Tags": {"id": node}}
            for node, (name, address) in names.items()
        ],
        "node": {"ID": C, "Node": "c", "Address": "10.0.0.3"},
    }


def test_one_of_three_may_go_dead_or_alive():
    assert module.removal_problem(cluster(), "c", "10.0.0.3") == ""
    assert module.removal_problem(cluster(healthy=(A, B)), "c", "10.0.0.3") == ""


def test_it_may_not_go_when_another_one_is_ill():
    problem = module.removal_problem(cluster(healthy=(A, C)), "c", "10.0.0.3")
    assert "not healthy: b" in problem and "needs 2" in problem


def test_the_only_server_may_not_go():
    alone = cluster()
    alone["peers"] = [peer for peer in alone["peers"] if peer["ID"] == C]
    assert "the only server" in module.removal_problem(alone, "c", "10.0.0.3")


def test_nobody_goes_without_a_leader():
    assert "recover_quorum" in module.removal_problem(cluster() | {"leader": ""}, "c", "10.0.0.3")


def test_a_client_may_always_go():
    assert module.removal_problem(cluster(healthy=(A,)), "lb", "10.0.0.9") == ""


def test_a_peer_without_a_name_is_found_by_its_address():
    lost = cluster()
    lost["peers"][2]["Node"] = "(unknown)"
    assert module.describe(lost, "c", "10.0.0.3")["ids"] == [C]
    lost["members"].pop()
    assert module.removal_steps(lost, "c", "10.0.0.3") == [("DELETE", f"/v1/operator/raft/peer?id={C}")]


@pytest.mark.parametrize("status", [3, 4])
def test_gossip_forgets_before_raft_does(status):
    assert module.removal_steps(cluster(left=status), "c", "10.0.0.3") == [("PUT", "/v1/agent/force-leave/c?prune")]


def test_what_is_leaving_is_waited_for():
    assert module.removal_steps(cluster(left=module.LEAVING), "c", "10.0.0.3") == []


def test_a_full_member():
    assert module.missing(cluster(), "c", "10.0.0.3", True) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(leader=""), "no leader"),
        (lambda c: c["members"].pop(), "not alive"),
        (lambda c: c.update(node=None), "catalog"),
        (lambda c: c["node"].update(Address="10.0.0.4"), "catalog"),
        (lambda c: c["peers"].pop(), "no peer"),
        (lambda c: c["peers"].append(c["peers"][2] | {"ID": "id-old", "Node": "(unknown)"}), "twice"),
        (lambda c: c["peers"][2].update(Voter=False), "no vote"),
        (lambda c: c["health"].pop(C), "healthy"),
    ],
)
def test_what_keeps_it_from_being_a_full_member(change, message):
    state = copy.deepcopy(cluster())
    change(state)
    assert message in module.missing(state, "c", "10.0.0.3", True)


class FakeApi:
    """A cluster that forgets c as Consul does: gossip first, then Raft."""

    def __init__(self, state):
        self.state, self.asked = state, []

    def get(self, path):
        return {
            "/v1/status/leader": self.state["leader"],
            "/v1/operator/raft/configuration": {"Servers": self.state["peers"]},
            "/v1/operator/autopilot/state": {"Servers": self.state["health"]},
            "/v1/agent/members": self.state["members"],
            "/v1/catalog/node/c": {"Node": self.state["node"]} if self.state["node"] else None,
        }[path]

    def put(self, path):
        self.asked.append(path)
        self.state["members"].pop()
        self.state["node"] = None

    def delete(self, path):
        self.asked.append(path)
        self.state["peers"].pop()
        raise module.ApiError(500, "id was not found in the Raft configuration")  # autopilot was faster


def test_a_dead_server_is_forgotten_everywhere():
    api = FakeApi(cluster(healthy=(A, B), left=4))
    assert module.forget(api, "c", "10.0.0.3", 5) == ""
    assert api.asked == ["/v1/agent/force-leave/c?prune", f"/v1/operator/raft/peer?id={C}"]


def test_it_stops_when_the_others_lose_their_quorum_meanwhile():
    api = FakeApi(cluster(healthy=(A,), left=4))
    assert "healthy" in module.forget(api, "c", "10.0.0.3", 0)
    assert api.asked == []
