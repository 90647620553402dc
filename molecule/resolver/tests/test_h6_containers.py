"""H6 by each method: containers resolve both kinds of name, with and without the local agent."""

import pytest

from lookups import unresolved

pytestmark = pytest.mark.on("docker_hosts")


def test_h6_containers_resolve_both_kinds(node, user_network, both):
    assert unresolved(node, ["bridge", user_network, "host"], both) == []


def test_h6_containers_resolve_without_the_local_agent(node, both, steady, user_network, agent_stopped):
    assert unresolved(node, ["bridge", user_network, "host"], both) == []
