"""S8: the keepers of the network's state are away; dockerd answers, and containers keep talking."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.overlay_reach import pings, summary
from tests.support.wait import eventually

SECONDS = 5  # the bound for a command
ELECTION = 30  # … and for the first one after a swarm has lost its leader
COMMANDS = ("docker ps", "docker network ls")


def times(nodes, commands=COMMANDS) -> dict[str, float]:
    """Seconds that each command takes on each host, one after the other."""
    took = {}
    for node in nodes:
        for command in commands:
            start = time.monotonic()
            node.run(f"timeout 60 {command}")
            took[f"{node.name}: {command}"] = time.monotonic() - start
    return took


def measured(nodes, talkers, show, what: str) -> None:
    """While the store is away: times of commands, and packets between the containers that are left, side by side."""
    with ThreadPoolExecutor(1) as pool:
        pinging = pool.submit(pings, talkers, 100)
        took = times(nodes)
        losses = pinging.result()
    slowest = max(took, key=took.get)
    show(f"{what}: slowest of {len(took)} commands {took[slowest]:.1f} s ({slowest}); {summary(losses)}")
    assert took[slowest] < SECONDS, took
    assert not any(lost for _, lost in losses.values()), losses


@pytest.fixture
def servers_stopped(site, settled):
    """Every server of Consul is stopped; agents that are clients run on."""
    for node in site.servers:
        node.run("systemctl stop consul")
    yield
    for node in site.servers:
        node.run("systemctl start --no-block consul")


@pytest.mark.more
def test_s8_all_consul_servers_stopped(site, talkers, servers_stopped, show):
    """With the overlay in Consul this is its store. With swarm it is not, and must not be missed either."""
    measured(site.docker_hosts, talkers(), show, "no Consul server")


@pytest.mark.overlay("swarm")
@pytest.mark.parametrize(
    "leader", [pytest.param(False, id="follower"), pytest.param(True, id="leader", marks=pytest.mark.more)]
)
def test_s8_one_manager_of_the_swarm_stopped(site, settled, talkers, show, leader):
    """Its containers end with it, the others keep the swarm. When it led, the first to list networks waits for the election,
    for which swarm mode takes 10 to 20 s (swarmkit's ElectionTick); nothing sets that in Debian's dockerd."""
    status = "Leader" if leader else "Reachable"
    listed = site.docker_hosts[0].run("docker node ls --format '{{.Hostname}} {{.ManagerStatus}}'").splitlines()
    name = next(line.split()[0] for line in listed if line.endswith(f" {status}"))
    stopped = next(node for node in site.docker_hosts if node.name == name)
    left = [node for node in site.docker_hosts if node is not stopped]
    remaining = [one for one in talkers() if one.node is not stopped]
    stopped.run("systemctl stop docker.socket docker.service")
    try:
        if leader:
            start = time.monotonic()
            assert times(left, ["docker ps"])[f"{left[0].name}: docker ps"] < SECONDS
            left[0].run(f"timeout {ELECTION} docker network ls")
            show(f"leader {name} stopped: networks listed again after {time.monotonic() - start:.1f} s")
        measured(left, remaining, show, f"manager {name} ({status.lower()}) stopped")
    finally:
        stopped.run("systemctl start docker.socket docker.service")
    eventually(lambda: not any(lost for _, lost in pings(talkers(), 1).values()), 60)
