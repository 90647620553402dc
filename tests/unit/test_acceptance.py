"""docs/acceptance.md against the tests: every id in a test's name has a row, every row names exactly the files of its tests."""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/acceptance.md"
ROW = re.compile(r"^\| ([A-Z]\d+) \| (.+?) \| (.+?) \| (.+?) \|$")
NAME = re.compile(r"test_((?:[a-z]\d+_)+)")
# Directories of tests that `make test` runs.
USUAL = ("unit", "shared", "default", "consul_operations", "truth", "scaling", "resolver")
RUNS = ("test", "test, more in test-all", "test-all", "planned", "no test yet")


@dataclass
class Found:
    files: set[str] = field(default_factory=set)
    usual: bool = False
    more: bool = False

    @property
    def tests(self) -> str:
        return ", ".join(f"`{file}`" for file in sorted(self.files, key=lambda file: (file.startswith("unit/"), file)))

    @property
    def runs(self) -> str:
        return ("test, more in test-all" if self.more else "test") if self.usual else "test-all"


def short(path: Path) -> str:
    """The name of a test file as the document has it."""
    name = str(path.relative_to(ROOT))
    return name.removeprefix("tests/") if name.startswith("tests/") else name.removeprefix("molecule/").replace("/tests/", "/")


def test_functions() -> list[tuple[str, str, bool, bool]]:
    """Name, file, whether the whole test and whether a part of it is marked `more`."""
    found = []
    for path in sorted([*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "molecule").rglob("test_*.py")]):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = [ast.unparse(decorator) for decorator in node.decorator_list]
                whole = "pytest.mark.more" in marks
                found.append((node.name, short(path), whole, whole or any("pytest.mark.more" in mark for mark in marks)))
    return found


def in_tests() -> dict[str, Found]:
    found: dict[str, Found] = {}
    for name, file, whole, part in test_functions():
        for id_ in NAME.match(name)[1].strip("_").upper().split("_") if NAME.match(name) else []:
            row = found.setdefault(id_, Found())
            row.files.add(file)
            runs_usually = file.split("/")[0] in USUAL
            row.usual |= runs_usually and not whole
            row.more |= part or not runs_usually
    return found


test_functions.__test__ = False  # a helper, whatever its name
ROWS = {match[1]: match.groups()[1:] for line in DOCUMENT.read_text().splitlines() if (match := ROW.match(line))}
FOUND = in_tests()


def test_every_row_stands_once():
    ids = [match[1] for line in DOCUMENT.read_text().splitlines() if (match := ROW.match(line))]
    assert len(ids) == len(set(ids))


def test_every_id_of_a_test_has_a_row():
    assert sorted(set(FOUND) - set(ROWS)) == [], "ids in names of tests without a row in docs/acceptance.md"


@pytest.mark.parametrize("id_", ROWS)
def test_row_names_its_tests(id_):
    _, tests, runs = ROWS[id_]
    assert runs in RUNS, id_
    if id_ in FOUND:
        right = (FOUND[id_].tests, FOUND[id_].runs)
        assert (tests, runs) == right, f"docs/acceptance.md, row {id_}: write `| {right[0]} | {right[1]} |`"
    else:
        assert tests == "–" and runs in ("planned", "no test yet"), (
            f"{id_} has no test: write `| – | planned |` or `| – | no test yet |`"
        )


def test_every_scenario_stands_in_the_table():
    scenarios = {path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")}
    table = DOCUMENT.read_text().partition("## Scenarios")[2].partition("\n## ")[0]
    assert scenarios == set(re.findall(r"`([a-z_]+)`", " ".join(re.findall(r"^\| (`.+?) \|", table, re.MULTILINE))))
