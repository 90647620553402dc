"""No task lets a secret into a journal, an output, a command line or an environment."""

import json
from pathlib import Path

import pytest
from secret_flow import Flow, collection, marked_parameters, tasks_of
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
FLOW, TASKS, MARKED = collection(ROOT)

# Tasks that show a secret: SECRET stands for the lookup; `token` is the one parameter that the module one.two.three marks.
SHOWN = parse_yaml("""
an argument:
  - ansible.builtin.command: {argv: [consul], stdin: "{{ SECRET }}"}
a header:
  - ansible.builtin.uri: {url: u, headers: {X-Consul-Token: "{{ SECRET }}"}}
a secret by its name:
  - ansible.builtin.uri: {url: u, headers: {X-Consul-Token: "{{ whatever }}"}}
a password as it is:
  - ansible.builtin.user: {name: a, password: b}
a parameter that the module logs:
  - one.two.three: {other: "{{ SECRET }}"}
an option that is marked:
  - ansible.builtin.copy: {dest: /a, mode: '0600', content: "{{ given_secret | trim }}"}
a variable of the block:
  - vars: {a: "{{ SECRET }}"}
    block:
      - ansible.builtin.copy: {dest: /a, mode: '0600', content: "{{ a }}"}
a variable of the role:
  - ansible.builtin.copy: {dest: /a, mode: '0600', content: "{{ role_b | to_json }}"}
one of two values:
  - ansible.builtin.copy: {dest: /a, mode: '0600', content: "{{ 'x' if a else SECRET }}"}
the result of a hidden task:
  - {ansible.builtin.slurp: {src: /a}, register: read, no_log: true}
  - ansible.builtin.debug: {msg: "{{ read.content }}"}
a fact:
  - {ansible.builtin.set_fact: {fact: "{{ SECRET }}"}, no_log: true}
  - ansible.builtin.debug: {msg: "{{ fact }}"}
a template:
  - ansible.builtin.template: {src: a.j2, dest: /a, mode: '0640'}
a template in a value:
  - ansible.builtin.copy: {content: "{{ lookup('ansible.builtin.template', 'a.j2') }}", dest: /a, mode: '0600'}
items of a loop:
  - {ansible.builtin.ping: {}, loop: ["{{ SECRET }}"]}
join tokens:
  - one.two.three: {other: "{{ swarm.json.JoinTokens.Worker }}"}
a handler of a play:
  - {hosts: all, handlers: [{one.two.three: {other: "{{ SECRET }}"}}]}
""")
IN_PS = parse_yaml("""
a command:
  - {ansible.builtin.command: {argv: [consul, "-token={{ SECRET }}"]}, no_log: true}
a shell:
  - {ansible.builtin.shell: "echo {{ SECRET }}", no_log: true}
an environment:
  - {ansible.builtin.command: id, environment: {TOKEN: "{{ SECRET }}"}, no_log: true}
the environment of a block:
  - environment: {A: "{{ SECRET }}"}
    block: [{ansible.builtin.include_tasks: b.yml}]
""")
OPEN = parse_yaml("""
the usual mode:
  - {ansible.builtin.copy: {dest: /a, content: "{{ SECRET }}"}, no_log: true}
a mode for all:
  - {ansible.builtin.template: {src: a.j2, dest: /a, mode: "0644"}, no_log: true}
one of several files:
  - one.two.managed_files:
      files: [{path: /a, mode: "0600", content: "{{ SECRET }}"}, {path: /b, content: "{{ role_b }}"}, {path: /c, content: x}]
    no_log: true
files of a variable:
  - {one.two.managed_files: {files: "{{ role_b }}"}, no_log: true}
a secret beside files of a variable:
  - {one.two.managed_files: {files: "{{ role_files + [{'path': '/b', 'content': SECRET}] }}"}, no_log: true}
one of the files of a variable:
  - {one.two.managed_files: {files: "{{ role_files + role_open }}"}, no_log: true}
""")
HIDDEN = parse_yaml("""
no_log:
  - {ansible.builtin.uri: {url: u, headers: {X-Consul-Token: "{{ SECRET }}"}}, no_log: true}
no_log of the block:
  - no_log: true
    block: [{ansible.builtin.command: {argv: [a], stdin: "{{ SECRET }}"}}]
a parameter that is marked:
  - one.two.three: {token: "{{ SECRET }}"}
a file of root's:
  - {ansible.builtin.copy: {dest: /a, mode: "0600", content: "{{ SECRET }}"}, no_log: true}
files of variables:
  - {one.two.managed_files: {files: "{{ role_files + (role_more if a else []) }}"}, no_log: true}
variables of a call:
  - {ansible.builtin.include_role: {name: a}, vars: {b: "{{ SECRET }}"}}
a comparison:
  - ansible.builtin.debug: {msg: "{{ SECRET == 'b' }}"}
a certificate that was made with it:
  - {a.b.c: {}, register: made, no_log: true}
  - a.b.c: {content: "{{ made.certificate }}"}
the name of a file:
  - one.two.three: {token_file: /etc/registrator/token}
""")


def test_x2_no_task_shows_a_secret():
    problems = [problem for task in TASKS for problem in FLOW.problems(task, MARKED.get(task.module, set()))]
    assert problems == [], "\n".join(problems)


def test_x2_secrets_are_followed_over_the_collection():
    """Were these no secrets, the check would prove nothing."""
    known = {"consul_gossip_key", "__consul_config", "__consul_operations_token", "__consul_token_config", "__scale_api"}
    known |= {"dockerd_proxies", "__dockerd_proxies", "__dockerd_environment"}  # a URL with user and password
    assert known - FLOW.names == {"__scale_api"}
    assert MARKED["fewnodes.discovery.consul_keyring"] == {"token", "key", "current"}
    assert len([task for task in TASKS if FLOW.is_secret(task.step, task.variables)]) > 40


def problems(steps: list) -> list[str]:
    """What the check finds in tasks, beside a variable and a template that hold a secret."""
    lookup = "lookup('fewnodes.discovery.secret', 'management_token')"
    tasks = list(tasks_of("f.yml", json.loads(json.dumps(steps).replace("SECRET", lookup))))
    variables = {"role_b": "{{ role_a }}", "role_a": f"{{{{ {lookup} }}}}", "role_more": "{{ role_files }}"}
    private = {"path": "/a", "mode": "0600", "content": "{{ role_a }}"}
    variables |= {"role_files": [private], "role_open": [private | {"mode": "0644"}]}
    flow = Flow(variables, {"given_secret"}, {"a.j2": f"x {{{{ {lookup} }}}}"}, tasks)
    return [problem for task in tasks for problem in flow.problems(task, {"token"})]


@pytest.mark.parametrize("steps", (SHOWN | IN_PS).values(), ids=list(SHOWN | IN_PS))
def test_x2_a_shown_secret_is_found(steps):
    (problem,) = problems(steps)
    assert ("`ps`" in problem) == (steps in IN_PS.values())


@pytest.mark.parametrize("steps", OPEN.values(), ids=list(OPEN))
def test_x2_a_file_with_a_secret_that_others_may_read_is_found(steps):
    (problem,) = problems(steps)
    assert "`mode`" in problem


@pytest.mark.parametrize("steps", HIDDEN.values(), ids=list(HIDDEN))
def test_x2_a_hidden_secret_is_accepted(steps):
    assert problems(steps) == []


def test_x2_marked_parameters_of_a_module():
    source = 'SPEC = {"token": {"type": "str", "no_log": True}, "file": {"no_log": False}, "name": {"type": "str"}}'
    assert marked_parameters(source) == {"token"}
