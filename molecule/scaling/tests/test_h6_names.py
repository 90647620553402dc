"""H6 on the overlay network: containers of glibc and musl images resolve both kinds of name, with and without the local agent."""

import pytest
from tests.support.dns_load import unresolved

pytestmark = pytest.mark.on("docker_hosts")


@pytest.fixture
def networks(site) -> list[str]:
    return [site.network]


def test_h6_containers_on_the_overlay_resolve_both_kinds(node, asking, both):
    assert unresolved(node, asking, both) == []


def test_h6_containers_on_the_overlay_resolve_without_the_local_agent(node, both, settled, asking, agent_stopped):
    assert unresolved(node, asking, both) == []
