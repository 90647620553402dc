"""A drained load balancer gives its addresses to another one that can hold them, or stays as it was; in real runs."""

import getpass
import grp
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles/floating_address"


@pytest.fixture
def move(tmp_path):
    """Run the entry point on host `a`, with `b` as the other one; both are this machine, with another systemctl and ip."""
    mark, programs, role = tmp_path / "drained", tmp_path / "bin", tmp_path / "roles/floating_address"
    shutil.copytree(ROLE, role)
    tasks = role / "tasks/move.yml"
    owner = f"owner: {getpass.getuser()}, group: {grp.getgrgid(os.getgid()).gr_name}"
    tasks.write_text(tasks.read_text().replace('content: "drained\\n"}', f'content: "drained\\n", {owner}}}'))
    programs.mkdir()

    def run(active=True, held="", address="127.0.0.1", port=9, last=False, entry="move", drained=False):
        asked = f"echo x >> {tmp_path}/asked\nexit {0 if active else 3}"
        for name, text in (("systemctl", asked), ("ip", f"echo '2: eth0 inet {held}/32 scope global'")):
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
        if drained:
            mark.write_text("earlier\n")
        play = {
            "hosts": "a",
            "gather_facts": False,
            "environment": {"PATH": f"{programs}:{os.environ['PATH']}"},
            "vars": {
                "floating_address_addresses": [address], "floating_address_balancers": ["a", "b"],
                "floating_address_port": port, "floating_address_last": last,
                "ansible_python_interpreter": sys.executable,
            },
            "tasks": [
                {"ansible.builtin.include_role": {"name": "floating_address", "tasks_from": one}} for one in entry.split()
            ],
        }  # fmt: skip
        (tmp_path / "play.json").write_text(json.dumps([play]))
        # Names that extra variables set are those of the role's own.
        extra = {"__floating_address_drained": str(mark), "__floating_address_patience": 1}
        command = [Path(sys.executable).parent / "ansible-playbook", "-i", "a,b", "-c", "local", "-e", json.dumps(extra)]
        done = subprocess.run([*command, tmp_path / "play.json"], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode == 0, mark.read_text() if mark.exists() else "", done.stdout

    return run


@pytest.mark.parametrize("entry", ["move", "others"])
@pytest.mark.parametrize("other", [{"drained": True}, {"active": False}])
def test_v4_where_each_other_balancer_is_drained_or_ended_nothing_is_marked(move, other, entry):
    """That of a drained host answers, but takes no address: two drained ones would leave it to nobody."""
    good, mark, output = move(**other, entry=entry)
    assert not good and mark == ("earlier\n" if "drained" in other else "")
    assert "No other load balancer can take the floating addresses of a over: of b none" in " ".join(output.split())


def test_v4_the_last_balancer_goes_on_and_keeps_the_addresses(move):
    good, mark, _output = move(active=False, last=True)
    assert good and mark == ""


def test_v4_the_mark_stays_when_another_balancer_answers_at_the_address(move):
    with socket.create_server(("127.0.0.1", 0)) as other:
        good, mark, output = move(port=other.getsockname()[1])
    assert good and mark == "drained\n", output


def test_v4_a_run_that_has_checked_before_asks_the_other_balancers_once(move, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        good, mark, output = move(port=other.getsockname()[1], entry="others move")
    assert good and mark == "drained\n", output
    assert (tmp_path / "asked").read_text() == "x\n"


@pytest.mark.parametrize(("last", "good"), [(False, False), (True, True)])
def test_v4_the_mark_is_removed_when_nobody_answers_at_the_address(move, last, good):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    found, mark, output = move(port=port, last=last)
    assert (found, mark) == (good, ""), output
    assert good or "no other load balancer answers at 127.0.0.1" in " ".join(output.split())


def test_v4_drain_and_removal_ask_all_balancers_of_the_site():
    for playbook, entry in (("drain", "others"), ("drain", "move"), ("remove_node", "others")):
        plays = parse_yaml((ROOT / f"playbooks/{playbook}.yml").read_text())
        tasks = [task for play in plays for task in play.get("pre_tasks", []) + play.get("tasks", [])]
        names = [task.get("ansible.builtin.include_role", {}) for task in tasks]
        number = names.index({"name": "floating_address", "tasks_from": entry})
        assert re.fullmatch(r"\{\{ site_load_balancers \}\}", tasks[number]["vars"]["floating_address_balancers"])
        stops = [place for place, task in enumerate(tasks) if "floating_address" in json.dumps(task.get("loop", ""))]
        assert all(number < place for place in stops)
