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


def renamed(status=4):
    """c has gone on as ward-3, with its node id and address; gossip has still its old name."""
    state = cluster(left=status)
    state["members"].append({"Name": "ward-3", "Addr": "10.0.0.3", "Status": module.ALIVE, "Tags": {"id": C}})
    state["peers"][2]["Node"] = "ward-3"
    return state


def test_w28_the_name_of_a_node_that_goes_on_under_another_is_not_removed():
    """Consul would take the vote of its node id."""
    member = module.describe(renamed(), "c", "")
    assert member["successors"] == ["ward-3"]
    problem = module.rename_problem(member, "c")
    assert "under the name ward-3" in problem and "rename_node.yml -e rename_from=c" in problem
    assert module.rename_problem(module.describe(cluster(left=4), "c", ""), "c") == ""
    gone = renamed()
    gone["members"][-1]["Status"] = 3
    assert module.describe(gone, "c", "")["successors"] == [], "it has left: now its old name may go"


def test_w28_a_name_that_is_gone_is_not_known_by_the_address_of_the_next():
    """A renaming that is run again ends nothing; while the old name is there, the peer is the one that has its id."""
    state = renamed() | {"node": None}
    assert module.describe(state, "c", "10.0.0.3", renamed=True)["voter"]
    state["members"].pop(2)
    assert not module.describe(state, "c", "10.0.0.3", renamed=True)["known"]
    assert module.describe(state, "c", "10.0.0.3")["known"]


def test_w28_a_dead_name_is_found_by_its_name_alone():
    """Without an address: the peer at its address may be another node."""
    other = cluster(left=4)
    other["peers"][2] |= {"Node": "ward-3", "ID": "id-new"}
    assert module.describe(other, "c", "")["ids"] == [C]
    other["members"].pop()
    assert module.removal_steps(other, "c", "") == []
    assert module.describe(cluster(), "c", "")["addresses"] == ["10.0.0.3"]


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_w28_the_module_refuses_it_but_for_the_check_before_the_agent_ends(monkeypatch, check, known):
    class Ended(Exception):
        pass

    class Module:
        check_mode = check
        params = {"name": "c", "address": "10.0.0.3", "server": False, "state": "absent", "renamed": known, "token": "",
                  "timeout": 1}  # fmt: skip

        def __init__(self, **_unused):
            pass

        def fail_json(self, msg, **_unused):
            raise Ended(msg)

        def exit_json(self, **found):
            raise Ended(f"changed={found['changed']}")

    monkeypatch.setattr(module, "AnsibleModule", Module)
    monkeypatch.setattr(module, "Api", lambda token: None)
    monkeypatch.setattr(module, "read", lambda api, name: renamed())
    with pytest.raises(Ended) as ended:
        module.main()
    assert ("rename_node.yml" in str(ended.value)) == (not (check and known))
