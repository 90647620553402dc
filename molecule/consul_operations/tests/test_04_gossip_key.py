"""K4: a new gossip key for the running cluster."""

import json

import pytest
from tests.support.cluster import alive, starts
from tests.support.playbook import play
from tests.support.wait import eventually

PLAYBOOK = "playbooks/rotate_gossip_key.yml"
KEYRING = "/v1/operator/keyring"


def keys(site) -> set[str]:
    """Every key that any member has, as the cluster reports it."""
    return {key for ring in site.consul().get(KEYRING) for key in ring["Keys"]}


def assert_rotated(site, key: str) -> None:
    """This key, and no other: in the secrets, on every member, in every file."""
    assert (site.secrets / "gossip_key").read_text() == key
    assert not (site.secrets / "gossip_key.next").exists()
    assert keys(site) == {key}
    for node in site.servers:
        assert json.loads(node.run("cat /var/lib/consul/serf/local.keyring")) == [key], node.name
        assert json.loads(node.run("cat /etc/consul.d/consul.json"))["encrypt"] == key, node.name


def test_k4_gossip_key_is_rotated_without_a_restart(site, settled, load, show):
    before, key = starts(site), (site.secrets / "gossip_key").read_text()
    with load.planned("gossip key"):
        done, seconds = play(site, PLAYBOOK)
        assert done.returncode == 0, done.stdout[-3000:]
    new = (site.secrets / "gossip_key").read_text()
    assert new != key
    assert_rotated(site, new)
    assert starts(site) == before
    assert key not in done.stdout and new not in done.stdout, "a key was printed"
    show(f"new gossip key on {len(site.servers)} servers in {seconds:.0f} s")


@pytest.mark.more
def test_k4_interrupted_rotation_goes_on_with_the_same_key(site, settled, load):
    """As a run leaves it that dies after the new key came into use."""
    key = "bmV3IGtleSBvZiBhbiBpbnRlcnJ1cHRlZCBydW4gMDE="
    (site.secrets / "gossip_key.next").touch(mode=0o600)
    (site.secrets / "gossip_key.next").write_text(key)
    site.consul().ask(KEYRING, "POST", {"Key": key})
    site.consul().ask(KEYRING, "PUT", {"Key": key})
    assert len(keys(site)) == 2
    with load.planned("gossip key, continued"):
        done, _ = play(site, PLAYBOOK)
        assert done.returncode == 0, done.stdout[-3000:]
    assert_rotated(site, key)


@pytest.mark.more
def test_k4_refused_while_a_member_is_away(site, settled):
    key = (site.secrets / "gossip_key").read_text()
    away = next(node for node in site.servers if site.leader() != f"{node.address}:8300" and node is not site.servers[0])
    away.run("systemctl stop consul")
    try:
        eventually(lambda: not alive(site, away.name), 60)
        done, _ = play(site, PLAYBOOK)
    finally:
        away.run("systemctl start consul")
    assert done.returncode != 0
    assert f"{away.name} is not alive in the cluster" in " ".join(done.stdout.split()), done.stdout[-3000:]
    assert_rotated(site, key)
