"""S8: what the engines do while the store of their networks is down (A11)."""

import contextlib

import pytest

from engines import seconds_of
from helpers import eventually
from reach import pings

COMMANDS = ("docker ps", "docker network ls")


def quick(nodes) -> str:
    """Every command on every host in less than 5 s; the slowest."""
    took = {(node.name, command): seconds_of(node, command) for node in nodes for command in COMMANDS}
    assert [what for what, seconds in took.items() if seconds >= 5] == [], took
    (name, command), seconds = max(took.items(), key=lambda item: item[1])
    return f"slowest {seconds:.1f} s ({command} on {name})"


@contextlib.contextmanager
def down(nodes, unit: str):
    """Units that are stopped for a while."""
    try:
        for node in nodes:
            node.run(f"systemctl stop {unit}")
        yield
    finally:
        for node in nodes:
            node.run(f"systemctl start {unit}")


def starts(node) -> float:
    """Seconds until a restarted engine answers."""
    seconds = seconds_of(node, "systemctl restart docker && docker version")
    assert seconds <= 90
    return seconds


@pytest.mark.more
@pytest.mark.overlay("consul")
def test_s8_the_store_is_down(site, settled, talkers, show):
    """All Consul servers are away. Containers on a network of the store that cannot start then start with the next restart, and
    the network is whole again."""
    node = site.docker_hosts[0]
    with down(site.servers, "consul"):
        show(f"store down: {quick(site.docker_hosts)}")
        show(f"dockerd starts without the store in {starts(node):.1f} s")
        show(f"store down, after that start: {quick(site.docker_hosts)}")
    eventually(site.leader, 60)
    node.run("systemctl restart docker")
    _, seconds = eventually(lambda: not any(lost for _, lost in pings(talkers(), 2).values()), 60, every=1)
    show(f"packets between all hosts again {seconds:.1f} s after that restart")


@pytest.mark.overlay("swarm")
def test_s8_an_engine_starts_while_a_manager_is_down(site, settled, show):
    """With one of three managers away and a second one restarting, the swarm has no majority."""
    lost, node, *_ = site.docker_hosts
    with down([lost], "docker.service docker.socket"):
        show(f"dockerd starts with a manager down in {starts(node):.1f} s")
