"""H6 on the overlay network: containers of glibc and musl images resolve both kinds of name, with and without the local agent."""

import pytest

from lookups import unresolved

pytestmark = pytest.mark.on("docker_hosts")


def test_h6_containers_on_the_overlay_resolve_both_kinds(site, node, both):
    assert unresolved(node, [site.network], both) == []


def test_h6_containers_on_the_overlay_resolve_without_the_local_agent(site, node, both, settled, agent_stopped):
    assert unresolved(node, [site.network], both) == []
