"""W28: a host gets another name, and its old one back; a dead name that the inventory does not have is removed."""

import json
import uuid

import pytest
from cryptography import x509
from tests.support.cluster import alive, known, members, others_of, peers, victim
from tests.support.playbook import altered_inventory, assert_refused, assert_unchanged, play, state_of
from tests.support.wait import eventually

NEW, DEAD = "ward-3", "gone-1"
FAILED = 4  # the status of a member
PORT = 18301


def renamed(old: str, new: str):
    """Another key for one host, in every group."""

    def alter(part):
        if not isinstance(part, dict):
            return part
        return {new if key == old else key: alter(value) for key, value in part.items()}

    return alter


def rename(site, inventory, old: str, new: str):
    return play(site, "playbooks/rename_node.yml", "-e", f"rename_from={old}", "-e", f"rename_host={new}", inventory=inventory)


def names_in(node, path: str) -> list[str]:
    certificate = x509.load_pem_x509_certificate(node.run(f"cat {path}").encode())
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def remains(site, name: str, asked) -> list[str]:
    """Where the site still has a name: the cluster, tokens there and on the controller, keys."""
    api = site.consul(asked)
    tokens = [token["Description"] for token in api.get("/v1/acl/tokens") if token["Description"].endswith(f" on {name}")]
    files = [path.name for path in (site.secrets / "tokens").iterdir() if path.name.endswith(f"-{name}")]
    keys = [key for key in api.get("/v1/kv/?keys") if key.endswith(f"/{name}")]
    return known(site, name, asked) + tokens + files + keys


@pytest.mark.more
def test_w28_a_renamed_host_is_refused_before_anything_changes(site, settled, tmp_path):
    node = victim(site)
    inventory = altered_inventory(site.inventory, tmp_path / "renamed", renamed(node.name, NEW))
    before = state_of(site)
    done, _ = play(site, "site.yml", inventory=inventory)
    assert_refused(done, [f"host {NEW} is node {node.name}", f"-e rename_from={node.name} -e rename_host={NEW}"])
    assert state_of(site) == before


@pytest.mark.more
def test_w28_a_host_gets_another_name_and_its_old_one_back(site, settled, load, show, tmp_path):
    node = victim(site)
    asked = others_of(site, node)[0]
    ids, old = peers(site, asked), node.name
    inventory = altered_inventory(site.inventory, tmp_path / "renamed", renamed(old, NEW))
    containers = set(node.run("docker ps --format '{{.Names}}'").split())
    try:
        with load.planned("rename"):
            done, seconds = rename(site, inventory, old, NEW)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
        show(f"renamed in {seconds:.0f} s")
        for other in others_of(site, node):
            eventually(lambda other=other: not remains(site, old, other), 30)  # gossip spreads
        assert known(site, NEW, asked) == ["raft", "gossip", "catalog"]
        assert peers(site, asked)[NEW] == ids[old], "its data stays"
        assert NEW in names_in(node, "/etc/consul.d/tls/agent.pem") and old not in names_in(node, "/etc/consul.d/tls/agent.pem")
        own = {node.run("hostname").strip()}  # what the machine calls itself, dockerd answers to
        assert NEW in names_in(node, "/etc/docker/tls/server.pem")
        assert old not in set(names_in(node, "/etc/docker/tls/server.pem")) - own
        assert set(node.run("docker ps --format '{{.Names}}'").split()) == containers
        page = play(site, "playbooks/status.yml", inventory=inventory)[0].stdout
        assert "nothing wrong" in page, page
        assert_unchanged(play(site, "site.yml", inventory=inventory)[0])
        again, _ = rename(site, inventory, old, NEW)
        assert_unchanged(again)
    finally:
        if known(site, NEW, asked):
            done, _ = rename(site, site.inventory, NEW, old)
            assert done.returncode == 0, done.stdout[-4000:]
    assert remains(site, NEW, asked) == []
    assert_unchanged(play(site, "site.yml")[0])


@pytest.fixture
def dead_name(site):
    """A client that nobody has in an inventory has joined and died; a token of the site has its name."""
    node = victim(site)
    config = json.loads(node.feed("cat /etc/consul.d/consul.json", ""))
    for key in ("server", "bootstrap_expect", "autopilot", "peering", "ui_config", "acl"):
        config.pop(key, None)
    ports = dict.fromkeys(("dns", "http", "https", "grpc", "grpc_tls", "serf_wan"), -1) | {"serf_lan": PORT}
    config |= {"node_name": DEAD, "node_id": str(uuid.uuid4()), "data_dir": "/root/gone-data", "ports": ports}
    node.feed("sh -c 'umask 077; cat >/root/gone.json'", json.dumps(config))
    node.run("systemd-run --quiet --collect --unit=gone /usr/local/bin/consul agent -config-file=/root/gone.json")
    try:
        eventually(lambda: known(site, DEAD) == ["gossip", "catalog"], 60)
        site.consul().put("/v1/acl/token", {"Description": f"agent on {DEAD}"})
        yield DEAD
    finally:
        node.tries("systemctl kill -s KILL gone; systemctl stop gone")
        node.run("rm -rf /root/gone.json /root/gone-data")


@pytest.mark.more
def test_w28_a_dead_name_is_removed_a_living_or_unknown_one_not(site, settled, dead_name):
    node = victim(site)

    def remove(name: str):
        done, _ = play(site, "playbooks/remove_node.yml", "-e", f"remove_host={name}", "-e", "remove_rotate=false")
        return done, " ".join(done.stdout.split())

    if alive(site, dead_name):
        done, output = remove(dead_name)
        assert done.returncode != 0 and "but a living member at" in output
    node.run("systemctl kill -s KILL gone")
    eventually(lambda: members(site)[dead_name]["Status"] == FAILED, 60)
    votes = peers(site)
    done, output = remove(dead_name)
    assert done.returncode == 0, output[-4000:]
    for server in site.servers:
        eventually(lambda server=server: not remains(site, dead_name, server), 30)
    assert peers(site) == votes
    done, output = remove(dead_name)
    assert done.returncode != 0 and "and no node of the cluster: set it to one of" in output
