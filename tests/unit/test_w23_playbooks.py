"""Every playbook refuses values of a wrong type before it asks a host, and roles take numbers and booleans that are text."""

import os
import re
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
from tests.unit.test_w23_every_variable import BY_TEXT
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
LISTS = {name for name, option in OPTIONS.items() if option["type"] == "list" and option.get("elements") in ("str", "int")}
AS_LIST = "fewnodes.discovery.as_list"
FILES = sorted(
    path
    for pattern in ("roles/*/tasks/**/*.yml", "roles/*/handlers/*.yml", "roles/*/vars/*.yml", "roles/*/templates/**/*.j2",
                    "playbooks/*.yml", "playbooks/*/*.yml")
    for path in ROOT.glob(pattern)
    if not path.is_symlink() and "playbooks/roles" not in str(path) and "playbooks/collections" not in str(path)
)  # fmt: skip
DEFAULTS = sorted(ROOT.glob("roles/*/defaults/main.yml"))


def run(tmp_path, playbook: str, *arguments: str) -> subprocess.CompletedProcess:
    (tmp_path / "hosts.ini").write_text(INI)
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.ini", ROOT / playbook, *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"COLUMNS": "1000"}, capture_output=True, text=True)


@pytest.mark.parametrize("playbook", ["site.yml", "playbooks/dns.yml", "playbooks/drain.yml"])
def test_w23_a_text_in_place_of_a_list_of_dictionaries_stops_before_any_host(tmp_path, playbook):
    """One that preflights the inventory, one that gathers facts, and an operation; every playbook starts as one of these."""
    done = run(tmp_path, playbook, "-e", "balancer_certificates=a.example", "-e", "balancer_http_port=eighty")
    text = " ".join(done.stdout.split())
    assert done.returncode == 2 and "unreachable=0" in text and "changed=0" in text, done.stdout + done.stderr
    assert "balancer_certificates is 'a.example', but must be a list" in text.replace('\\"', '"').replace("''", "'"), text
    assert "balancer_http_port is" in text
    assert not (tmp_path / ".secrets").exists()


@pytest.mark.parametrize("playbook", ["site.yml", "playbooks/dns.yml", "playbooks/drain.yml"])
def test_w23_numbers_booleans_and_lists_of_ini_and_command_line_are_taken(tmp_path, playbook):
    lists = ["discovery_resolvers=192.168.0.253", "registrator_tags=a, b", 'discovery_management_networks=["10.8.0.0/24"]']
    values = ["drain_delay=5", "discovery_max_clock_skew=2.5", "rotate_ca=yes", *(f"{one!r}" for one in lists)]
    done = run(tmp_path, playbook, *(word for value in values for word in ("-e", value)))
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


def reads(template: str):
    """(variable, first filter after `default`, what it is part of) of each read of a documented variable."""

    def walk(node, parents):
        if isinstance(node, nodes.Name) and node.name in OPTIONS:
            filters = [parent.name if isinstance(parent, nodes.Filter) else "" for parent in reversed(parents)]
            yield node.name, next((name for name in filters if name != "default"), ""), parents[-1]
        for inner in node.iter_child_nodes():
            yield from walk(inner, [*parents, node])

    yield from walk(JINJA.parse(template), [])


def unconverted(template: str) -> set[str]:
    """Variables that are a number or a boolean, where a template reads them without a filter that makes one of a text."""
    return {
        name
        for name, first, part in reads(template)
        if first not in CONVERTED.get(OPTIONS[name]["type"], (first,)) and not isinstance(part, nodes.Test)
    }


def unlisted(template: str) -> set[str]:
    """Variables that are a list of texts or numbers, where a template reads them without the filter that makes one of a text."""
    defined = ("defined", "undefined")
    return {
        name
        for name, first, part in reads(template)
        if name in LISTS and first != AS_LIST and not (isinstance(part, nodes.Test) and part.name in defined)
    }


def unlisted_of_hosts(text: str) -> set[str]:
    """Lists of other hosts that a file reads without the filter; `hostvars[host].name` has none of its own."""
    taken = re.findall(r"'extract', *hostvars, *'(\w+)'\)((?:\s*\| map\('[^']+'(?:, [^)]+\](?:, true)?)?\))*)", text)
    direct = {name for match in BY_TEXT.findall(text) for name in match} - {name for name, _ in taken}
    return {name for name, then in taken if name in LISTS and f"| map('{AS_LIST}')" not in then} | direct & LISTS


def templates_of(path: Path) -> list[str]:
    whole = path.read_text()
    return [whole] if path.suffix == ".j2" else [text for text in texts(parse_yaml(whole)) if "{" in text]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_w23_a_number_or_boolean_may_be_text(path):
    assert set().union(*map(unconverted, templates_of(path))) == set(), "add `| int`, `| float` or `| bool`"


@pytest.mark.parametrize("path", [*FILES, *DEFAULTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_w23_a_list_may_be_a_single_text(path):
    """Its default is one, too, or reads another variable by the filter."""
    assert set().union(*map(unlisted, templates_of(path))) == set(), f"add `| {AS_LIST}`"
    assert unlisted_of_hosts(path.read_text()) == set(), f"add `| map('{AS_LIST}')`"


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_w23_a_list_of_a_host_that_a_plugin_reads_may_be_a_single_text(path):
    lines = [line for line in path.read_text().splitlines() for name in LISTS if f'.get("{name}"' in line]
    assert [line for line in lines if "as_list(" not in line] == []


def test_w23_a_list_of_another_host_is_found():
    one = "hosts | map('extract', hostvars, 'consul_template_keys')\n  | map('default', ['config/'])"
    assert unlisted_of_hosts(one) == {"consul_template_keys"}
    assert unlisted_of_hosts(f"{one}\n  | map('{AS_LIST}')") == set()
    assert unlisted_of_hosts("hostvars[host].registrator_tags ~ hostvars[host]['registrator_tags']") == {"registrator_tags"}


def test_w23_what_is_no_list_yet_is_found():
    for text in ("{{ balancer_listen }}", "{{ balancer_listen | first }}", "{{ [] is subset(balancer_listen) }}",
                 "{% for one in balancer_listen %}{% endfor %}", "{{ x in balancer_listen | default([]) }}",
                 "{{ balancer_listen is subset([]) }}"):  # fmt: skip
        assert unlisted(text) == {"balancer_listen"}, text
    assert unlisted(f"{{{{ balancer_listen | default([]) | {AS_LIST} | first }}}}{{{{ balancer_listen is defined }}}}") == set()
    assert unlisted("{{ balancer_certificates }}") == set(), "a text cannot stand for these"


def test_w23_what_is_not_converted_is_found():
    assert unconverted("{{ balancer_http_port }}{{ [drain_last] }}") == {"balancer_http_port", "drain_last"}
    assert unconverted("{{ balancer_http_port | string }}{{ a if drain_last else b }}") == {"balancer_http_port", "drain_last"}
    assert unconverted("{{ balancer_http_port | int }}{{ drain_last | default(false) | bool }}{{ other }}") == set()
    assert unconverted("{{ drain_last is defined }}") == set()
