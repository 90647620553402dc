"""Tokens of the whole site go to servers of Consul only: root on a client could keep one that a play has handed to it.

`operations` may end the quorum and shift traffic. A host is asked with the token of its own agent.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_x6_management_token import FILES, SERVERS, steps
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
VARIABLES = sorted([*ROOT.glob("roles/*/vars/*.yml"), *ROOT.glob("roles/*/defaults/*.yml"), *ROOT.glob("playbooks/vars/*.yml")])
SITE_TOKENS = parse_yaml((ROOT / "roles/consul/defaults/main.yml").read_text())["consul_site_tokens"]
# Variables that name servers alone, beside those of the management token.
ASKED = SERVERS | {"{{ __consul_other_server }}", "{{ shift_consul_servers | fewnodes.discovery.as_list | first }}"}
# Conditions under which a task runs on a server.
ON_SERVERS = (
    {"inventory_hostname == __consul_backup_host"},
    {"inventory_hostname == consul_member_host", "consul_member_host in __consul_servers"},
)
FOR_SERVERS = re.compile(r" if (__role_item in __consul_servers|__consul_is_server) else ")
SECRET = re.compile(r"""(?:lookup|query)\('fewnodes\.discovery\.secret', *((?:'[^']*'|[^,)'])+)""")
# The node's name of the host that is given the secret; its old one is the administrator's word, and no other host has it.
NODES = (
    "__consul_node_name|consul_member_old_node|__consul_restarted_node|__scale_node|__balancer_node|__drain_node"
    "|__consul_template_node"
)
PER_HOST = re.compile(rf"'tokens/[a-z_]+-' ~ ({NODES})\s*")
# Names that are no literals: each is of the host that is given the secret, by the option `host` or by the test below.
OTHER_NAMES = {
    "registrator_token_secret", "registrator_clear_token_secret", "__docker_cluster_store_token", "__consul_status_token",
    "__consul_rotated_here[-1] ~ '.next'", "__common_ca_stem ~ '.key'", "*__consul_old_tokens",
    "*__consul_kubernetes_agent_names", "*__consul_kubernetes_dns_names",  # of the pods, in one Secret
    "__balancer_acme_secret",  # of the site's account, which all load balancers order by
}  # fmt: skip


def holders() -> set[str]:
    """Variables that are made of a token of the site."""
    known = {name: str(value) for path in VARIABLES for name, value in (parse_yaml(path.read_text()) or {}).items()}
    found: set[str] = set()
    while True:
        more = {name for name, text in known.items() if "lookup(" in text and named(text) or any(one in text for one in found)}
        if more <= found:
            return found
        found |= more


def named(text: str) -> bool:
    return any(f"'tokens/{name}'" in text for name in SITE_TOKENS)


def given() -> list:
    holding = holders()
    found = []
    for path in FILES:
        for step in steps(parse_yaml(path.read_text())):
            own = {key: value for key, value in step.items() if key not in ("name", "delegate_to")}
            is_group = any(part in step for part in ("block", "tasks", "hosts")) or "fewnodes.discovery.secret" in own
            if not is_group and (named(str(own)) or any(name in str(own) for name in holding)):
                found.append(pytest.param(step, id=f"{path.relative_to(ROOT)}: {step['name']}"))
    return found


@pytest.mark.parametrize("step", given())
def test_x6_a_token_of_the_site_goes_to_servers_only(step):
    when = step.get("when", [])
    conditions = {when} if isinstance(when, str) else set(when)
    texts = " ".join(str(value) for key, value in step.items() if key not in ("name", "when"))
    of_servers = FOR_SERVERS.search(texts) is not None
    assert step["delegate_to"] in ASKED or of_servers or any(wanted <= conditions for wanted in ON_SERVERS)


def test_x6_the_tasks_with_a_token_of_the_site_are_found():
    assert holders() == {"__consul_operations_token"}
    assert len(given()) >= 12


@pytest.mark.parametrize("path", [*FILES, *VARIABLES], ids=lambda path: str(path.relative_to(ROOT)))
def test_x6_every_other_secret_is_named_by_the_host_that_is_given_it(path):
    """A name that comes from elsewhere, such as the list of rotated tokens, would hand one host's token to all."""
    names = {found.strip() for found in SECRET.findall(path.read_text())}
    assert {name for name in names if not re.fullmatch(r"'[^']*'", name) and not PER_HOST.fullmatch(name)} <= OTHER_NAMES


PLAY = """
- hosts: all
  gather_facts: false
  vars:
    __consul_is_server: "{{ inventory_hostname == 'a' }}"
    __consul_node_name: "{{ inventory_hostname }}"
    __consul_rotation: {rotated: [tokens/agent-a, tokens/dns-a, tokens/agent-b, tokens/dns-b, tokens/agent-a-b, management_token]}
  tasks:
    - ansible.builtin.debug: {msg: "{{ inventory_hostname }}={{ __consul_rotated_here[-1] }}"}
      vars: {__consul_rotated_here: %r}
"""


def test_x6_a_rotation_hands_a_client_no_token_of_another_host(tmp_path):
    (step,) = [
        step
        for step in steps(parse_yaml((ROOT / "roles/consul/tasks/rotate/tokens.yml").read_text()))
        if "ansible.builtin.uri" in step
    ]
    (tmp_path / "play.yml").write_text(PLAY % step["vars"]["__consul_rotated_here"].strip())
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "a,b,a-b,", "-c", "local", tmp_path / "play.yml"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(re.findall(r"\S+=\S+/\S+|a=management_token", shown)) == [
        "a-b=tokens/agent-a-b", "a=management_token", "b=tokens/dns-b",
    ]  # fmt: skip


def test_x6_tokens_are_written_where_a_server_or_an_agent_refuses_one_and_there_is_a_leader(tmp_path):
    """A client without a leader refuses any token, and nothing can be written then: a run that repairs that goes on."""
    document = parse_yaml((ROOT / "roles/consul/tasks/acl/write_missing.yml").read_text())
    (block,) = (step for step in document if "block" in step)
    cases = {(200, 200): False, (403, 200): True, (200, 403): True, (500, 403): False, (-1, -1): False}
    plays = [
        {
            "hosts": "a,b", "gather_facts": False, "vars": block["vars"], "tasks": [
                {"ansible.builtin.set_fact": {"__consul_operations": {"status": server}, "__consul_own": {"status": own}}},
                {"ansible.builtin.debug": {"msg": f"WRITES {server} {own}"}, "when": block["when"], "run_once": True},
            ],
        }
        for server, own in cases
    ]  # fmt: skip
    (tmp_path / "play.json").write_text(json.dumps(plays))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "a,b,", "-c", "local", tmp_path / "play.json"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = {(int(server), int(own)) for server, own in re.findall(r"WRITES (\S+) (\S+)", shown)}
    assert found == {case for case, writes in cases.items() if writes}
