"""W40: `ansible-test sanity` passes as a whole, and each line that it is to pass over has its reason. `make package` runs it."""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from ansible.release import __version__ as ansible_version
from tests.generate.sanity_ignores import documents

ROOT = Path(__file__).parents[2]
SANITY = ROOT / "tests/sanity"
IGNORES = sorted(SANITY.glob("ignore-*.txt"))
LINE = re.compile(r"(?P<path>\S+) (?P<test>[a-z-]+)(?::(?P<code>[a-z0-9-]+))? # (?P<reason>\S.*)")
ANSIBLE_TEST = Path(find_spec("ansible_test").origin).parent
RAN = 'Running sanity test "pep8"'


def sanity_tests() -> set[str]:
    """The names of all tests of the ansible-test that is installed."""
    own = {path.stem.replace("_", "-") for path in (ANSIBLE_TEST / "_internal/commands/sanity").glob("[a-z]*.py")}
    return own | {path.stem for path in (ANSIBLE_TEST / "_util/controller/sanity/code-smell").glob("*.py")}


@pytest.mark.parametrize("file", IGNORES, ids=lambda path: path.stem)
def test_w40_each_ignore_names_a_file_a_test_and_the_reason(file):
    lines = file.read_text().splitlines()
    wrong = [line for line in lines if not (found := LINE.fullmatch(line)) or len(found["reason"].split()) < 5]
    assert wrong == []
    named = [LINE.fullmatch(line) for line in lines]
    assert [one["path"] for one in named if not (ROOT / one["path"]).is_file()] == []
    assert {one["test"] for one in named} - sanity_tests() == set()
    # One message of validate-modules each, not the whole test.
    assert [one.string for one in named if one["test"] == "validate-modules" and not one["code"]] == []


def test_w40_the_ignores_are_those_that_make_docs_writes():
    assert {path: path.read_text() for path in IGNORES} == documents(), "run `make docs` and commit what it writes"


def test_w40_the_ansible_core_of_the_environment_has_its_ignores():
    """ansible-test reads the file of its own version alone."""
    assert SANITY / f"ignore-{'.'.join(ansible_version.split('.')[:2])}.txt" in IGNORES


@pytest.fixture
def run(tmp_path):
    """Run tests/ansible_test with an ansible-test that prints the lines and ends as told, over a collection of one file."""
    programs, checkout = tmp_path / "bin", tmp_path / "checkout"
    (checkout / "tests").mkdir(parents=True)
    shutil.copy(ROOT / "tests/ansible_test", checkout / "tests")
    (checkout / "galaxy.yml").touch()
    programs.mkdir()
    galaxy = 'cd "$4" && touch MANIFEST.json FILES.json && tar -czf fewnodes-discovery-1.tar.gz MANIFEST.json FILES.json'

    def run(*lines: str, code: int = 0, arguments: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
        (tmp_path / "lines").write_text("".join(f"{line}\n" for line in lines))
        scripts = {
            "ansible-galaxy": galaxy,
            "ansible-test": f'echo "arguments: $*" >"{tmp_path}/called"; cat "{tmp_path}/lines"; exit {code}',
            "python": "echo 3.11",
        }
        for name, script in scripts.items():
            (programs / name).write_text(f"#!/bin/bash\n{script}\n")
            (programs / name).chmod(0o755)
        environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path)}
        command = [checkout / "tests/ansible_test", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_w40_every_sanity_test_is_asked_for(run, tmp_path):
    """None is excluded: what is passed over stands in the ignores."""
    done = run(RAN, 'Running sanity test "yamllint"')
    assert done.returncode == 0 and done.stdout == "ansible-test sanity: 2 tests passed\n", done.stdout + done.stderr
    assert (tmp_path / "called").read_text() == "arguments: sanity --local --python 3.11\n"


@pytest.mark.parametrize(
    ("lines", "code", "shown"),
    [
        ((RAN, "ERROR: Found 1 pep8 issue(s)"), 1, "ERROR: Found 1 pep8 issue(s)"),
        ((), 0, "no test ran"),
        ((RAN, 'WARNING: Required program "shellcheck" not found.'), 0, 'Required program "shellcheck" not found'),
        ((RAN, 'WARNING: Skipping sanity test "import" on Python 3.11 because of x'), 0, 'Skipping sanity test "import"'),
        ((RAN, "WARNING: Skipping tests disabled by default without --allow-disabled: a"), 0, "Skipping tests disabled"),
    ],
)
def test_w40_what_fails_or_does_not_run_fails(run, lines, code, shown):
    done = run(*lines, code=code)
    assert done.returncode == 1 and shown in done.stdout + done.stderr
    assert "passed" not in done.stdout


def test_w40_what_ansible_test_skips_is_said_in_these_words():
    """Else a test that is skipped would pass here."""
    found = "".join(path.read_text() for path in (ANSIBLE_TEST / "_internal").rglob("*.py"))
    wanted = ("WARNING: ", "Required program ", "Skipping sanity test ", "Skipping tests disabled by default")
    assert [words for words in wanted if words not in found] == []
