"""Names: Consul's and the site's, on hosts and in containers, with and without the local agent."""

import functools
from collections import Counter

import pytest
from tests.support.clients import dns_ask, lost_lookups
from tests.support.dns_load import PATIENT, frozen_agent, lookup_times, lost_of_each, network, unresolved
from tests.support.dns_load import asking as asking_in
from tests.support.wait import eventually, side_by_side


def test_h4_hosts_resolve_both_kinds(site, site_name, show):
    names = [site.name_of("httpbackend"), site.name_of("consul"), site_name]
    failed = lost_of_each(site.nodes.values(), names)
    show(f"failed of 100 lookups each: {failed}")
    assert not any(failed.values())


def test_h4_hosts_resolve_after_a_refresh(site, site_name):
    """Each right after its own refresh."""
    names = [site.name_of("httpbackend"), site_name]

    def refreshed(node) -> dict[tuple[str, str], int]:
        node.run("resolvconf -u")
        return lost_of_each([node], names)

    failed = side_by_side(functools.partial(refreshed, node) for node in site.nodes.values())
    assert len(failed) == len(site.nodes) and not any(lost for one in failed for lost in one.values()), failed


@pytest.mark.more  # the scenario resolver does it on each release
@pytest.mark.on("all")
def test_h4_site_names_survive_a_stopped_agent(node, settled, agent_stopped, site_name):
    assert lost_lookups(node, site_name) == 0


@pytest.mark.on("consul_servers")
def test_h5_a_answers_rotate(site, node, show):
    expected = {address for address, _ in site.passing("httpbackend")}
    first = Counter()
    for _ in range(60):
        answer = dns_ask(node.address, site.name_of("httpbackend"), "A").answer[0]
        assert {record.address for record in answer} == expected
        first[next(iter(answer)).address] += 1
    show(f"first of 60 answers: {dict(first)}")
    assert set(first) == expected


@pytest.mark.on("consul_servers")
def test_h5_srv_gives_ports_and_addresses(site, node):
    expected = site.passing("httpfront")
    message = dns_ask(node.address, site.name_of("httpfront"), "SRV")
    addresses = {rrset.name: record.address for rrset in message.additional for record in rrset if record.rdtype == 1}
    assert {(addresses[record.target], record.port) for record in message.answer[0]} == expected


@pytest.fixture
def networks(user_network) -> list[str]:
    return ["bridge", user_network]


@pytest.mark.on("docker_hosts")
def test_h6_containers_resolve_both_kinds(site, node, asking, site_name):
    assert unresolved(node, asking, [site.name_of("httpbackend"), site_name]) == []


@pytest.mark.more  # the scenario resolver does it on each release
@pytest.mark.on("docker_hosts")
def test_h6_containers_resolve_without_the_local_agent(site, node, settled, asking, agent_stopped, site_name):
    other = next(server for server in site.servers if server is not node)
    eventually(lambda: (node.address, 8081) not in site.passing("httpbackend", other), 60)
    assert unresolved(node, asking, [site.name_of("httpbackend"), site_name]) == []


def test_w42_containers_resolve_while_their_host_s_agent_hangs(site, follower, site_name, show):
    """By the second name server: on the default bridge programs ask it themselves, in other networks dockerd's own DNS does."""
    names = [site.name_of("httpbackend"), site_name]
    with (
        network(follower, "test-w42") as made,
        asking_in(follower, ["bridge"]) as usual,
        asking_in(follower, [made], PATIENT) as patient,
    ):
        containers = [*usual, *patient]
        before = lookup_times(follower, containers, names)
        with frozen_agent(follower):
            hanging = lookup_times(follower, containers, names)
    slow = {place: seconds for place, seconds in hanging.items() if isinstance(seconds, str) or seconds > 6}
    assert slow == {}, f"before: {before}"
    assert all(isinstance(seconds, float) for seconds in before.values()), before
    show(f"seconds of a lookup in a container: {before}; while the agent hangs: {hanging}")
