"""The play of playbooks/status.yml on the controller."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("there", [[], ["secrets"], ["secrets", "backups"]])
def test_files_of_the_controller_are_listed_without_a_warning(tmp_path, there):
    _unused, play = parse_yaml((ROOT / "playbooks/status.yml").read_text())
    (task,) = [task for task in play["tasks"] if "ansible.builtin.find" in task]
    for name in there:
        (tmp_path / name).mkdir()
        (tmp_path / name / "one").touch()
    directories = {"__status_secrets_dir": str(tmp_path / "secrets"), "__status_backup_dir": str(tmp_path / "backups")}
    show = {"ansible.builtin.debug": {"msg": "{{ __status_files.files | map(attribute='path') | map('basename') | join('-') }}!"}}
    playbook = tmp_path / "play.json"
    plays = [{"hosts": "localhost", "gather_facts": False, "vars": directories, "tasks": [task, show]}]
    playbook.write_text(json.dumps(plays))
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", playbook],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and "-".join(["one"] * len(there)) + "!" in done.stdout, done.stdout
    assert "WARNING" not in done.stdout + done.stderr


INVENTORY = """
all: {vars: {ansible_host: 127.0.0.1, ansible_port: 1, discovery_domain: site.example}}
consul_servers: {hosts: {a: {discovery_address: 192.0.2.1}, b: {discovery_address: 192.0.2.2}}}
"""


@pytest.mark.parametrize("arguments", [[], ["--limit", "b"], ["--limit", "b", "--check"], ["--limit", "b", "--forks", "1"]])
def test_the_page_is_shown_and_a_strict_run_fails_with_any_limit(tmp_path, arguments):
    """No limit of people names the controller, so a page that is a play of the controller's would be left out without a word."""
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", ROOT / "playbooks/status.yml"]
    environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "COLUMNS": "1000"}
    done = subprocess.run(
        [*command, *arguments, "-e", "status_strict=true"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "things wrong" in done.stdout and "! b does not answer" in done.stdout, done.stdout
    assert done.returncode == 2, "status_strict fails at what is wrong"
