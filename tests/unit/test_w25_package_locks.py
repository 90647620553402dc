"""Everything that changes packages waits minutes for the package manager's locks, and shows that it waits."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
package_lock = FilterModule().filters()["package_lock"]
FRONTEND = "Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (unattended-upgr)"
LISTS = "Could not get lock /var/lib/apt/lists/lock. It is held by process 12 (apt-get)"
ARCHIVES = "Could not get lock /var/cache/apt/archives/lock. It is held by process 9 (apt)"
BULLSEYE = "Could not get lock /var/lib/apt/lists/lock - open (11: Resource temporarily unavailable)"
DPKG = "dpkg database lock was locked by another process with pid 7"
LOCKED = {  # what a task returns, and what is said
    "the module apt, an installation": (
        {"failed": True, "msg": f"'/usr/bin/apt-get -y install nginx' failed: E: {FRONTEND}\nE: Unable to acquire the lock"},
        FRONTEND,
    ),
    "the module apt, the lists": (
        {"failed": True, "msg": f"Failed to lock apt for exclusive operation: Failed to lock directory: E:{LISTS}"},
        LISTS,
    ),
    "apt-get, the archives": (
        {"rc": 100, "stderr": f"E: {ARCHIVES}\nE: Unable to lock directory /var/cache/apt/archives/"},
        ARCHIVES,
    ),
    "apt-get of Debian 11, without the holder": ({"rc": 100, "stderr": f"E: {BULLSEYE}"}, BULLSEYE),
    "dpkg --set-selections": (
        {"failed": True, "msg": f"dpkg: error: {DPKG}\nNote: removing the lock file is always wrong"},
        DPKG,
    ),
}  # fmt: skip
FREE = {
    "it was done": {"changed": True, "rc": 0, "stderr": ""},
    "another error": {"failed": True, "msg": "No package matching 'flock-blocker' is available"},
    "a warning of a command that went well": {"rc": 0, "stderr": "Waiting for cache lock: Could not get lock /var/lib/dpkg/lock"},
    "skipped": {"skipped": True, "changed": False},
}
TASKS = [path for folder in ("playbooks", "roles") for path in sorted((ROOT / folder).rglob("*.yml"))]
CHANGES_PACKAGES = re.compile(r"\bapt-get\b|\bdpkg --")


@pytest.mark.parametrize("case", LOCKED)
def test_w25_a_held_lock_is_known_by_its_message(case):
    result, said = LOCKED[case]
    assert package_lock(result) == said


@pytest.mark.parametrize("case", FREE)
def test_w25_nothing_else_is_waited_for(case):
    assert package_lock(FREE[case]) == ""


def steps(value):
    for step in value if isinstance(value, list) else []:
        if isinstance(step, dict):
            yield step
            for part in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
                yield from steps(step.get(part))


def package_tasks():
    for path in TASKS:
        if path.parent.name in ("vars", "defaults", "meta"):
            continue
        for step in steps(parse_yaml(path.read_text())):
            command = step.get("ansible.builtin.command") or step.get("ansible.builtin.shell") or {}
            modules = {"ansible.builtin.apt", "ansible.builtin.package", "ansible.builtin.dpkg_selections"} & set(step)
            if modules or CHANGES_PACKAGES.search(str(command)):
                yield path, step


def test_w25_every_task_that_changes_packages_waits_for_the_locks():
    found = list(package_tasks())
    assert {path.parents[1].name for path, _ in found} == {"common", "dockerd"}, (
        "use the entry points packages and apt_get of common"
    )
    for path, step in found:
        where = f"{path.relative_to(ROOT)}: {step['name']}"
        assert f"{step['register']} | fewnodes.discovery.package_lock | length == 0" in str(step["until"]), where
        assert "wait while" in step["name"], f"{where}: its retries print the name, which should say why"


def test_w25_lists_of_today_are_not_fetched_again():
    """Whoever else installs a package today needs them as well; a refresh takes as long as many a package."""
    modules = [step["ansible.builtin.apt"] for _, step in package_tasks() if "ansible.builtin.apt" in step]
    assert {(apt["update_cache"], apt["cache_valid_time"]) for apt in modules} == {(True, 86400)}
    every = [step.get("vars", {}) for path in TASKS for step in steps(parse_yaml(path.read_text()))]
    assert [given for given in every if "update" in given.get("common_apt_get_arguments", [])] == []


def test_w25_the_change_of_the_resolver_waits_as_long():
    """It holds a rollback together, so it cannot be split; the download before it has waited, and has shown that."""
    text = (ROOT / "roles/consul_dns/tasks/configure.yml").read_text()
    assert 'lock_timeout: "{{ common_host.packages_lock_timeout }}"' in text


def test_w25_how_long_is_one_variable():
    """Beside it nobody names a time, or a number of attempts that makes one."""
    plugins = (ROOT / "plugins").rglob("*.py")
    assert [str(path) for path in plugins if re.search(r"Lock::Timeout=[0-9]", path.read_text())] == []
    for path, step in package_tasks():
        assert "lock_timeout" in str(step["retries"]) or step["retries"] == "{{ __common_packages_retries }}", path


def test_w25_the_facts_of_a_host_say_how_long(tmp_path):
    (tmp_path / "play.yml").write_text(
        """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: fewnodes.discovery.common, tasks_from: facts}
    - ansible.builtin.debug: {msg: "waits for {{ common_host.packages_lock_timeout + 1 }} s"}
"""
    )
    command = [
        Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local",
        "-e", "common_packages_lock_timeout=40", "-e", f"ansible_python_interpreter={sys.executable}", tmp_path / "play.yml",
    ]  # fmt: skip
    environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "waits for 41 s" in done.stdout, done.stdout + done.stderr


def run(tmp_path, failures: int = 0, timeout: int = 600, variables: str = ""):
    """apt-get that finds a lock so many times; how the play ended, and the arguments of each call."""
    stub = tmp_path / "apt-get"
    (tmp_path / "calls").touch()
    stub.write_text(
        f"""#!/bin/sh
echo "$@" >> {tmp_path}/calls
[ $(wc -l < {tmp_path}/calls) -gt {failures} ] && exit 0
echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 42 (unattended-upgr)' >&2
exit 100
"""
    )
    stub.chmod(0o755)
    (tmp_path / "play.yml").write_text(
        f"""
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {{name: common, tasks_from: apt_get}}
      vars: {{common_apt_get_arguments: [--download-only, install, nginx], {variables}}}
"""
    )
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local", tmp_path / "play.yml"]
    command += [
        "-e",
        f"common_packages_lock_timeout={timeout} __common_packages_pause=0 ansible_python_interpreter={sys.executable}",
    ]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done, (tmp_path / "calls").read_text().splitlines()


def test_w25_a_lock_that_is_held_for_a_while_is_waited_for_with_a_word(tmp_path):
    done, calls = run(tmp_path, failures=3, timeout=600)
    assert done.returncode == 0, done.stdout
    assert len(calls) == 4 and "install nginx" in calls[0]
    assert done.stdout.count("FAILED - RETRYING: [localhost]: apt_get | Run apt-get, and wait while") == 3


def test_w25_a_lock_that_stays_is_named_with_what_to_do(tmp_path):
    done, calls = run(tmp_path, failures=1000, timeout=40)
    said = " ".join(done.stdout.split())
    assert done.returncode == 2 and 3 <= len(calls) <= 6
    assert "It is held by process 42 (unattended-upgr)" in said
    assert "for 40 s" in said and "common_packages_lock_timeout" in said


@pytest.mark.parametrize(
    ("variables", "runs", "changed"),
    [
        ("", 1, 0),
        ("common_apt_get_changes: true", 1, 1),
        ("common_apt_get_changes: true, common_apt_get_creates: /nowhere", 1, 1),
        ("common_apt_get_changes: true, common_apt_get_creates: /etc/passwd", 0, 0),
        ("common_apt_get_changes: true, common_apt_get_removes: /nowhere", 0, 0),
    ],
)
def test_w25_a_change_is_reported_where_apt_get_ran(tmp_path, variables, runs, changed):
    done, calls = run(tmp_path, variables=variables)
    assert done.returncode == 0, done.stdout
    assert (len(calls), f"changed={changed} " in done.stdout) == (runs, True), done.stdout
