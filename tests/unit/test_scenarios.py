"""tests/scenarios: a scenario is a success only when each of its runs of pytest had a test that passed; else its end says why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
SCENARIOS = Path(__file__).parents[1] / "scenarios"
PASSED, SKIPPED = "===== 3 passed in 1.00s =====", "===== 3 skipped in 1.00s ====="


@pytest.fixture
def run(tmp_path):
    """Run the script with a molecule that prints the given lines for each scenario; it fails where there is a file NAME.fails."""

    def run(**printed: str) -> subprocess.CompletedProcess:
        for name, text in printed.items():
            (tmp_path / name).write_text(text + "\n")
        molecule = f'cat "{tmp_path}/${{!#}}"; [ ! -e "{tmp_path}/${{!#}}.fails" ]'
        python = f'[ "$2" = lab ] || {{ [ ! -e "{tmp_path}/no-summary" ] && exec {sys.executable} "$@"; }}'
        for program, script in {"molecule": molecule, "python": python}.items():
            (tmp_path / program).write_text(f"#!/bin/bash\n{script}\n")
            (tmp_path / program).chmod(0o755)
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SCENARIO_LOGS": str(tmp_path / "logs")}
        return subprocess.run([SCENARIOS, *printed], env=environment, capture_output=True, text=True, check=False)

    return run


def test_passed_tests_are_added_up(run):
    done = run(one=PASSED, two=f"{PASSED}\n{PASSED}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scenario one: 3 tests passed" in done.stdout and done.stdout.splitlines()[-1] == "9 passed, 0 failed"


@pytest.mark.parametrize(
    "printed",
    ["", SKIPPED, *(f"{PASSED}\n{last}" for last in (SKIPPED, "== 3 deselected in 0.10s ==", "== no tests ran in 0.01s =="))],
)
def test_a_scenario_without_a_passed_test_fails(run, printed):
    done = run(one=PASSED, two=printed, three=PASSED)
    assert done.returncode == 1
    assert "scenario two: a run of its tests had none that passed" in done.stdout + done.stderr


@pytest.mark.parametrize("summary", [True, False])
def test_a_scenario_that_fails_ends_with_the_reason(run, tmp_path, summary):
    """A summary that fails itself hides no failure."""
    (tmp_path / "two.fails").touch()
    if not summary:
        (tmp_path / "no-summary").touch()
    task = "TASK [Create the nodes] ***\n\x1b[0;31mfatal: [localhost]: FAILED! =>\x1b[0m\n    stderr: 'lab: no disk'"
    done = run(one=PASSED, two=task + "\n" * 200, three=PASSED)
    assert done.returncode == 1 and "scenario three" not in done.stdout
    *_, last = done.stdout.splitlines()
    assert last == "scenario two: failed after 0 min"
    if summary:
        reason = ["TASK [Create the nodes]", "fatal: [localhost]: FAILED! =>", "    stderr: 'lab: no disk'", last]
        assert done.stdout.splitlines()[-4:] == reason, done.stdout + done.stderr


def test_colours_are_no_hindrance(run):
    line = "\x1b[32m==== \x1b[1m2 passed\x1b[0m, \x1b[33m1 skipped\x1b[0m\x1b[32m in 61.00s (0:01:01)\x1b[0m\x1b[32m ====\x1b[0m"
    assert run(one=line).returncode == 0


# Its nodes stand in for a cluster of the user's, and its secrets are in that; its own tests search the cluster's objects.
NO_SITE_OF_HOSTS = {"kubernetes"}


@pytest.mark.parametrize("file", sorted((ROOT / "molecule").glob("*/molecule.yml")), ids=lambda path: path.parent.name)
def test_each_scenario_ends_with_the_search_for_secrets(file):
    if file.parent.name in NO_SITE_OF_HOSTS:
        pytest.skip("no site of hosts")
    own, shared = (parse_yaml(path.read_text()).get("scenario", {}) for path in (file, ROOT / ".config/molecule/config.yml"))
    assert (shared | own)["test_sequence"][-2:] == ["verify ../shared/after", "destroy"]


@pytest.mark.parametrize("file", sorted((ROOT / "molecule").glob("*/converge.yml")), ids=lambda path: path.parent.name)
def test_a_scenario_with_a_converge_of_its_own_names_it(file):
    """Else the shared one of .config/molecule/config.yml runs."""
    scenario = parse_yaml(file.with_name("molecule.yml").read_text()) if file.parent.name != "shared" else None
    assert scenario is None or scenario["ansible"]["playbooks"]["converge"] == file.name
