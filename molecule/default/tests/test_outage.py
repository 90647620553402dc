"""The whole site, or the whole of Consul, away at once."""

import functools
import time

import pytest
from tests.support.clients import http_get, lost_lookups, tcp_echo
from tests.support.http_load import Expected, await_served, http_load
from tests.support.reboot import crash, power_on
from tests.support.wait import NOT_YET, Repeating, eventually, side_by_side


class Echoes(Repeating):
    """Connects to a tcp service through every balancer, over and over, while the block runs."""

    def __init__(self, site, port: int):
        super().__init__()
        self.site, self.port = site, port
        self.count, self.failed = 0, []

    def step(self) -> None:
        for balancer in self.site.balancers:
            self.count += 1
            try:
                assert "[on]" in tcp_echo(balancer.address, self.port, "on"), f"no echo on {self.port}"
            except NOT_YET as error:
                self.failed.append(f"{balancer.name}: {error!r}")


@pytest.fixture
def plain(site, settled, start_container) -> Expected:
    """A virtual host whose instances, one on each docker host, call nothing by name."""
    options = "-e SERVICE_NAME=test-plain -e VERSION=test-plain -e SERVICE_TAGS=http"
    plain = ("test-plain", "httpbackend:v1.0.0", options)
    side_by_side(functools.partial(start_container, node, *plain) for node in site.docker_hosts)
    # An agent that could not compare at its start syncs nothing for 15 to 30 s, and the test before has stopped one.
    eventually(lambda: len(site.passing("test-plain")) == len(site.docker_hosts), 60)
    expected = site.backend("test-plain")
    await_served(site, expected)
    return expected


def term(site, node) -> int:
    """The term of Raft that a server is in; each election begins another one."""
    return int(site.consul(node).get("/v1/agent/self")["Stats"]["raft"]["term"])


def test_h17_balancers_and_site_names_survive_consul(site, plain, site_name, tmp_path, show):
    """The leader is killed, then every agent is stopped.

    The balancers serve what they served. Names under .consul do not resolve meanwhile: so httpfront,
    which calls httpbackend by name, answers 502, and what is asked here are a virtual host and a tcp service that call
    nobody. Site names are asked for on the hosts; the name servers of containers are agents, so containers have none then.
    """
    first = site.leader()
    killed = next(node for node in site.servers if first.startswith(f"{node.address}:"))
    survivor = next(node for node in site.servers if node is not killed)
    with http_load(site, plain, tmp_path, every=0.1) as requests, Echoes(site, 9999) as echoes:
        last = term(site, survivor)
        killed.run("kill -9 $(systemctl show consul -P MainPID)")
        # It may be the same server again: systemd starts it at once.
        _, seconds = eventually(lambda: term(site, survivor) > last and site.consul(survivor).get("/v1/status/leader"), 30)
        show(f"a leader again {seconds:.1f} s after the kill")
        _, seconds = eventually(lambda: site.leader() and site.consul().health()["Healthy"], 60)
        show(f"all servers healthy {seconds:.1f} s later")
        try:
            start = time.monotonic()
            for node in site.nodes.values():
                node.run("systemctl stop consul")
            stopped = time.monotonic()
            show(f"all agents stopped in {stopped - start:.1f} s")
            before = len(requests.samples) + echoes.count
            for node in site.nodes.values():
                assert lost_lookups(node, site_name) == 0, node.name
            front = {http_get(balancer.address, site.host_of("httpfront")).status for balancer in site.balancers}
            time.sleep(max(0.0, 20 - (time.monotonic() - stopped)))
            count = len(requests.samples) + echoes.count - before
            show(f"{count} requests in {time.monotonic() - stopped:.0f} s without Consul; httpfront: {front}")
            assert front == {502}
        finally:
            for node in site.nodes.values():
                node.run("systemctl start --no-block consul")
        _, seconds = eventually(lambda: site.leader() and len(site.passing("test-plain")) == len(site.docker_hosts), 60)
        show(f"the catalog is whole {seconds:.1f} s after they were started")
    show(f"{requests}; {len(echoes.failed)} of {echoes.count} echoes failed")
    requests.assert_served()
    assert echoes.count > 0 and echoes.failed == []


@pytest.mark.more  # R1's test does it to more services
def test_h15_everything_answers_after_a_power_cycle_of_all(site, settled, site_name, show):
    nodes = list(site.nodes.values())
    names = [site.name_of("httpbackend"), site.name_of("consul"), site_name]

    def answers() -> bool:
        lost = [(node.name, name) for node in site.nodes.values() for name in names if lost_lookups(node, name, 3)]
        assert not lost, lost
        return site.is_healthy()

    start = time.monotonic()
    crash(nodes)
    power_on(nodes)
    started = time.monotonic() - start
    eventually(answers, 180 - started, every=1)
    show(f"everything answers {time.monotonic() - start:.0f} s after the power went, {started:.0f} s of it without power")
