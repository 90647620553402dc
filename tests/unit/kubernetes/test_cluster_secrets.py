"""A cluster has no secret of hosts or of another cluster of its inventory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import cluster_secrets, site
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
CLUSTER = {"kubernetes_clusters": ["k"]}
SITE = CLUSTER | {"consul_servers": ["a", "b"]}
TWO = {"kubernetes_clusters": ["k", "l"]}


def problems(groups, of_all="", of_k="", **given) -> list[str]:
    names = [name for members in groups.values() for name in members]
    variables = {name: {"inventory_dir": "/site"} | ({"discovery_secrets_dir": of_all} if of_all else {}) for name in names}
    if of_k:
        variables["k"]["discovery_secrets_dir"] = of_k
    return cluster_secrets.cluster_secrets_problems("k", groups, variables, **given)


def test_a_cluster_alone_in_its_inventory():
    assert problems(CLUSTER) == problems(CLUSTER | {"consul_servers": []}) == problems(CLUSTER, directory="/by/play") == []


@pytest.mark.parametrize(("groups", "others"), [(SITE, "hosts a, b"), (TWO, "host l")])
def test_the_directory_of_others(groups, others):
    message = (
        "discovery_secrets_dir of host k is {0}, and that of " + others + " as well: they would share gossip key, CA and tokens."
        " Set it in the inventory, for host k alone, to another directory, such as {0}-k"
    )
    assert problems(groups) == [message.format("/site/.secrets")]
    assert problems(groups, "/srv/secrets") == [message.format("/srv/secrets")]
    assert problems(groups, of_k="/site/../site/.secrets") == [message.format("/site/.secrets")]


@pytest.mark.parametrize("groups", [SITE, TWO])
def test_a_directory_of_its_own(groups):
    assert problems(groups, of_k="/site/.secrets-k") == problems(groups, "/srv/secrets", "/site/.secrets") == []
    assert problems(groups, of_k="~/k", directory=str(Path("~/k").expanduser())) == []


def test_a_link_to_the_directory_of_others(tmp_path):
    (tmp_path / "k").symlink_to(tmp_path / "secrets")
    (found,) = problems(SITE, str(tmp_path / "secrets"), str(tmp_path / "k"))
    assert "they would share" in found


def test_a_directory_that_a_play_gives_to_whoever_is_in_it():
    (found,) = problems(TWO, directory="/by/play")
    assert found == (
        "discovery_secrets_dir of host k is /by/play by a play, but /site/.secrets by the inventory, which has host l, too: set"
        " it in the inventory, for host k alone"
    )


def test_a_host_that_is_a_server_and_a_cluster():
    (found,) = problems(SITE | {"consul_servers": ["k"]})
    assert found == "host k is in consul_servers and in kubernetes_clusters: give the cluster an inventory name of its own"


def test_an_inventory_without_a_directory():
    (found,) = cluster_secrets.shared_secrets_problems(SITE, {"k": {}, "a": {}, "b": {}})
    assert "discovery_secrets_dir is not set" in found


def test_the_site_refuses_it_too_when_the_cluster_was_there_first():
    def found(groups, of_k):
        host = {"discovery_domain": "haus.example", "inventory_dir": "/site", "ansible_host": "192.0.2.1"}
        return site.site_problems(groups, {"a": host, "k": {"inventory_dir": "/site", "discovery_secrets_dir": of_k}})

    groups = {"consul_servers": ["a"], "kubernetes_clusters": ["k"]}
    assert [text for text in found(groups, "/site/.secrets") if "they would share" in text]
    assert found(groups, "/site/.secrets-k") == found({"consul_servers": ["a"]}, "/site/.secrets") == []


INVENTORY = """
all: {vars: {ansible_connection: local, consul_kubernetes_image: "registry.example/consul@sha256:%s"}}
kubernetes_clusters: {hosts: {k: {%s}}}
%s
"""
OTHERS = ["consul_servers: {hosts: {a: {}}}", "other: {children: {kubernetes_clusters: {hosts: {l: {}}}}}"]


def stopped(tmp_path, of_k: str, others: str, *arguments: str) -> str:
    """What the role's first check of settings says of k, by Ansible itself; no cluster is asked."""
    (tmp_path / "hosts.yml").write_text(INVENTORY % ("0" * 64, of_k, others))
    tasks = parse_yaml((ROOT / "roles/consul_kubernetes/tasks/preflight.yml").read_text())
    (task,) = (task for task in tasks if task["name"] == "preflight | Stop at wrong settings")
    files = [str(ROOT / f"roles/consul_kubernetes/{part}/main.yml") for part in ("defaults", "vars")]
    play = {"hosts": "k", "gather_facts": False, "vars_files": files, "tasks": [task]}
    (tmp_path / "play.json").write_text(json.dumps([play]))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("others", OTHERS)
def test_the_role_stops_before_it_asks_the_cluster(tmp_path, others):
    assert "of host k is" in (found := stopped(tmp_path, "", others)) and "they would share" in found
    own = 'discovery_secrets_dir: "{{ inventory_dir }}/.secrets-{{ inventory_hostname }}"'
    assert "failed=0" in stopped(tmp_path, own, others)
    assert "they would share" in stopped(tmp_path, own, others, "-e", "discovery_secrets_dir=/given/to/all")


def test_the_role_goes_on_with_a_cluster_alone(tmp_path):
    assert "failed=0" in stopped(tmp_path, "", "")
