"""Renaming a host is an operation: what it refuses, in which order it works, and which dead names can be removed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.node_names import dead_name_problems, rename_problems
from tests.support.tasks import walk
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
AGENTS = ["web-1.haus.example", "ward_3"]
VARS = {name: {} for name in AGENTS}


@pytest.mark.parametrize(
    ("old", "host", "words"),
    [
        ("", "ward_3", "set it to the name that the running cluster has"),
        ("consul_3", "ward_3", "rename_from is 'consul_3'"),
        ("consul-3", "consul-3", "no host with a Consul agent in this inventory: give the host its new name there first"),
        ("consul-3", "", "rename_host is ''"),
        ("web-1", "ward_3", "the node of host web-1.haus.example"),
        ("ward-3", "ward_3", "the node of host ward_3"),
    ],
)
def test_w28_names_that_do_not_fit_are_refused(old, host, words):
    (problem,) = rename_problems(old, host, AGENTS, VARS)
    assert words in problem


def test_w28_a_host_with_a_new_name_may_be_renamed():
    assert rename_problems("consul-3", "ward_3", AGENTS, VARS) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("", "set it to one of web-1.haus.example"), ("a b", "no name of a node"), ("ward-3", "the node of host ward_3: set it to")],
)
def test_w28_what_is_no_dead_name(name, words):
    (problem,) = dead_name_problems(name, AGENTS, VARS)
    assert words in problem
    assert dead_name_problems("consul-3", AGENTS, VARS) == []


def test_w28_the_old_name_goes_before_the_agent_starts_and_its_tokens_at_the_end():
    plays = parse_yaml((ROOT / "playbooks/rename_node.yml").read_text())
    steps = [
        play.get("ansible.builtin.import_playbook")
        or [task["ansible.builtin.include_role"]["tasks_from"] for task in play["tasks"]]
        for play in plays
    ]
    assert steps == [
        "preflight.yml", ["member/rename"], "consul.yml", ["configure"], "site.yml", ["member/wait_present", "acl/forget_name"],
    ]  # fmt: skip
    tasks = parse_yaml((ROOT / "roles/consul/tasks/member/rename_end.yml").read_text())
    modules = [next(key for key in task if "." in key) for task in tasks]
    assert modules[-2:] == ["ansible.builtin.systemd_service", "fewnodes.discovery.consul_member"]
    assert all("renamed" not in str(task) for task in tasks), "the removal itself refuses a node that goes on"


INVENTORY = """
all: {vars: {discovery_domain: haus.example, ansible_connection: local}}
consul_servers: {hosts: {a: {ansible_host: 192.0.2.1}, b_b: {ansible_host: 192.0.2.2}}}
"""
DEAD = {"alive": False, "known": True, "addresses": ["192.0.2.9"], "successors": []}


def task_named(file: str, words: str) -> dict:
    found = [step for step, _around in walk(parse_yaml((ROOT / "roles/consul/tasks" / file).read_text())) if "name" in step]
    (task,) = (step for step in found if words in step["name"])
    return task


def run(tmp_path, task: dict, member: dict, **given) -> str:
    """What a task of the role prints on a, with this state of the member."""
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    files = [str(ROOT / file) for file in ("roles/consul/defaults/main.yml", "roles/consul/vars/main.yml",
                                           "playbooks/vars/site.yml", "playbooks/vars/consul.yml")]  # fmt: skip
    (tmp_path / "secrets").mkdir(exist_ok=True)
    given |= {"__consul_member": {"member": member}, "discovery_secrets_dir": str(tmp_path / "secrets")}
    shown = {"ansible.builtin.debug": {"msg": "node {{ __consul_member_node }}, address '{{ __consul_member_address }}'"}}
    play = {"hosts": "a", "gather_facts": False, "vars_files": files, "tasks": [{"block": [shown, task], "vars": given}]}
    (tmp_path / "play.json").write_text(json.dumps([play]))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("name", "member", "words"),
    [
        ("gone", DEAD, "failed=0"),
        ("gone", DEAD | {"alive": True}, "a living member at 192.0.2.9: put it back into the inventory"),
        ("gone", DEAD | {"known": False}, "no node of the cluster: set it to one of a, b_b (-e remove_host=NAME)"),
        ("b_b", DEAD | {"alive": True}, "failed=0"),
    ],
)
def test_w28_a_dead_name_may_go_a_living_or_unknown_one_not(tmp_path, name, member, words):
    task = task_named("member/check_removal.yml", "Stop when no dead host has the name")
    output = run(tmp_path, task, member, consul_member_host=name, consul_member_variable="remove_host")
    assert words in output
    assert ("node b-b, address '192.0.2.2'" if name == "b_b" else "node gone, address ''") in output


def test_w28_what_an_interrupted_removal_has_left_is_removed_by_the_next(tmp_path):
    task = task_named("member/check_removal.yml", "Stop when no dead host has the name")
    (tmp_path / "secrets/tokens").mkdir(parents=True)
    (tmp_path / "secrets/tokens/agent-gone").touch()
    assert "failed=0" in run(tmp_path, task, DEAD | {"known": False}, consul_member_host="gone")


@pytest.mark.parametrize(
    ("addresses", "words"), [(["192.0.2.2"], "failed=0"), ([], "failed=0"), (["192.0.2.9"], "another machine")]
)
def test_w28_a_node_of_another_machine_is_not_renamed(tmp_path, addresses, words):
    task = task_named("member/rename.yml", "Stop when another machine has the name")
    given = {"consul_member_host": "b_b", "consul_member_old_node": "old"}
    assert words in run(tmp_path, task, DEAD | {"addresses": addresses}, **given)
