"""With facts as variables a host that lies would set its own variables: no playbook runs then, and no role asks a host."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible_collections.fewnodes.discovery.plugins.action.host_facts import ActionModule
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.controller import controller_problems
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
WORDS = "inject_facts_as_vars = false"
# Its one task reads what earlier plays of a run have registered; alone it does nothing.
LAST_OF_SITE = "consul_http.yml"
INVENTORY = """
all: {vars: {ansible_host: 127.0.0.1, ansible_port: 1, discovery_domain: site.example}}
consul_servers: {hosts: {a: {discovery_address: 192.0.2.1}}}
docker_hosts: {hosts: {a: {}}}
"""


def first_task(playbook: Path) -> dict:
    """The first task of the first play, also of an imported playbook."""
    play = parse_yaml(playbook.read_text())[0]
    if "ansible.builtin.import_playbook" in play:
        return first_task(playbook.parent / play["ansible.builtin.import_playbook"])
    assert play["gather_facts"] in (False, "{{ false | fewnodes.discovery.whole_run }}")
    assert not (play.get("roles") and not play.get("pre_tasks")), "roles run before tasks"
    return (play.get("pre_tasks") or play["tasks"])[0]


@pytest.mark.parametrize("playbook", [path for path in PLAYBOOKS if path.name != LAST_OF_SITE], ids=lambda path: path.stem)
def test_x1_each_playbook_checks_the_settings_first(playbook):
    task = first_task(playbook)
    checks = task.get("ansible.builtin.import_tasks"), "site_problems" in str(task.get("when"))
    assert checks in (("tasks/controller.yml", False), ("tasks/facts.yml", False), (None, True))


def test_x1_the_entry_point_for_facts_asks_a_host_with_its_own_action_first():
    tasks = parse_yaml((ROOT / "roles/common/tasks/facts_gather.yml").read_text())
    assert "fewnodes.discovery.host_facts" in tasks[0]


def ansible(program: str, *arguments, **settings) -> subprocess.CompletedProcess:
    command = [Path(sys.executable).parent / program, *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True)


@pytest.mark.parametrize("playbook", ["site.yml", "firewall.yml", "drain.yml"])
def test_x1_a_run_with_facts_as_variables_reaches_no_host(tmp_path, playbook):
    """Nothing listens on the port of the host, so that it would be unreachable. A fact in the cache does not pass for what the
    run itself gathers."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(INVENTORY)
    cache = {"ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "facts")}
    fact = json.dumps({"common_host": {"packages": [], "users": ["root"], "programs": {}}, "cacheable": True})
    assert ansible("ansible", "-i", inventory, "a", "-m", "ansible.builtin.set_fact", "-a", fact, **cache).returncode == 0
    done = ansible("ansible-playbook", "-i", inventory, ROOT / "playbooks" / playbook, ANSIBLE_INJECT_FACT_VARS="True", **cache)
    assert done.returncode == 2 and WORDS in " ".join(done.stdout.split()), done.stdout + done.stderr
    assert "changed=0" in done.stdout and "unreachable=0" in done.stdout
    assert not (tmp_path / ".secrets").exists()


def test_x1_the_preflight_of_the_inventory_reports_it(monkeypatch):
    site_problems = FilterModule().filters()["site_problems"]
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", False)
    assert not any(WORDS in text for text in site_problems({}, {}))
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", True)
    assert WORDS in site_problems({}, {})[0]


def test_x1_host_facts_asks_no_host(monkeypatch):
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", True)
    action = ActionModule(
        task=Mock(args={}, async_val=0, check_mode=False, diff=False), connection=Mock(),
        play_context=SimpleNamespace(check_mode=False, diff=False), loader=Mock(), templar=Mock(), shared_loader_obj=Mock(),
    )  # fmt: skip
    action._low_level_execute_command = Mock()
    with pytest.raises(AnsibleActionFail, match=WORDS):
        action.run(task_vars={})
    action._low_level_execute_command.assert_not_called()


def test_the_message_names_both_ways_to_set_it():
    assert controller_problems(False) == []
    (problem,) = controller_problems(True)
    assert WORDS in problem and "ANSIBLE_INJECT_FACT_VARS=False" in problem
