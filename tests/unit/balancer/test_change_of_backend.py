"""Another backend by one variable: when the ports change hands, what happens where it fails, and that nothing is left."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.support.balancer import BACKENDS
from tests.yaml_text import parse_yaml

from discovery_balancer.store import Store

ROOT = Path(__file__).parents[3]
ROLES = ROOT / "roles"
STARTS = ("discovery-", "/run/discovery-")  # of names of directories in memory


def tasks(role: str, file: str) -> list[dict]:
    return parse_yaml((ROLES / role / f"tasks/{file}.yml").read_text())


def place(found: list[dict], word: str) -> int:
    """Where the task stands whose text has a word."""
    (number,) = [number for number, task in enumerate(found) if word in str(task)]
    return number


HAND_OVER = tasks("balancer", "hand_over")[0]
SYNC, READY, MOVE = HAND_OVER["block"]


def test_packages_come_before_the_options_that_name_the_new_backend():
    """A package that cannot be had leaves the other backend as it was, and followed."""
    found = tasks("balancer", "backend")
    words = ("'tasks_from': 'install'", "/etc/discovery-balancer.json", "and tune")
    order = [place(found, word) for word in words]
    assert order == sorted(order)


def test_the_sync_program_may_test_both_until_one_is_left():
    """Its unit is written with the backends that the host had when the run began, and again when the other one has gone."""
    unit = "discovery-balancer.service.j2"
    variables = parse_yaml((ROLES / "balancer/vars/main.yml").read_text())
    assert "select('in', common_host.balancer_parts)" in variables["__balancer_others"]
    place(tasks("balancer", "configure"), unit)
    left = tasks("balancer", "leave")
    closed = left[place(left, unit)]
    assert closed["vars"] == {"__balancer_tested": ["{{ balancer_backend }}"]} and "__balancer_others" in closed["when"]
    assert "__balancer_tested" in (ROLES / "balancer/templates/discovery-balancer.service.j2").read_text()


def test_the_ports_are_handed_over_when_the_units_are_loaded_and_files_go_when_the_new_backend_serves():
    found = tasks("balancer", "service")
    words = ("flush_handlers", "hand_over.yml", "consul-template.service", "Wait until the balancer")
    order = [place(found, word) for word in words]
    assert order == sorted(order)
    phases = [task["ansible.builtin.import_tasks"] for task in tasks("balancer", "main") if "when" not in task]
    assert phases[-3:] == ["backend.yml", "service.yml", "leave.yml"]


def test_nothing_stops_before_a_generation_of_the_new_backend_is_linked(tmp_path):
    """Asked of the file itself, which a sync has written: this one, where a run that was interrupted left that to do."""
    assert SYNC["ansible.builtin.command"]["argv"] == ["/usr/local/sbin/discovery-balancer", "sync"]
    store = Store(tmp_path)
    argv = READY["ansible.builtin.command"]["argv"]
    for other, ready in (("nginx", False), ("", False), ("haproxy", True)):
        store.point(store.write({}, "marker", (), other))
        command = [part.replace("{{ balancer_backend }}", "haproxy") for part in argv[:-1]] + [store.link / "about.json"]
        assert argv[-1] == "/var/lib/discovery-balancer/current/about.json"
        assert (subprocess.run(command, check=False).returncode == 0) is ready, other


@pytest.mark.parametrize(("fails", "done"), [
    ("", ["stop old", "start new", "disable --quiet old", "enable --quiet new"]),
    ("start", ["stop old", "start new"]), ("stop", ["stop old"]),
])  # fmt: skip
def test_one_step_stops_and_starts(tmp_path, fails, done):
    """One balancer after the other; a failure ends it, so that the other backend comes back."""
    assert MOVE["throttle"] == 1
    log, program = tmp_path / "log", tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >>{log}\n[ "$1" != "{fails}" ]\n')
    program.chmod(0o755)
    argv = [*MOVE["ansible.builtin.command"]["argv"][:4], "old", "new"]
    ended = subprocess.run(argv, env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=False).returncode
    assert (log.read_text().splitlines(), ended == 0) == (done, not fails)


def test_where_it_does_not_start_the_other_backend_serves_again_and_the_run_fails():
    found = HAND_OVER["rescue"]
    words = ("'stopped'", "'balancer': __role_item", "'sync'", "'started'", "ansible.builtin.fail")
    assert [place(found, word) for word in words] == list(range(5))


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_that_is_left_leaves_nothing(name):
    """Each file that its role writes, and the directory of its drop-in where nobody else has one there."""
    text = "".join(path.read_text() for path in (ROLES / name / "tasks").glob("[lr]e*.yml"))
    if name == "haproxy":
        text += (ROLES / name / "vars/main.yml").read_text().partition("__haproxy_paths:")[2].partition("#")[0]
        text = text.replace("{{ __haproxy_certificates }}", "/etc/haproxy/discovery-certificates")
        text = text.replace("{{ __haproxy_rotation }}", "/etc/logrotate.d/discovery-haproxy")
    drop_ins = f"/etc/systemd/system/{name}.service.d"
    wanted = [*BACKENDS[name].managed, f"empty: [{drop_ins}]", f"{drop_ins}/10-discovery.conf"]
    assert [path for path in wanted if path not in text] == []
    assert "state: stopped" in text and "enabled: false" in text


def test_directories_in_memory_belong_to_one_backend():
    """The test of nginx's configuration gives them nginx's group, while HAProxy still serves."""
    own = {name: (ROLES / name / "templates/10-discovery.conf.j2").read_text() for name in BACKENDS}
    first, second = ({word for word in text.replace("=", " ").split() if word.startswith(STARTS)} for text in own.values())
    assert first and second and first.isdisjoint(second)
