"""K3: an upgrade of Consul on the running site."""

from tests.support.cluster import Leaders, starts
from tests.support.playbook import play


def versions(site) -> dict[str, str]:
    """The version that each agent reports."""
    return {node.name: site.consul(node).get("/v1/agent/self")["Config"]["Version"] for node in site.servers}


def test_k3_upgrade_one_agent_at_a_time_the_leader_last(site, load, show):
    assert set(versions(site).values()) == {"1.22.6"}, "the scenario starts with the version before"
    with load.planned("upgrade"), Leaders(site) as leaders:
        done, seconds = play(site, "playbooks/upgrade_consul.yml")
        assert done.returncode == 0, done.stdout[-3000:]
        site.settle()
    assert set(versions(site).values()) == {"1.22.7"}
    leaders.assert_last(starts(site))
    assert list(site.inventory.glob(".backups/*")), "no snapshot was taken first"
    show(f"1.22.6 to 1.22.7 on three servers in {seconds:.0f} s")
