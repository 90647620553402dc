"""The Consul cluster: Raft, gossip, leader, restarts of its agents."""

import contextlib
import subprocess
import sys
import time

from tests.support.site import ROOT
from tests.support.wait import NOT_YET, Repeating, eventually

UNREACHABLE_PORT = 9
ALIVE = 1  # the status of a member


def victim(site):
    """The server to remove or replace: the last one, which is no balancer that the load asks."""
    node = site.servers[-1]
    assert node not in site.balancers
    return node


def others_of(site, node) -> list:
    """The other servers."""
    return [server for server in site.servers if server is not node]


def peers(site, asked=None) -> dict[str, str]:
    """Name to node id of the voters of Raft."""
    found = site.consul(asked).get("/v1/operator/raft/configuration")["Servers"]
    assert all(peer["Voter"] for peer in found), found
    assert len({peer["Node"] for peer in found}) == len(found), found
    return {peer["Node"]: peer["ID"] for peer in found}


def members(site, asked=None) -> dict[str, dict]:
    """The members of gossip by name, as one agent reports them."""
    return {member["Name"]: member for member in site.consul(asked).get("/v1/agent/members")}


def known(site, name: str, asked=None) -> list[str]:
    """Where the cluster still knows a node: raft, gossip, catalog."""
    consul = site.consul(asked)
    places = {
        "raft": {peer["Node"] for peer in consul.get("/v1/operator/raft/configuration")["Servers"]},
        "gossip": set(members(site, asked)),
        "catalog": {node["Node"] for node in consul.get("/v1/catalog/nodes")},
    }
    return [place for place, names in places.items() if name in names]


def alive(site, name: str, asked=None) -> bool:
    """Whether a member is alive for gossip."""
    return members(site, asked)[name]["Status"] == ALIVE


def unhealthy(site, asked) -> list[str]:
    """Names of the servers that autopilot calls so."""
    return [server["Name"] for server in site.consul(asked).health()["Servers"] if not server["Healthy"]]


def answers_itself(site, server) -> bool:
    """Whether a server knows the nodes from its own state: after an absence it gets that from the leader, up to 10 s after its
    start, and until then the leader, which the test may stop next, answers for it."""
    return len(site.consul(server).get("/v1/catalog/nodes?stale")) >= len(site.nodes)


def agents(nodes) -> dict[str, list[str]]:
    """What a restart of an agent would change."""
    return {node.name: node.unit("consul", "MainPID", "ActiveEnterTimestampMonotonic") for node in nodes}


def starts(site) -> dict[str, int]:
    """When each agent started, on the clock that the nodes share."""
    return {node.name: int(node.unit("consul", "ActiveEnterTimestampMonotonic")[0]) for node in site.servers}


def leading(site) -> str:
    """Name of the server that leads."""
    named = site.leader()
    found = [node.name for node in site.servers if named == f"{node.address}:8300"]
    assert found, f"the leader is {named or 'unknown'}"
    return found[0]


class Leaders(Repeating):
    """Who leads while the block runs: a busy machine may elect another leader before a play asks for it.

    :ivar observed: (monotonic clock, name of the server that all named)
    """

    pause = 1.0

    def __init__(self, site):
        super().__init__()
        self.site, self.observed = site, [(time.monotonic(), leading(site))]

    def step(self) -> None:
        with contextlib.suppress(*NOT_YET):  # while an agent is away
            self.observed.append((time.monotonic(), leading(self.site)))

    def assert_last(self, started: dict[str, int]) -> None:
        """Who led before the first restart was restarted last.

        :param started: result of `starts`; nodes and this machine have one monotonic clock
        """
        before = {name for at, name in self.observed if at < min(started.values()) / 1e6}
        last = max(started, key=started.get)
        assert last in before, f"{last} was the last, {', '.join(sorted(before))} led before"


def lead(site, node) -> None:
    """Let this server lead."""
    if leading(site) != node.name:
        site.consul().send("POST", f"/v1/operator/raft/transfer-leader?id={peers(site)[node.name]}")
        eventually(lambda: leading(site) == node.name, 30)


def put(site, key: str, value: str) -> None:
    """Write a key."""
    assert site.consul().put(f"/v1/kv/{key}", value.encode()) is True


def wipe(node) -> None:
    """Take a server's agent and all its data away at once, as a lost disk does."""
    node.run("systemctl kill -s KILL consul; systemctl disable --now consul; rm -rf /var/lib/consul /etc/consul.d")


def new_machine(site, node) -> None:
    """Put an empty machine in a node's place."""
    subprocess.run([sys.executable, "-m", "lab", "replace", site.inventory, node.name], cwd=ROOT, check=True)


def without_ssh(tmp_path, node):
    """Options by which a play does not reach a node."""
    extra = tmp_path / "unreachable.yml"
    extra.write_text(f"all:\n  hosts:\n    {node.name}:\n      ansible_port: {UNREACHABLE_PORT}\n")
    return "-i", extra
