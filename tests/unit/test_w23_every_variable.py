"""Whatever a play reads is documented, and so checked: names that templates read, that are looked up by text, and all hosts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import renamed
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.variables import documented_options
from tests.unit.test_role_borders import COMMON, MAGIC, PLAYBOOKS, defined, own, read
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
OPTIONS = set(documented_options(ROOT))
VARS = {path: parse_yaml(path.read_text()) for path in sorted((ROOT / "playbooks/vars").glob("*.yml"))}
TASKS = {path: parse_yaml(path.read_text()) for path in sorted((ROOT / "playbooks/tasks").glob("*.yml"))}
PLAYS = {path: parse_yaml(path.read_text()) for path in PLAYBOOKS}
# What a play leaves for the next ones, of its own and of the roles that it calls.
LEFT = defined(list(PLAYS.values())) | defined(list(TASKS.values())) | set().union(*(set(content) for content in VARS.values()))
EVERY = {str(path.relative_to(ROOT)): content for part in (VARS, TASKS, PLAYS) for path, content in part.items()}
BY_TEXT = re.compile(
    r"hostvars\[[^]]+\](?:\.|\[')(\w+)|'extract', *hostvars, *'(\w+)'|lookup\('(?:ansible\.builtin\.)?vars', *'(\w+)' *[,)]"
)
SOURCES = [
    path for pattern in ("playbooks/*.yml", "playbooks/*/*.yml", "roles/*/*/**/*.yml", "roles/*/templates/**/*.j2")
    for path in sorted(ROOT.glob(pattern)) if path.parts[len(ROOT.parts) + 1] not in ("collections", "roles")
]  # fmt: skip
# Load balancer b is no docker host.
INVENTORY = """
all: {vars: {ansible_host: 127.0.0.1, ansible_port: 1, discovery_domain: site.example}}
consul_servers: {hosts: {a: {discovery_address: 192.0.2.1}, b: {discovery_address: 192.0.2.2}}}
docker_hosts: {hosts: {a: {}}}
load_balancers: {hosts: {b: {balancer_http_port: eighty}}}
"""


@pytest.mark.parametrize("path", EVERY)
def test_w23_a_play_reads_only_documented_variables(path):
    roles = set().union(*map(own, (role for role in (ROOT / "roles").iterdir() if role.is_dir())))
    known = OPTIONS | LEFT | MAGIC | COMMON | {name for name in roles if not name.startswith("__")}
    assert sorted(read(EVERY[path]) - known) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_w23_a_variable_of_another_host_is_documented_or_of_this_run(path):
    found = {next(filter(None, match)) for match in BY_TEXT.findall(path.read_text())}
    roles = set().union(*map(own, (role for role in (ROOT / "roles").iterdir() if role.is_dir())))
    assert sorted(found - OPTIONS - LEFT - MAGIC - COMMON - roles) == []


def test_w23_names_of_the_site_in_plugins_are_documented():
    """As texts, where a plugin reads them from hostvars, or names them in a message."""
    named = {
        (name, path.name)
        for path in sorted((ROOT / "plugins").rglob("*.py"))
        for name in re.findall(r"\bdiscovery_[a-z_]+[a-z]\b", path.read_text())
    }
    old = "\n".join(map(str, (renamed.OPERATIONS, renamed.INVENTORY, renamed.FIREWALL)))
    assert sorted((name, path) for name, path in named if name not in OPTIONS and name not in old) == []


@pytest.mark.parametrize("playbook", ["scale_service", "drain", "shift_traffic"])
def test_w23_a_host_of_a_later_play_is_checked_before_the_first(tmp_path, playbook):
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", ROOT / f"playbooks/{playbook}.yml"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"COLUMNS": "1000"}, capture_output=True, text=True, check=False)
    text = " ".join(done.stdout.split())
    assert done.returncode == 2 and "unreachable=0" in text, text
    assert "on b, balancer_http_port is" in text, text
