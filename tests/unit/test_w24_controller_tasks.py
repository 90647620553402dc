"""Tasks on the controller run as the user who runs Ansible, with its Python, whatever the inventory says of all hosts: variables
such as ansible_become in group_vars/all go before the keyword become of a task."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.tasks import walk
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
PINNED = {"ansible_become": False, "ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
LOCAL = ("localhost", "127.0.0.1", "::1")
FILES = sorted(
    path
    for folder in ("playbooks", "roles")
    for path in (ROOT / folder).rglob("*.yml")
    if path.parent.name not in ("vars", "defaults", "meta")
)
# What is in group_vars/all of many sites; sudo of this one fails, and its host does not exist.
INVENTORY = """
all:
  vars: {ansible_become: true, ansible_become_exe: /bin/false, ansible_connection: ssh, ansible_python_interpreter: /bin/false}
  hosts: {a: {ansible_host: 127.0.0.1, ansible_port: 1}, localhost: {}}
"""
PLAYBOOK = """
- hosts: a
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.include_role: {name: common, tasks_from: ca_create}
      vars: {common_certificate_ca: ca}
"""


def on_the_controller(step: dict) -> bool:
    """Whether a play, block or task runs there by a keyword of its own, perhaps only in some cases."""
    hosts = step.get("hosts") in LOCAL
    return hosts or "local_action" in step or any(one in str(step.get("delegate_to", "")) for one in LOCAL)


def steps(value):
    """Each play, block and task of a file, and whether one around it runs on the controller."""
    for step, around in walk(value):
        yield step, any(map(on_the_controller, around))


def problems(content) -> list[str]:
    found = []
    for step, inside in steps(content):
        if on_the_controller(step):
            pinned = {name: value for name, value in (step.get("vars") or {}).items() if name in PINNED}
            if pinned != PINNED or step.get("become") is not False:
                found.append(f"{step.get('name')}: needs become: false and vars: {PINNED}")
        elif inside and ("delegate_to" in step or step.get("become")):
            found.append(f"{step.get('name')}: stands in a block of the controller, but runs elsewhere: move it out")
    return found


def imported() -> list[tuple[Path, Path]]:
    """Task files that a block of the controller imports: who imports, and the file."""
    return [
        (path, path.parent / target)
        for path in FILES
        for step, inside in steps(parse_yaml(path.read_text()))
        for key in ("import_tasks", "include_tasks")
        if inside and isinstance(target := step.get(f"ansible.builtin.{key}"), str)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_w24_every_task_on_the_controller_is_pinned(path):
    assert problems(parse_yaml(path.read_text())) == []


def test_w24_imported_tasks_stay_on_the_controller():
    assert len(imported()) > 3
    for importer, path in imported():
        inner = [step for step, _ in steps(parse_yaml(path.read_text()))]
        assert [step["name"] for step in inner if step.get("become") or "delegate_to" in step] == [], f"{importer} imports {path}"


def test_w24_what_is_not_pinned_is_found():
    task = {"name": "x", "delegate_to": "localhost", "become": False}
    pinned = task | {"vars": PINNED | {"other": 1}}
    assert problems([task]) and problems([{"block": [task]}]) and problems([{"hosts": "localhost", "tasks": []}])
    assert problems([task | {"delegate_to": "{{ a | default('localhost') }}"}]) and problems([{"local_action": "x"}])
    assert problems([pinned | {"become": True}]) and problems([pinned | {"block": [{"name": "y", "become": True}]}])
    assert problems([pinned, {"hosts": "all", "tasks": [pinned]}]) == []


def test_w24_a_run_with_become_and_connection_for_all_hosts(tmp_path):
    """ca_create runs on the controller alone: sudo, SSH and the interpreter of the inventory would all fail."""
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"]
    # Otherwise root does not become root.
    environment = os.environ | {"ANSIBLE_BECOME_ALLOW_SAME_USER": "True"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / ".secrets/ca.pem").read_text().startswith("-----BEGIN CERTIFICATE")
