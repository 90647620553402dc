"""The role consul_kubernetes beside the code that it carries, the role consul, and the sites of hosts."""

import re
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import kubernetes_manifests as made
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.kubernetes_checks import needed_rights
from kubernetes_settings import settings
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles/consul_kubernetes"
DEFAULTS = parse_yaml((ROLE / "defaults/main.yml").read_text())
OF_HOSTS = parse_yaml((ROOT / "roles/consul/defaults/main.yml").read_text())


def test_the_role_gives_every_setting():
    assert set(parse_yaml((ROLE / "vars/main.yml").read_text())["__consul_kubernetes_settings"]) == made.SETTINGS


@pytest.mark.parametrize("name", ["policies", "host_policies"])
def test_rights_of_tokens_are_those_of_hosts(name):
    ours, theirs = DEFAULTS[f"consul_kubernetes_{name}"], OF_HOSTS[f"consul_{name}"]
    assert ours.items() <= theirs.items()


@pytest.mark.parametrize("name", ["site_tokens", "response_headers", "domain", "raft_multiplier", "log_level", "dns_service_ttl"])
def test_defaults_are_those_of_hosts(name):
    assert DEFAULTS[f"consul_kubernetes_{name}"] == OF_HOSTS[f"consul_{name}"]


def test_rights_are_asked_for_every_object():
    secrets = [made.secret(settings(), part, {}) for part in made.SECRETS]
    objects = [made.namespace(settings()), *secrets, *made.manifests(settings())]
    rights = {(one["group"], one["resource"], one["verb"]) for one in needed_rights("consul", cluster_dns=False)}
    for one in objects:
        resource = re.sub("ys$", "ies", one["kind"].lower() + "s")
        for verb in ("create", "get", "patch"):
            assert (one["apiVersion"].rpartition("/")[0], resource, verb) in rights, one["kind"]


def test_objects_with_secrets_are_never_shown():
    for path in (ROLE / "tasks").glob("*.yml"):
        for task in re.split(r"\n(?= *- name:)", path.read_text()):
            if "fewnodes.discovery.kubernetes_secret(" in task:
                assert "no_log: true" in task and "diff: false" in task, path


def test_a_site_of_hosts_has_no_task_more():
    site = (ROOT / "playbooks/site.yml").read_text() + (ROOT / "playbooks/preflight.yml").read_text()
    assert "kubernetes" not in site
    callers = [path.name for path in (ROOT / "playbooks").glob("*.yml") if "role: consul_kubernetes" in path.read_text()]
    assert callers == ["consul_kubernetes.yml"]


def test_only_its_own_user_needs_the_python_client():
    for name in ("requirements.txt", "requirements-dev.txt", "requirements.lock"):
        assert not re.search(r"^kubernetes\b", (ROOT / name).read_text(), re.MULTILINE)
    imports = re.compile(r"^\s*(import|from) kubernetes\b", re.MULTILINE)
    assert [path.name for path in (ROOT / "plugins").rglob("*.py") if imports.search(path.read_text())] == ["kubernetes_api.py"]


@pytest.mark.parametrize("name", ["docs/kubernetes.md", "roles/consul_kubernetes/README.md", "playbooks/consul_kubernetes.yml"])
def test_the_first_lines_say_what_it_was_tried_on(name):
    text = " ".join("\n".join((ROOT / name).read_text().splitlines()[:4]).replace("**", "").replace("\n# ", " ").split())
    assert "Do not use this for anything that matters" in text
    assert "has run on one cluster, the lab's" in text
