"""K10: two of three servers are lost with their data; the third becomes the cluster, and they are replaced."""

import pytest
from tests.support.cluster import peers, put, wipe
from tests.support.playbook import play
from tests.support.wait import eventually


def recover(site, *options):
    return play(site, "playbooks/recover_quorum.yml", *options)


@pytest.mark.more
def test_k10_two_of_three_lost_and_recovered(site, settled, show):
    survivor, *lost = site.servers
    before = peers(site)
    put(site, "k10", "kept")
    for node in lost:
        wipe(node)
    eventually(lambda: site.consul(survivor).get("/v1/status/leader") == "", 60)

    done, seconds = recover(site, "-e", f"recover_datacenter={site.datacenter}")
    assert done.returncode == 0, done.stdout[-3000:]
    show(f"recover_quorum {seconds:.0f} s")
    assert peers(site, survivor) == {survivor.name: before[survivor.name]}
    assert survivor.tries("test -d /var/lib/consul/raft.before-recovery").rc == 0

    for node in lost:
        done, seconds = play(site, "playbooks/replace_node.yml", "-e", f"replace_host={node.name}")
        assert done.returncode == 0, done.stdout[-3000:]
        show(f"replace_node {node.name} {seconds:.0f} s")
    site.settle()
    assert set(peers(site)) == set(before)
    for node in site.servers:
        entry = site.consul(node).get("/v1/kv/k10?stale")
        assert entry[0]["Value"] == "a2VwdA=="  # kept
