"""A host's name in the inventory goes to nobody but Ansible and people: Consul, certificates, tokens and containers get the name
of its node (filter node_names), which may be another one."""

import re
from pathlib import Path

import pytest
from jinja2 import nodes
from tests.unit.test_role_borders import BARE, JINJA
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
NAME = "inventory_hostname"
FOR_PEOPLE = {"msg", "message", "refuse", "fail_msg", "success_msg"}
# Filters that take names of the inventory, alone or in a list.
TAKERS = {
    "addresses", "node_names", "left_parts", "union", "difference", "reject", "rejectattr", "selectattr", "default", "map",
    "lower", "acme_slot",
}  # fmt: skip
# Key of a YAML file, where a rule would take more room than what it allows.
ALLOWED = {
    "roles/consul/tasks/recover_quorum/main.yml: name",  # of a report, compared with consul_servers
    "roles/docker_cluster_store/tasks/token.yml: __docker_cluster_store_missing",  # a message
    "roles/dockerd/tasks/warnings.yml: loop",  # messages
    "roles/overlay_network/tasks/service.yml: delegate_to",
}
NODE = re.compile(r"node_names|__\w+_node(_name)?\b|__drain_here[.]node|<component>|^site_node$")
TOKEN = re.compile(r"tokens/[a-z_]+-(?:' *~ *| *\{\{ *)([^}]+)")  # what comes after the component
FILES = sorted(
    path
    for pattern in ("roles/*/tasks/**/*.yml", "roles/*/handlers/*.yml", "roles/*/vars/*.yml", "roles/*/defaults/*.yml",
                    "roles/*/templates/**/*.j2", "playbooks/*.yml", "playbooks/tasks/*.yml", "playbooks/vars/*.yml")
    for path in ROOT.glob(pattern)
)  # fmt: skip


def texts(value, key: str = "", bare: bool = False):
    """Every text of a YAML value that has an expression, with the key that it stands below."""
    if isinstance(value, dict):
        for inner_key, inner in value.items():
            yield from texts(inner, str(inner_key), inner_key in BARE)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, key, bare)
    elif isinstance(value, str) and NAME in value:
        yield key, "{{ (" + value + ") }}" if bare and "{{" not in value else value


def is_for_ansible(parents: list) -> bool:
    """Whether an expression compares the name with names of the inventory, or looks a host up by it."""
    for parent in reversed(parents):
        if isinstance(parent, (nodes.Compare, nodes.Operand, nodes.Getitem, nodes.Test)):
            return True
        if isinstance(parent, nodes.Call):
            return isinstance(parent.node, nodes.Getattr) and parent.node.attr in ("get", "index")
        if isinstance(parent, nodes.Filter):
            short = parent.name.rpartition(".")[2]
            return short.endswith("_problems") or short in TAKERS
        if not isinstance(parent, nodes.List):
            return False
    return False


def strange(template: str) -> bool:
    """Whether a template gives the name to somebody else."""
    found = []

    def walk(node, parents):
        if isinstance(node, nodes.Name) and node.name == NAME:
            found.append(is_for_ansible(parents))
        for inner in node.iter_child_nodes():
            walk(inner, [*parents, node])

    walk(JINJA.parse(template), [])
    return not all(found)


def uses(path: Path) -> list[str]:
    file = str(path.relative_to(ROOT))
    if path.suffix == ".j2":
        return [file] if NAME in path.read_text() else []
    content = parse_yaml(path.read_text())
    found = []
    for key, text in texts(content):
        own_list = path.parent.name == "defaults" and text.strip() == "{{ " + NAME + " }}"  # a list of hosts: this one
        if strange(text) and not own_list and key not in FOR_PEOPLE and f"{file}: {key}" not in ALLOWED:
            found.append(f"{file}: {key}: {text}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_w29_the_inventory_s_name_stays_with_ansible(path):
    assert uses(path) == [], "use the node's name"


GIVEN_AWAY = [
    "{{ inventory_hostname }}",
    "tokens/agent-{{ inventory_hostname }}",
    "{{ 'a' ~ inventory_hostname }}",
    "{{ lookup('x', host=inventory_hostname) }}",
    "{{ lookup('x', inventory_hostname) }}",
    "{{ {'node': inventory_hostname} }}",
]
KEPT = [
    "{{ inventory_hostname in groups['a'] }}",
    "{{ [inventory_hostname] | fewnodes.discovery.addresses(hostvars) }}",
    "{{ hostvars[inventory_hostname] }}",
    "{{ plan.get(inventory_hostname, {}) }}",
    "{{ inventory_hostname | fewnodes.discovery.host_problems('a') }}",
]


def test_w29_what_gives_the_name_away_is_found():
    assert [text for text in GIVEN_AWAY if not strange(text)] == []
    assert [text for text in KEPT if strange(text)] == []


def settings(value):
    """Every key of a YAML value with its text."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, str):
            yield key, inner
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from settings(inner)


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".yml"], ids=lambda path: str(path.relative_to(ROOT)))
def test_w29_nodes_and_tokens_have_the_node_s_name(path):
    """Whatever variable has the host: options node and nodes of modules, and secrets of one host."""
    content = parse_yaml(path.read_text())
    given = [text for key, text in settings(content) if key in ("node", "nodes", "node_name", "balancer_removed_node")]
    assert [text for text in given if "{{" in text and not NODE.search(text)] == []
    names = [found for _, text in settings(content) for found in TOKEN.findall(text)]
    assert [name for name in names if not NODE.search(name)] == []


def test_w29_each_exception_is_needed():
    files = {path: parse_yaml(path.read_text()) for path in FILES if path.suffix == ".yml"}
    given = {f"{path.relative_to(ROOT)}: {key}" for path, content in files.items() for key, _ in texts(content)}
    assert given >= ALLOWED
