"""A host that lies in what its modules return lies about itself only.

Ansible gives `ansible_facts` of a result to every host of a play with `run_once`, and to the delegating host with `delegate_to`:
name servers and names of interfaces among them, which are written into files of root's. `delegate_facts` keeps them with the host
that returned them. Registered results that tasks of other hosts read are listed here, each with the reason why that is safe.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from secret_flow import texts
from test_x6_management_token import FILES
from tests.support.tasks import is_task, nearest, walk
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
KEYWORDS = ("run_once", "delegate_to", "delegate_facts", "any_errors_fatal")
# These run on the controller, or return what they have made of an answer, and no facts of it.
ON_CONTROLLER = {
    "ansible.builtin.assert", "ansible.builtin.debug", "ansible.builtin.fail", "ansible.builtin.set_fact",
    "fewnodes.discovery.secret", "fewnodes.discovery.vaulted",
}  # fmt: skip
CALL = re.compile(r"ansible\.builtin\.(include|import)_(tasks|role)")
# Files whose tasks inherit localhost from the block that imports them: test_w24_imported_tasks_stay_on_the_controller.
IMPORTED = {"roles/scale/tasks/preflight.yml"}
# Not another host.
HERE = {"localhost", "{{ inventory_hostname }}"}


def steps(value, inherited: dict):
    """Every task of a document, with the keywords of its blocks and play."""
    for step, around in walk(value):
        if is_task(step):
            yield step | {key: found for key in KEYWORDS if (found := nearest(key, step, (inherited, *around))) is not None}


def module(step: dict) -> str:
    return next((key for key in step if "." in key), "")


def found() -> list:
    return [
        pytest.param(step, id=f"{path.relative_to(ROOT)}: {step.get('name', '')}")
        for path in FILES
        for step in steps(
            parse_yaml(path.read_text()), {"delegate_to": "localhost"} if str(path.relative_to(ROOT)) in IMPORTED else {}
        )
        if (step.get("run_once") or "delegate_to" in step) and not CALL.fullmatch(module(step))
    ]


@pytest.mark.parametrize("step", found())
def test_x1_facts_stay_with_the_host_that_returned_them(step):
    target = step.get("delegate_to")
    if target is None:
        assert module(step) in ON_CONTROLLER, "run_once gives the facts of the first host to all: use `when`, or delegate"
    elif target not in HERE:
        assert step.get("delegate_facts") is True


def test_x1_the_tasks_are_found():
    assert len([param for param in found() if param.values[0].get("delegate_to", "localhost") not in HERE]) > 30


def run(play: Path, *hosts: str) -> str:
    """What ansible-playbook prints, with this machine in the place of each host."""
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", ",".join([*hosts, ""]), "-c", "local", play]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


MODULE = """
import json
print(json.dumps({"changed": False, "ansible_facts": {"dns": {"nameservers": ["192.0.2.66"]}}}))
"""


@pytest.mark.parametrize("file", ["consul/tasks/apply/restart.yml", "dockerd/tasks/apply/changes.yml"])
def test_x1_a_host_that_is_restarted_changes_no_facts_of_others(tmp_path, file):
    """The loop of the role, in a real run, with a module that returns facts; `liar` is restarted, `other` is not."""
    (step,) = (one for one in steps(parse_yaml((ROOT / "roles" / file).read_text()), {}) if one.get("loop"))
    task = {key: value for key, value in step.items() if key in (*KEYWORDS, "register", "loop_control")}
    task |= {"lie": {}, "loop": ["liar"]}
    shown = {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }}={{ ansible_facts.dns.nameservers | default([]) }}"}}
    (tmp_path / "library").mkdir()
    (tmp_path / "library/lie.py").write_text(f"#!/usr/bin/python3\n# WANT_JSON\n{MODULE}")
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task, shown]}]))
    output = run(tmp_path / "play.json", "other", "liar")
    assert sorted(re.findall(r"(?:other|liar)=\[.*\]", output)) == ["liar=['192.0.2.66']", "other=[]"]


# What is read of other hosts, by file and name: why a host that lies there gains nothing.
READ = {
    ("playbooks/drain.yml", "drain_instances"): "load balancers wait until they serve none of them",
    ("playbooks/scale_service.yml", "scale_new_ids"): "load balancers wait until they serve them",
    ("playbooks/scale_service.yml", "scale_surplus_instances"): "load balancers wait until they serve none of them",
    ("playbooks/tasks/leave_groups.yml", "balancer_http_port"): "a variable of the inventory",
    ("playbooks/vars/consul.yml", "common_host"): "a host that has left a group loses its own tokens of that group",
    ("playbooks/vars/consul.yml", "consul_template_keys"): "a variable of the inventory",
    ("playbooks/vars/consul.yml", "registrator_service_prefixes"): "a variable of the inventory",
    ("playbooks/vars/site.yml", "consul_template_templates"): "a variable of the inventory",
    ("playbooks/vars/site.yml", "discovery_floating_addresses"): "a variable of the inventory",
    ("playbooks/vars/status.yml", "consul_status"): "shown",
    ("roles/consul/tasks/acl/write_missing.yml", "__consul_own"): "a server writes what the site wants, once more",
    ("roles/consul/tasks/apply/changes.yml", "__consul_agent"): "a host's action: what the liar's own agent needs",
    ("roles/consul/tasks/apply/close_http.yml", "__consul_host"): "every agent is compared with its files, once more",
    ("roles/consul/tasks/apply/main.yml", "__consul_agent"): "a host's action",
    ("roles/consul/tasks/apply/restart.yml", "__consul_agent"): "a host's action; order and leader are those that servers return",
    ("roles/consul/tasks/backup/find_host.yml", "__consul_backup_error"): "the run stops when all say so",
    ("roles/consul/tasks/backup/find_host.yml", "__consul_backup_rank"): "of servers",
    ("roles/consul/tasks/preflight.yml", "consul_declared_services"): "a variable of the inventory",
    ("roles/consul/tasks/preflight/hosts.yml", "__consul_host"): "the run stops, or a filter compares",
    ("roles/consul/tasks/recover_quorum/main.yml", "__consul_survivor"): "of servers",
    ("roles/consul/tasks/recover_secrets/ca.yml", "__consul_old_ca"): "the run stops unless all hosts return the same",
    ("roles/consul/tasks/recover_secrets/gossip_key.yml", "__consul_keyring"): "the run stops unless all hosts have the key",
    ("roles/consul/tasks/recover_secrets/main.yml", "__consul_keyring"): "chooses the host whose key is compared with all",
    ("roles/consul/vars/main.yml", "__consul_agent_file"): "chooses among servers",
    ("roles/dockerd/tasks/apply/changes.yml", "__dockerd_probe"): "a host's action: what the liar's own dockerd needs",
    ("roles/dockerd/tasks/apply/main.yml", "__dockerd_probe"): "a host's action",
    ("roles/dockerd/tasks/tls/lost_ca.yml", "__dockerd_facts"): "the run stops",
    ("roles/dockerd/tasks/warnings.yml", "ansible_facts"): "a number of bytes of one interface, shown in a warning",
    ("roles/drain/tasks/plan.yml", "__drain_found"): "each host's ids are used there; those of others count as healthy",
    ("roles/floating_address/vars/main.yml", "balancer_listen"): "a variable of the inventory",
    ("roles/overlay_network/vars/main.yml", "__overlay_network_facts"): "plugin_utils/overlay.py: managers count",
    ("roles/scale/tasks/end.yml", "scale_surplus_instances"): "whether the drain delay is waited for",
    ("roles/scale/tasks/gather.yml", "__scale_info"): "whether dockerd answers",
    ("roles/scale/tasks/plan.yml", "__scale_info"): "each host's containers are ended on that host; the others' count",
}  # fmt: skip
NAMED = re.compile(r"extract', hostvars, \[?'(\w+)'|hostvars\[[^\]]+\]\.(\w+)")
SELECTED = re.compile(r"(?:selectattr|rejectattr)\('(\w+)|attribute='(\w+)")
OWN = {"inventory_hostname", "__role_item", "stat"}  # of a host, and of a loop over hosts


def read_of_others(document) -> set[str]:
    """Names that the expressions of a document read of `hostvars`."""
    names = set()
    for text in texts(document):
        for one in re.findall(r"\{\{.*?\}\}(?!\})", text, re.DOTALL) if "{{" in text else [text]:
            found = NAMED.findall(one) + (SELECTED.findall(one) if "extract', hostvars)" in one else [])
            names |= {name for pair in found for name in pair if name}
    return names - OWN


def test_x1_what_is_read_of_other_hosts_is_listed():
    variables = [*ROOT.glob("roles/*/vars/*.yml"), *ROOT.glob("roles/*/defaults/*.yml")]
    read = {
        (str(path.relative_to(ROOT)), name)
        for path in {*FILES, *variables, *ROOT.glob("playbooks/vars/*.yml")}
        for name in read_of_others(parse_yaml(path.read_text()))
    }
    assert read == set(READ), "give a reason why a host that lies gains nothing, and bound what it returns"


# Results that `run_once` gives to all hosts, of tasks that run elsewhere than on the controller or on a server of Consul.
SERVERS = re.compile(r"__consul_(acl|other)_server|__consul_backup_host|shift_consul_servers|__overlay_network_steps")
GIVEN = {
    "__consul_import": "of servers: the loop names no others",
    "__consul_keyrings": "of servers",
    "__consul_other_host": "of servers",
    "__consul_node_id": "of the replaced host, about itself",
    "__consul_restarted": "ends the loop",
    "__docker_cluster_store_restarted": "ends the loop",
    "__dockerd_elsewhere": "the run stops",
    "__dockerd_restarted": "ends the loop",
}


def test_x1_results_that_all_hosts_are_given_are_listed():
    given = {
        step["register"]
        for step in (param.values[0] for param in found())
        if step.get("run_once") and "register" in step and step.get("delegate_to", "localhost") not in HERE
        and not SERVERS.search(step["delegate_to"])
    }  # fmt: skip
    assert given == set(GIVEN)
    assert all(step["loop"].startswith(("{{ __consul_servers", "{{ __consul_cluster_servers")) for step in of_servers())


def of_servers() -> list[dict]:
    wanted = {name for name, why in GIVEN.items() if why.startswith("of servers")}
    return [param.values[0] for param in found() if param.values[0].get("register") in wanted]


def orders(tmp_path, results: dict) -> list[str]:
    """The order in which the role restarts agents that returned these results, in a real run."""
    document = parse_yaml((ROOT / "roles/consul/tasks/apply/restart.yml").read_text())
    play = {
        "hosts": "all", "gather_facts": False, "vars": document[0]["vars"] | {"__consul_servers": ["s1", "s2", "s3"]},
        "tasks": [
            {"ansible.builtin.set_fact": {"__consul_agent": "{{ results[inventory_hostname] }}"}},
            {"ansible.builtin.debug": {"msg": "ORDER {{ __consul_restart_order | join(' ') }}"}, "run_once": True},
        ],
    }  # fmt: skip
    play["vars"]["results"] = results
    (tmp_path / "play.json").write_text(json.dumps([play]))
    command = [
        Path(sys.executable).parent / "ansible-playbook",
        "-i",
        ",".join([*results, ""]),
        "-c",
        "local",
        tmp_path / "play.json",
    ]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return re.search(r"ORDER (.*)", output)[1].split()


def test_x1_a_worker_that_calls_itself_a_manager_is_not_asked_to_remove_a_host(tmp_path):
    """`a` manages and is removed, `c` manages, `b` lies; the manager that is asked is `c`."""
    (block,) = (step for step in parse_yaml((ROOT / "roles/overlay_network/tasks/remove.yml").read_text()) if "block" in step)
    (task,) = (step for step in block["block"] if "fewnodes.discovery.swarm_nodes" in step)
    assert task["fewnodes.discovery.swarm_nodes"]["rotate_tokens"] is True
    named = {"managers": ["a", "c"], "peers": ["a", "b", "c"], "removed_host": "a"}
    given = {f"overlay_network_{name}": value for name, value in named.items()}
    play = {
        "hosts": "all", "gather_facts": False, "vars": given | block["vars"],
        "vars_files": [str(ROOT / "roles/overlay_network/vars/main.yml")],
        "tasks": [
            {"ansible.builtin.set_fact": {"__overlay_network_facts": {"overlay": {"swarm": {"manager": True}}}}},
            {"ansible.builtin.debug": {"msg": "ASKED {{ inventory_hostname }}"}, "when": task["when"]},
        ],
    }  # fmt: skip
    (tmp_path / "play.json").write_text(json.dumps([play]))
    assert re.findall(r"ASKED (\w+)", run(tmp_path / "play.json", "a", "b", "c")) == ["c"]


def test_x1_a_client_is_restarted_after_the_servers_whatever_it_returns(tmp_path):
    servers = {name: {"action": "restart", "restart_order": order} for name, order in (("s1", 2), ("s2", 1), ("s3", 1))}
    clients = {"c2": {"action": "restart", "restart_order": -1}, "c1": {"action": "restart", "restart_order": "first"}}
    assert orders(tmp_path, clients | servers) == ["s2", "s3", "s1", "c1", "c2"]
