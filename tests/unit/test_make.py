"""make test: what needs no nodes runs side by side, every failure counts, and the scenarios run after all of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = "yamllint ruff ansible-lint"
PROGRAMS = [f".venv/bin/{name}" for name in ("python", "pytest", *LINT.split())] + [
    "lab/install-packages", "lab/unpack-servers", "tests/package", "tests/ansible_test", "tests/scenarios",
]  # fmt: skip


@pytest.fixture
def make_test(tmp_path):
    """Run `make test` with programs that only note their name, and what else a test lets them do; how it ended, and the names."""
    folder, notes = tmp_path / "checkout", tmp_path / "notes"

    def make_test(**scripts: str) -> tuple[subprocess.CompletedProcess, list[str]]:
        for program in PROGRAMS:
            path = folder / program
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#!/bin/bash\necho {path.name} >>{notes}\n{scripts.get(path.name, '')}\n")
            path.chmod(0o755)
        shutil.copy(ROOT / "Makefile", folder)
        (folder / "requirements.lock").touch()
        (folder / ".venv/ready").touch()
        free = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        done = subprocess.run(["make", "test"], cwd=folder, env=free, capture_output=True, text=True, timeout=300, check=False)
        return done, notes.read_text().split()

    return make_test


def test_the_scenarios_run_after_all_else(make_test):
    done, ran = make_test()
    assert done.returncode == 0, done.stdout + done.stderr
    assert ran[-1] == "scenarios" and {*LINT.split(), "pytest", "package", "ansible_test"} <= set(ran)


def test_w40_make_test_runs_all_of_ansible_test(make_test):
    """Without an argument, by which tests would be chosen or left out."""
    done, _ = make_test(ansible_test='echo "sanity: $#"')
    assert "sanity: 0" in done.stdout.splitlines(), done.stdout


def test_unit_tests_run_beside_lint(make_test, tmp_path):
    """Each waits for the other one, and prints in one piece."""
    os.mkfifo(tmp_path / "there")
    os.mkfifo(tmp_path / "back")
    wait = "timeout 120 bash -c '{}' || exit 1"  # for a fifo that the other one never opens
    lint = f"echo lint-1; {wait.format(f'echo >{tmp_path}/there; read <{tmp_path}/back')}; echo lint-2"
    unit = f"echo unit-1; {wait.format(f'read <{tmp_path}/there')}; echo unit-2; {wait.format(f'echo >{tmp_path}/back')}"
    done, _ = make_test(yamllint=lint, pytest=f'[[ "$*" == *--ignore* ]] && exit\n{unit}')
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lint-1\nlint-2\n" in done.stdout and "unit-1\nunit-2\n" in done.stdout, done.stdout


@pytest.mark.parametrize("program", ["pytest", "yamllint", "ansible-lint", "package", "ansible_test"])
def test_one_failure_fails_and_hides_nothing(make_test, program):
    """The others still run; no node is started."""
    done, ran = make_test(**{program: "echo what is wrong; exit 1"})
    assert done.returncode != 0 and "what is wrong" in done.stdout
    assert {"pytest", "yamllint", "package"} <= set(ran) and "scenarios" not in ran


def test_all_unit_tests_run_in_two_halves(make_test):
    """What one of them leaves out is what the other one runs."""
    done, _ = make_test(pytest='echo "half $*"')
    halves = sorted(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("half "))
    folders = ["tests/unit/balancer", "tests/unit/registrator"]
    assert halves == [["tests/unit", *(f"--ignore={folder}" for folder in folders)], folders], done.stdout
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_nothing_takes_the_cores_from_the_tests_of_the_programs(make_test):
    """These measure times, a little; all else waits for nobody."""
    notes = 'echo "priority $(nice) ${0##*/} $*"'
    done, _ = make_test(**{name: notes for name in ("pytest", *LINT.split(), "package", "ansible_test")})
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("priority ")]
    (own,) = {priority for priority, program, *rest in lines if program == "pytest" and "--ignore" not in " ".join(rest)}
    others = {program: priority for priority, program, *rest in lines if program != "pytest" or "--ignore" in " ".join(rest)}
    assert others == dict.fromkeys(("pytest", *LINT.split(), "package", "ansible_test"), str(min(19, int(own) + 10))), lines


def test_a_scenario_that_fails_fails(make_test):
    assert make_test(scenarios="exit 1")[0].returncode != 0
