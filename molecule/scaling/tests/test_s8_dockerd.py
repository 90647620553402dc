"""S8: dockerd while its cluster store is down (decisions/cluster-store-down)."""

import contextlib

import pytest
from tests.support.docker import restart_dockerd, seconds_of
from tests.support.overlay_reach import pings
from tests.support.wait import eventually

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
    """Seconds until a restarted dockerd answers."""
    seconds = restart_dockerd(node)
    assert seconds <= 90
    return seconds


@pytest.mark.more
@pytest.mark.overlay("consul")
def test_s8_the_cluster_store_is_down(site, settled, talkers, show):
    """All Consul servers are away. Containers on a network of the store that cannot start then start with the next restart, and
    the network is whole again."""
    node = site.docker_hosts[0]
    with down(site.servers, "consul"):
        show(f"store down: {quick(site.docker_hosts)}")
        show(f"dockerd starts without the store in {starts(node):.1f} s")
        show(f"store down, after that start: {quick(site.docker_hosts)}")
    eventually(site.leader, 60)
    restart_dockerd(node)
    _, seconds = eventually(lambda: not any(lost for _, lost in pings(talkers(), 2).values()), 60, every=1)
    show(f"packets between all hosts again {seconds:.1f} s after that restart")


@pytest.mark.more
@pytest.mark.overlay("swarm")
def test_s8_dockerd_starts_while_a_manager_is_down(site, settled, show):
    """With one of three managers away and a second one restarting, the swarm has no majority."""
    lost, node, *_ = site.docker_hosts
    with down([lost], "docker.service docker.socket"):
        show(f"dockerd starts with a manager down in {starts(node):.1f} s")


@pytest.fixture
def same_address(site):
    """Two containers that should run and want one address of the network: the second could not join."""
    node, first, second = site.docker_hosts[0], "test-s8-first", "test-s8-second"
    address = "10.90.77.77"
    run = f"docker run -d --restart always --network {site.network} --ip {address} -e SERVICE_IGNORE=1 --name"
    try:
        node.run(f"{run} {first} httpbackend:v1.0.0")
        assert node.tries(f"{run} {second} httpbackend:v1.0.0").rc != 0
        yield node, first, second
    finally:
        node.tries(f"docker rm -f {first} {second}")


@pytest.mark.more
@pytest.mark.overlay("swarm")
def test_s8_a_container_that_could_not_join_is_started_again(same_address, show):
    node, first, second = same_address
    node.run("systemctl start discovery-overlay-rejoin")
    eventually(lambda: f"{second}: " in node.run("journalctl -u discovery-overlay-rejoin -n 5 -o cat --no-pager"), 30)
    assert node.run(f"docker inspect -f '{{{{.State.Running}}}}' {second}").strip() == "false"
    node.run(f"docker rm -f {first}")
    _, seconds = eventually(lambda: node.run(f"docker inspect -f '{{{{.State.Running}}}}' {second}").strip() == "true", 30)
    show(f"runs {seconds:.1f} s after it could")
    eventually(lambda: node.unit("discovery-overlay-rejoin", "ActiveState") == ["inactive"], 30)
    assert node.unit("discovery-overlay-rejoin", "WantedBy")[0] == "docker.service", "it runs with each start of dockerd"
