"""How soon a backend that has ended starts again: one that was killed at once, one that fails after a second, each for ever."""

import os
import shlex
import subprocess
import time
from pathlib import Path

import jinja2
import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.quick_restart import quick_restart
from tests.support.balancer import BACKENDS

ROLES = Path(__file__).parents[3] / "roles"


def rendered(backend: str) -> str:
    """A backend's drop-in as Ansible renders it; of the role's variables those of its restart count."""
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.ChainableUndefined)
    environment.filters |= {"comment": "# {}".format, "fewnodes.discovery.unit_sandbox": str}
    template = environment.from_string((ROLES / backend / "templates/10-discovery.conf.j2").read_text())
    return template.render({f"__{backend}_restart": quick_restart(backend)})


class Unit:
    """The commands of a backend's drop-in, run here: `discovery-balancer` and `sleep` only say that they were called."""

    def __init__(self, backend: str, folder: Path):
        text = rendered(backend).replace("\\\n", "")
        self.lines = text.splitlines()
        self.flag, self.folder = folder / f"discovery-{backend}-killed", folder
        for name in ("discovery-balancer", "sleep"):
            (folder / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
            (folder / name).chmod(0o755)

    def run(self, directive: str, **environment) -> list[str]:
        """What the shell command of a directive calls."""
        (command,) = [
            line.partition("=")[2].lstrip("-") for line in self.lines if line.startswith(f"{directive}=") and "-killed" in line
        ]
        command = command.replace("/run/", f"{self.folder}/").replace("/usr/local/sbin/", f"{self.folder}/")
        environment = os.environ | {"PATH": f"{self.folder}:{os.environ['PATH']}"} | environment
        done = subprocess.run(shlex.split(command), env=environment, capture_output=True, text=True, check=False)
        return done.stdout.splitlines()


@pytest.fixture(params=BACKENDS)
def unit(request, tmp_path):
    return Unit(request.param, tmp_path)


def test_w39_one_that_was_killed_starts_at_once_and_without_a_sync(unit):
    """It has served this configuration until then, and Python alone takes as long as all the rest."""
    assert unit.run("ExecStopPost", SERVICE_RESULT="signal") == []
    assert unit.run("ExecStartPre") == []
    assert "RestartSec=0" in unit.lines and "StartLimitIntervalSec=0" in unit.lines


def test_w39_one_that_crashes_at_its_start_is_started_once_a_second(unit):
    """Without a core file a crash is a signal for systemd as well."""
    assert unit.run("ExecStopPost", SERVICE_RESULT="signal") == []
    assert unit.run("ExecStopPost", SERVICE_RESULT="signal") == ["sleep 1"]


@pytest.mark.parametrize(
    ("result", "pause"), [("exit-code", ["sleep 1"]), ("core-dump", ["sleep 1"]), ("success", []), ("timeout", [])]
)
def test_w39_any_other_end_is_followed_by_a_sync_and_a_failure_by_a_pause(unit, result, pause):
    """One that was killed before and cannot start syncs, too: its port may be taken."""
    unit.run("ExecStopPost", SERVICE_RESULT="signal")
    assert unit.run("ExecStopPost", SERVICE_RESULT=result) == pause
    assert unit.run("ExecStartPre") == ["discovery-balancer sync"]


def test_w39_one_that_was_killed_long_ago_syncs(unit):
    """It was stopped before it came back: what it served then is of the past."""
    unit.run("ExecStopPost", SERVICE_RESULT="signal")
    before = time.time() - 10
    os.utime(unit.flag, (before, before))
    assert unit.run("ExecStartPre") == ["discovery-balancer sync"]


def test_w39_a_sync_follows_each_start(unit):
    assert "ExecStartPost=-/usr/local/sbin/discovery-balancer sync" in unit.lines


@pytest.mark.parametrize("backend", BACKENDS)
def test_w39_what_starts_a_backend_again_stands_once(backend):
    """In one filter for all of them; a role names the mark nowhere itself."""
    files = [path for path in (ROLES / backend).rglob("*") if path.is_file()]
    own = [line for path in files for line in path.read_text().splitlines() if "SERVICE_RESULT" in line or "-killed" in line]
    assert own == []


def test_w39_a_name_that_a_shell_reads_as_something_else_is_refused():
    with pytest.raises(ValueError, match="needs a name such as nginx"):
        quick_restart("nginx; reboot")
