"""requirements.lock, from which the project's environment is installed, against requirements*.txt: `make lock` writes it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENTRY = re.compile(r"^([\w.-]+)==([^\s;]+)(?: ; (.*?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)
LOCK = (ROOT / "requirements.lock").read_text()
LOCKED = {(name, version) for name, version, _, _ in ENTRY.findall(LOCK)}


def wanted() -> list[tuple[str, str]]:
    """Names and versions of requirements*.txt; '' where it leaves the version open."""
    lines = "\n".join((ROOT / name).read_text() for name in ("requirements.txt", "requirements-dev.txt")).splitlines()
    kept = [re.split(r"[;#]", line)[0].strip() for line in lines if line and not line.startswith(("#", "-r"))]
    return [tuple(f"{line}==".split("==")[:2]) for line in kept]


def test_every_line_of_the_lock_has_a_version_and_hashes():
    comments = "".join(f"{line}\n" for line in LOCK.splitlines() if line.startswith("#"))
    assert ENTRY.sub("", LOCK) == comments


@pytest.mark.parametrize(("name", "version"), wanted())
def test_a_requirement_is_locked_in_its_version(name, version):
    found = [locked for locked in LOCKED if locked[0] == name and version in ("", locked[1])]
    assert len(found) == 1, f"requirements.lock is stale: run `make lock`, it has {found or 'nothing'} for {name} {version}"


def test_the_environment_is_installed_from_the_lock_alone():
    installs = re.findall(r"pip install .*", (ROOT / "Makefile").read_text())
    assert [line for line in installs if "-r " in line and "--require-hashes -r requirements.lock" not in line] == []
