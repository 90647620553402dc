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
    plays = [{"hosts": "localhost", "gather_facts": False, "vars": play["vars"] | directories, "tasks": [task, show]}]
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
