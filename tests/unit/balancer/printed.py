"""What Ansible makes of a value with the variables of the balancer's roles: a run whose only task prints it.

A task that writes it would start Python on the host several times, which takes longer than all the rest.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
ROLES = ("balancer", "nginx", "haproxy")
FILES = [str(ROOT / f"roles/{role}/{part}/main.yml") for role in ROLES for part in ("defaults", "vars")]
MESSAGE = re.compile(r" => (\{\n.*?\n\})", re.DOTALL)
FORM = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}


def printed(folder: Path, value: Any, variables: dict, **keywords) -> list:
    """The value, once for each item of the task's loop.

    :param folder: where the play is written
    :param value: with templates
    :param variables: as of the command line
    :param keywords: of the task, such as `loop` and `vars`
    """
    task = {"name": "Print it", "ansible.builtin.debug": {"msg": value}, **keywords}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars_files": FILES, "tasks": [task]}
    file = folder / "play.yml"
    file.write_text(json.dumps([play]))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-e", json.dumps(variables), file]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | FORM, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(result)["msg"] for result in MESSAGE.findall(done.stdout)]
