"""H6 by each method: containers resolve both kinds of name, with and without the local agent."""

import pytest

from lookups import unresolved

pytestmark = pytest.mark.on("docker_hosts")


@pytest.fixture
def networks(node):
    """The default bridge, a user-defined network, and the host's own."""
    node.run("docker network create test-names")
    yield ["bridge", "test-names", "host"]
    node.tries("docker network rm test-names")


def test_h6_containers_resolve_both_kinds(node, networks, both):
    assert unresolved(node, networks, both) == []


def test_h6_containers_resolve_without_the_local_agent(site, node, networks, both, steady):
    node.run("systemctl stop consul")
    try:
        assert unresolved(node, networks, both) == []
    finally:
        node.run("systemctl start consul")
