"""Variables of operations are called after the operation; one that is set by an old name is never ignored silently."""

import re
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.renamed import OPERATIONS as RENAMED
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.renamed import renamed_operation_variables

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "plugins/plugin_utils/renamed.py"
EXAMPLE = ROOT / "plugins/filter/renamed_operation_variables.yml"
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
SOURCES = [
    path for folder in ("playbooks", "roles", "plugins") for path in (ROOT / folder).rglob("*")
    if path.is_file() and path not in (TABLE, EXAMPLE) and path.suffix in (".yml", ".j2", ".py", ".md")
]  # fmt: skip


def names(text: str) -> set[str]:
    """New names in a text of the table."""
    return set(re.findall(r"\b([a-z]+(?:_[a-z]+)+)\b", re.sub(r"playbooks/\w+", "", text)))


@pytest.mark.parametrize("old", RENAMED)
def test_nothing_reads_an_old_name(old):
    assert [str(path.relative_to(ROOT)) for path in SOURCES if re.search(rf"\b{old}\b", path.read_text())] == []


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_a_playbook_that_reads_a_new_name_checks_for_the_old_one(playbook):
    text = playbook.read_text()
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    read = [name for new in RENAMED.values() for name in names(new) if re.search(rf"\b{name}\b", code)]
    assert not read or "tasks/old_variables.yml" in code, read


def test_each_new_name_is_read():
    code = "\n".join(path.read_text() for path in SOURCES)
    assert [name for new in RENAMED.values() for name in names(new) if not re.search(rf"\b{name}\b", code)] == []


def test_an_old_name_is_reported_with_the_new_one():
    names = ["drain_host", "drain_linger", "ansible_host", "discovery_node"]
    assert [text.partition(" (")[0] for text in renamed_operation_variables(names)] == [
        "discovery_node is now remove_host", "drain_linger is now drain_delay",
    ]  # fmt: skip
    assert renamed_operation_variables(["drain_host"]) == []
