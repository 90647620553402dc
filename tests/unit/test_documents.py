"""The documents: every relative link leads somewhere, and decisions have one form and an index."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[[^]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```|^ {4,}[^\n|]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
DECISIONS = sorted(path for path in (ROOT / "docs/decisions").glob("*.md") if path.name != "README.md")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(path for folder in ("docs", "roles", "lab", "benchmarks") for path in (ROOT / folder).rglob("*.md"))]
)


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        found.add(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-"))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    wrong = []
    for target in LINK.findall(FENCE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        goal = (document.parent / file).resolve() if file else document
        if not goal.exists() or (anchor and anchor not in anchors(goal)):
            wrong.append(target)
    assert wrong == []


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_decision_has_its_form(decision):
    """A title, context, decision and consequences, in 25 lines at most: what is longer is two decisions."""
    lines = decision.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) <= 25
    parts = re.findall(r"^\*\*(\w+)\.\*\*", decision.read_text(), re.MULTILINE)
    assert [part for part in parts if part != "Measured"] == ["Context", "Decision", "Consequences"]


def test_index_of_decisions_is_complete():
    index = (ROOT / "docs/decisions/README.md").read_text()
    wanted = [f"- [{path.read_text().splitlines()[0].removeprefix('# ')}]({path.name})" for path in DECISIONS]
    assert [line for line in wanted if line not in index] == []
    assert len(re.findall(r"^- \[", index, re.MULTILINE)) == len(wanted)


def test_architecture_and_readme_are_short():
    for name in ("docs/architecture.md", "README.md"):
        assert len((ROOT / name).read_text().splitlines()) <= 150, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_that_are_named_exist(document):
    """A path of the project in backticks, without placeholders, is there."""
    named = re.findall(
        r"`((?:roles|plugins|playbooks|lab|molecule|tests|docs|inventories|benchmarks)/[\w./-]+)`", document.read_text()
    )
    made = ("benchmarks/results",)
    assert [path for path in named if path.rstrip("/") not in made and not (ROOT / path).exists()] == []


def defined_tests(*folders: str) -> set[str]:
    """The names of all tests below these folders of the project."""
    files = [file for folder in folders for file in (ROOT / folder).rglob("test_*.py")]
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)}


def test_tests_that_are_named_exist():
    """A defence in docs/security.md names the test that shows it."""
    text = (ROOT / "docs/security.md").read_text()
    defined = defined_tests("tests", "molecule")
    assert set(re.findall(r"`(test_\w+)`", text)) - defined == set()
    rows = [line for line in text.splitlines() if re.match(r"\| (?!cannot|unit|`)", line)]
    assert [row for row in rows if not re.search(r"`test_\w+`", row.split("|")[2])] == []


def test_every_habit_names_its_tests():
    """Those of the scenario are marked, so that a reader knows what has run."""
    rows = re.findall(r"^\| (?!habit |---)(.+) \|$", (ROOT / "docs/habits.md").read_text(), re.MULTILINE)
    marked = {(name, bool(mark)) for row in rows for name, mark in re.findall(r"`(test_\w+)`( \(habits\))?", row)}
    assert [row for row in rows if not re.search(r"`test_\w+`", row)] == []
    assert {name for name, mark in marked if not mark} <= defined_tests("tests", "molecule/default", "molecule/consul_operations")
    assert {name for name, mark in marked if mark} <= defined_tests("molecule/habits")


def test_every_playbook_stands_in_the_operations():
    text = (ROOT / "docs/operations.md").read_text() + (ROOT / "README.md").read_text()
    parts = {"preflight", "registrator", "load_balancer", "consul_http"}  # imported by site.yml and not run alone in an operation
    assert [
        path.name for path in sorted((ROOT / "playbooks").glob("*.yml")) if path.stem not in parts and path.name not in text
    ] == []


def test_every_operation_has_its_parts():
    """When, command, traffic and rollback of each; but for the one that nobody starts."""
    for part in re.split(r"^### ", (ROOT / "docs/operations.md").read_text(), flags=re.MULTILINE)[1:]:
        title = part.splitlines()[0]
        missing = [word for word in ("When:", "Command:", "Traffic:", "Rollback") if f"**{word}" not in part]
        assert missing == [] or title == "When dockerd ends", title


@pytest.mark.parametrize("document", ["README.md", "docs/operations.md"])
def test_variables_on_command_lines_exist(document):
    """`-e name=value` names a variable that a role or a playbook knows."""
    known = "\n".join(path.read_text() for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*.yml"))
    named = set(re.findall(r"-e '?(?:\{\")?([a-z_]+)", (ROOT / document).read_text()))
    assert [name for name in sorted(named) if not re.search(rf"\b{name}\b", known)] == []
