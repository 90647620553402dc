"""Playbooks of a checkout run from any working directory: roles and plugins are found beside them, not by ansible.cfg alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import controller

ROOT = Path(__file__).parents[2]
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
# Nothing listens on this port.
INVENTORY = """
all: {vars: {ansible_port: 1, discovery_domain: site.example}}
consul_servers: {hosts: {a: {ansible_host: 127.0.0.1}}}
docker_hosts: {hosts: {a: {}}}
load_balancers: {hosts: {a: {}}}
"""


@pytest.fixture
def elsewhere(tmp_path):
    """Runs ansible-playbook in an empty directory without a configuration of its own."""
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text(INVENTORY)
    (tmp_path / "empty").mkdir()

    def run(*arguments, **settings) -> subprocess.CompletedProcess:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        command = [Path(sys.executable).parent / "ansible-playbook", "-i", "../inventory/hosts.yml", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path / "empty", env=environment | settings | {"HOME": str(tmp_path)}, capture_output=True, text=True
        )
        assert list((tmp_path / "empty").iterdir()) == [], "the working directory has files now"
        return done

    return run


@pytest.mark.parametrize("playbooks", [[ROOT / "site.yml"], PLAYBOOKS], ids=["site", "playbooks"])
def test_w44_every_playbook_is_complete_from_another_directory(elsewhere, playbooks):
    done = elsewhere("--syntax-check", *playbooks)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("playbook", ["site.yml", "playbooks/firewall.yml"])
@pytest.mark.parametrize("settings", [{"ANSIBLE_INJECT_FACT_VARS": "False"}, {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}])
def test_w44_a_run_from_another_directory_comes_to_its_hosts(elsewhere, playbook, settings):
    done = elsewhere(ROOT / playbook, **settings)
    assert done.returncode == 4 and "unreachable=1" in done.stdout and "failed=0" in done.stdout, done.stdout + done.stderr


def test_w44_without_a_setting_the_message_names_the_file(elsewhere):
    done = elsewhere(ROOT / "site.yml")
    text = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2 and f"ANSIBLE_CONFIG={ROOT / 'ansible.cfg'}" in text, text
    assert "unreachable=0" in text


def test_w44_an_installed_collection_names_no_file(monkeypatch, tmp_path):
    monkeypatch.setattr(controller, "CONFIG", tmp_path / "ansible.cfg")
    assert "ANSIBLE_CONFIG" not in controller.controller_problems(True)[0]
