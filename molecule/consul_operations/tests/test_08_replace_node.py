"""K8: a server comes back with an empty disk."""

import pytest
from tests.support.cluster import agents, new_machine, others_of, peers, put, victim
from tests.support.playbook import play


@pytest.mark.more
def test_k8_a_server_with_an_empty_disk_is_replaced(site, settled, load, show):
    node = victim(site)
    others = others_of(site, node)
    before, running = peers(site), agents(others)
    put(site, "k8", "kept")
    new_machine(site, node)
    with load.planned("replace_node"):
        done, seconds = play(site, "playbooks/replace_node.yml", "-e", f"replace_host={node.name}")
    assert done.returncode == 0, done.stdout[-3000:]
    show(f"replace_node {seconds:.0f} s")
    after = peers(site)
    assert set(after) == set(before)
    assert after[node.name] != before[node.name]
    assert agents(others) == running
    assert site.consul(node).get("/v1/kv/k8?stale")[0]["Value"] == "a2VwdA=="  # kept
    done, _ = play(site, "playbooks/sample_services.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    site.settle()
