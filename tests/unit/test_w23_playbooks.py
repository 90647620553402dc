"""Every playbook refuses values of a wrong type before it asks a host, and roles take numbers and booleans that are text."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.variables import (
    documented_options,
    literal_problems,
    value_problem,
)
from jinja2 import nodes
from tests.unit.test_role_borders import BARE, JINJA
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
OPTIONS = documented_options(ROOT)
# Nothing listens on the port: a run that comes to its host ends with "unreachable".
INI = """
[consul_servers]
a ansible_host=127.0.0.1 ansible_port=1
[docker_hosts]
a
[load_balancers]
a
[all:vars]
discovery_domain=site.example
discovery_firewall=false
balancer_http_port=80
discovery_management_networks=["10.8.0.0/24"]
"""
CONVERTED = {"bool": ("bool",), "int": ("int", "float"), "float": ("float",)}
FILES = sorted(
    path
    for pattern in ("roles/*/tasks/**/*.yml", "roles/*/handlers/*.yml", "roles/*/vars/*.yml", "roles/*/templates/**/*.j2",
                    "playbooks/*.yml", "playbooks/*/*.yml")
    for path in ROOT.glob(pattern)
    if not path.is_symlink() and "playbooks/roles" not in str(path) and "playbooks/collections" not in str(path)
)  # fmt: skip


def run(tmp_path, playbook: str, *arguments: str) -> subprocess.CompletedProcess:
    (tmp_path / "hosts.ini").write_text(INI)
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.ini", ROOT / playbook, *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"COLUMNS": "1000"}, capture_output=True, text=True)


@pytest.mark.parametrize("playbook", ["site.yml", "playbooks/dns.yml", "playbooks/drain.yml"])
def test_w23_a_text_in_place_of_a_list_stops_before_any_host(tmp_path, playbook):
    """One that preflights the inventory, one that gathers facts, and an operation; every playbook starts as one of these."""
    done = run(tmp_path, playbook, "-e", "discovery_resolvers=192.168.0.253", "-e", "balancer_http_port=eighty")
    text = " ".join(done.stdout.split())
    assert done.returncode == 2 and "unreachable=0" in text and "changed=0" in text, done.stdout + done.stderr
    assert "discovery_resolvers is '192.168.0.253', but must be a list" in text.replace('\\"', '"').replace("''", "'"), text
    assert "balancer_http_port is" in text
    assert not (tmp_path / ".secrets").exists()


@pytest.mark.parametrize("playbook", ["site.yml", "playbooks/dns.yml", "playbooks/drain.yml"])
def test_w23_numbers_and_booleans_of_ini_and_command_line_are_taken(tmp_path, playbook):
    done = run(tmp_path, playbook, "-e", "drain_delay=5", "-e", "discovery_max_clock_skew=2.5", "-e", "rotate_ca=yes")
    assert "failed=0" in done.stdout and "must be" not in done.stdout, done.stdout + done.stderr
    assert "unreachable=1" in done.stdout or playbook.endswith("drain.yml")


@pytest.mark.parametrize("role", sorted(path.parts[-3] for path in ROOT.glob("roles/*/defaults/main.yml")))
def test_w23_defaults_have_their_types(role):
    defaults = parse_yaml((ROOT / f"roles/{role}/defaults/main.yml").read_text()) or {}
    assert literal_problems("a", defaults, OPTIONS) == []
    whole = {name: value for name, value in defaults.items() if isinstance(value, (list, dict)) and "{{" not in str(value)}
    assert [problem for name, value in whole.items() if (problem := value_problem(name, value, OPTIONS[name]))] == []


def texts(value, bare: bool = False):
    """Every text of a YAML value, an expression without braces in braces."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, key in BARE)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, bare)
    elif isinstance(value, str):
        yield "{{ (" + value + ") }}" if bare and "{{" not in value else value


def unconverted(template: str) -> set[str]:
    """Variables that are a number or a boolean, where a template reads them without a filter that makes one of a text."""
    found: set[str] = set()

    def walk(node, parents):
        if isinstance(node, nodes.Name) and OPTIONS.get(node.name, {}).get("type") in CONVERTED:
            filters = [parent.name if isinstance(parent, nodes.Filter) else "" for parent in reversed(parents)]
            first = next((name for name in filters if name != "default"), "")
            if first not in CONVERTED[OPTIONS[node.name]["type"]] and not isinstance(parents[-1], nodes.Test):
                found.add(node.name)
        for inner in node.iter_child_nodes():
            walk(inner, [*parents, node])

    walk(JINJA.parse(template), [])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_w23_a_number_or_boolean_may_be_text(path):
    whole = path.read_text()
    templates = [whole] if path.suffix == ".j2" else [text for text in texts(parse_yaml(whole)) if "{" in text]
    assert set().union(*map(unconverted, templates)) == set(), "add `| int`, `| float` or `| bool`"


def test_w23_what_is_not_converted_is_found():
    assert unconverted("{{ balancer_http_port }}{{ [drain_last] }}") == {"balancer_http_port", "drain_last"}
    assert unconverted("{{ balancer_http_port | string }}{{ a if drain_last else b }}") == {"balancer_http_port", "drain_last"}
    assert unconverted("{{ balancer_http_port | int }}{{ drain_last | default(false) | bool }}{{ other }}") == set()
    assert unconverted("{{ drain_last is defined }}") == set()
