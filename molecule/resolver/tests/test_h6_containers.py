"""H6 by each method: containers resolve both kinds of name, with and without the local agent."""

import pytest
from tests.support.dns_load import unresolved

pytestmark = pytest.mark.on("docker_hosts")


@pytest.fixture
def networks(user_network) -> list[str]:
    return ["bridge", user_network, "host"]


def test_h6_containers_resolve_both_kinds(node, asking, both):
    assert unresolved(node, asking, both) == []


def test_h6_containers_resolve_without_the_local_agent(node, both, steady, asking, agent_stopped):
    assert unresolved(node, asking, both) == []
