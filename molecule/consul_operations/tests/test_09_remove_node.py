"""K9: a server is removed from the running site, and added again."""

import pytest
from tests.support.cluster import agents, known, others_of, peers, victim, without_ssh
from tests.support.playbook import play
from tests.support.resolver import servers
from tests.support.wait import eventually


def remove(site, node, *options):
    return play(site, "playbooks/remove_node.yml", "-e", f"remove_host={node.name}", *options)


@pytest.fixture
def added_again(site):
    """After the test the removed server is a server again: the ordinary way, by site.yml."""
    yield
    done, _ = play(site, "site.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    site.settle()


@pytest.mark.more
def test_k9_a_server_is_removed_and_added_again(site, settled, load, show, added_again):
    node = victim(site)
    others = others_of(site, node)
    running = agents(others)
    before = {path.read_text().strip() for path in [site.secrets / "management_token", *(site.secrets / "tokens").iterdir()]}
    gossip = site.secrets.joinpath("gossip_key").read_text()
    containers = set(node.run("docker ps --format '{{.Names}}'").split())
    with load.planned("remove_node"):
        done, seconds = remove(site, node)
    assert done.returncode == 0, done.stdout[-3000:]
    show(f"remove_node {seconds:.0f} s")
    for asked in others:
        eventually(lambda asked=asked: not known(site, node.name, asked), 30)  # gossip spreads
        assert set(peers(site, asked)) == {server.name for server in others}
    assert node.unit("consul", "ActiveState", "UnitFileState") == ["inactive", "disabled"]
    assert set(node.run("docker ps --format '{{.Names}}'").split()) == containers - {"registrator"}
    assert [server for server in servers(node) if server.startswith("127.")] == [], "its agent has ended"
    secret = "/var/lib/consul* /var/backups/consul /etc/consul.d /etc/registrator/token /etc/consul-template/token"
    assert node.run(f"ls -d {secret} 2>/dev/null || true") == ""
    known_now = {token["SecretID"] for token in site.consul().get("/v1/acl/tokens")}
    assert not before & known_now and gossip != site.secrets.joinpath("gossip_key").read_text(), "what it knew is rotated"
    assert not site.secrets.joinpath("rotation_due").exists()
    for balancer in site.balancers:
        assert node.address not in balancer.run("cat /var/lib/discovery-balancer/current/*.conf")
    done, _ = remove(site, node)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "changed=0" in done.stdout and "changed=1" not in done.stdout

    with load.planned("a server is added"):
        done, seconds = play(site, "site.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    show(f"added again by site.yml in {seconds:.0f} s")
    assert set(peers(site)) == {server.name for server in site.servers}
    assert agents(others) == running


@pytest.mark.more
def test_k9_a_dead_server_is_removed_without_it(site, settled, load, show, added_again, tmp_path):
    node = victim(site)
    others = others_of(site, node)
    with load.crash("a server dies"):
        node.run("systemctl kill -s KILL consul; systemctl stop consul")
        eventually(lambda: not site.consul().get("/v1/operator/autopilot/state")["Healthy"], 30)
    with load.planned("remove_node of a dead server"):
        done, seconds = remove(site, node, *without_ssh(tmp_path, node))
    assert done.returncode == 0, done.stdout[-3000:]
    show(f"remove_node of a dead server {seconds:.0f} s")
    for asked in others:
        assert known(site, node.name, asked) == []
    node.run("rm -rf /var/lib/consul")  # what comes back from the dead comes back empty
