"""A host that leaves a group of the inventory: what is found there, when nothing may be removed, which tokens go."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.consul_acl import accessor_id, surplus_tokens, wanted_tokens
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.host_facts import REPORT
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.left_groups import left_parts, left_problems
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
GROUPS = {"load_balancers": ["a"], "docker_hosts": ["a", "b"]}
ALL = ["balancer", "dockerd", "overlay", "registrator"]


def test_w14_a_host_has_left_the_groups_whose_parts_it_still_has():
    assert left_parts(ALL, "a", GROUPS) == []
    assert left_parts(ALL, "b", GROUPS) == ["balancer"]
    assert left_parts(ALL, "c", GROUPS) == ["balancer", "registrator"]
    assert left_parts(["dockerd"], "c", GROUPS) == [], "dockerd is the user's: it stays"
    assert left_parts([], "c", {}) == []


def test_w14_an_empty_group_is_a_mistake_unless_it_is_confirmed():
    (problem,) = left_problems(["balancer"], "b", {"docker_hosts": ["b"]})
    assert "no host is in the group load_balancers, but b has a load balancer" in problem and "-e leave_last=true" in problem
    assert left_problems(["balancer"], "b", {"docker_hosts": ["b"]}, last=True) == []
    assert left_problems(ALL, "c", GROUPS) == []


def test_w14_a_dockerd_in_the_overlay_network_is_refused_with_the_way():
    (problem,) = left_problems(ALL, "c", GROUPS, overlay="swarm")
    assert "host c is not in docker_hosts" in problem and "playbooks/remove_node.yml -e remove_host=c" in problem
    assert left_problems(ALL, "b", GROUPS, overlay="swarm") == []
    assert left_problems(["balancer", "registrator"], "c", GROUPS, overlay="swarm") == [], "it has left the network"


def test_w14_a_swarm_of_somebody_else_is_nobody_s_business():
    """Of a host that never was a docker host of the site."""
    assert left_problems(["overlay"], "c", GROUPS, overlay="swarm") == []


def test_w14_what_others_may_have_as_well_is_no_part_of_the_platform():
    """A consul-template or a registrator of a user, on a host outside of the groups, would be removed."""
    marks = re.findall(r"\b(balancer|registrator):(/\S+)", REPORT)
    assert {part for part, _ in marks} == {"balancer", "registrator"}
    for _, path in marks:
        assert any(own in path for own in ("discovery-balancer", "registrator-clear", "catalog.json.ctmpl")), path


def test_w14_facts_that_are_listed_again_have_what_they_had():
    """Roles that run later in site.yml read all of them."""
    tasks = [task for path in ("roles/common/tasks/facts_gather.yml", "playbooks/tasks/leave_groups.yml")
             for task in parse_yaml((ROOT / path).read_text())]  # fmt: skip
    given = [set(task["fewnodes.discovery.host_facts"] or {}) for task in tasks if "fewnodes.discovery.host_facts" in task]
    assert len(given) == 2 and given[0] == given[1]


def listed(component: str, host: str, secret: str) -> dict:
    text = f"{component} on {host}"
    return {"AccessorID": accessor_id(text, secret), "SecretID": secret, "Description": text, "CreateIndex": 1}


def test_w14_a_host_that_has_nothing_more_of_a_group_loses_its_token():
    wanted = wanted_tokens({"consul_template": ["a"], "registrator": ["a", "b"]}, "dc1")
    tokens = [listed("consul_template", host, f"s-{host}") for host in "abc"] + [listed("registrator", "b", "r-b")]
    assert surplus_tokens(wanted, tokens) == [], "not known: they stay"
    assert [one["name"] for one in surplus_tokens(wanted, tokens, {"consul_template": ["b"]})] == ["tokens/consul_template-b"]
    by_hand = listed("consul_template", "b", "s") | {"AccessorID": "0"}
    assert surplus_tokens(wanted, [by_hand], {"consul_template": ["b"]}) == []
    assert surplus_tokens(wanted, tokens, {"registrator": ["b"], "consul_template": ["a"]}) == [], "what is wanted stays"


INVENTORY = """
all: {vars: {discovery_domain: haus.example}}
consul_servers: {hosts: {a: {ansible_host: 192.0.2.1}, b_b: {ansible_host: 192.0.2.2}, c: {ansible_host: 192.0.2.3},
                         d: {ansible_host: 192.0.2.4}}}
docker_hosts: {hosts: {a: {}}}
load_balancers: {hosts: {a: {}}}
"""


def test_w14_tokens_go_only_where_this_run_has_seen_that_nothing_uses_them(tmp_path):
    """a is in the groups, b_b has nothing more, c still has both, d takes no part in the run."""
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    files = [str(ROOT / file) for file in ("roles/consul/defaults/main.yml", "roles/consul/vars/main.yml",
                                           "playbooks/vars/site.yml", "playbooks/vars/consul.yml")]  # fmt: skip
    parts = {"a": ["balancer", "registrator"], "b_b": ["dockerd"], "c": ["balancer", "registrator"]}
    seen = {"ansible.builtin.set_fact": {"common_host": {"parts": "{{ parts[inventory_hostname] }}"}}}
    shown = {"ansible.builtin.copy": {"content": "{{ __consul_acl_site.left | to_json }}", "dest": str(tmp_path / "left.json")},
             "when": "inventory_hostname == 'a'"}  # fmt: skip
    play = {"hosts": "a,b_b,c", "gather_facts": False, "connection": "local", "vars": {"parts": parts, "consul_member_host": ""},
            "vars_files": files, "tasks": [seen, shown]}  # fmt: skip
    (tmp_path / "play.json").write_text(json.dumps([play]))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    left = json.loads((tmp_path / "left.json").read_text())
    assert left == {"registrator": ["b-b"], "registrator_clear": ["b-b"], "consul_template": ["b-b"]}


def test_w14_hosts_leave_before_the_firewall_closes_their_ports():
    order = [entry["ansible.builtin.import_playbook"] for entry in parse_yaml((ROOT / "playbooks/site.yml").read_text())]
    assert order[:4] == ["preflight.yml", "leave_groups.yml", "firewall.yml", "consul.yml"]


@pytest.mark.parametrize("role", ["balancer", "registrator"])
def test_w14_leaving_a_group_removes_all_that_a_reset_removes(role):
    """One list for both; of the balancer without the program that templates of users share."""
    text = {name: (ROOT / f"roles/{role}/tasks/{name}.yml").read_text() for name in ("reset", "leave_group")}
    shared = "remove.yml" if role == "balancer" else "reset.yml"
    assert f"import_tasks: {shared}" in text["leave_group"]
    assert role != "balancer" or "import_tasks: remove.yml" in text["reset"]
