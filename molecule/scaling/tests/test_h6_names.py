"""H6 on the overlay network: containers of glibc and musl images resolve both kinds of name, with and without the local agent."""

import pytest
from tests.support.dns_load import PATIENT, frozen_agent, lookup_times, unresolved
from tests.support.dns_load import asking as asking_in


@pytest.fixture
def networks(site) -> list[str]:
    return [site.network]


@pytest.mark.more
@pytest.mark.on("docker_hosts")
def test_h6_containers_on_the_overlay_resolve_both_kinds(node, asking, both):
    assert unresolved(node, asking, both) == []


@pytest.mark.more
@pytest.mark.on("docker_hosts")
def test_h6_containers_on_the_overlay_resolve_without_the_local_agent(node, both, settled, asking, agent_stopped):
    assert unresolved(node, asking, both) == []


def test_w42_containers_on_the_overlay_resolve_while_their_host_s_agent_hangs(site, follower, both, show):
    """By the second name server, which dockerd's own DNS asks."""
    with asking_in(follower, [site.network], PATIENT) as containers, frozen_agent(follower):
        hanging = lookup_times(follower, containers, both)
    assert {place: seconds for place, seconds in hanging.items() if isinstance(seconds, str) or seconds > 6} == {}
    show(f"seconds of a lookup in a container while the agent hangs: {hanging}")
