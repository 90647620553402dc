"""The tables of variables and the comments in defaults are what `make docs` writes; tests/ansible_test judges its ignores."""

import re

import pytest
from tests.generate.variable_tables import (
    BEGIN,
    END,
    NOTE,
    ROOT,
    between_markers,
    commented,
    default,
    documents,
    load,
    marked,
    plain,
    table,
)  # fmt: skip

DOCUMENTS = documents()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_document_is_fresh(path):
    fresh = path.is_file() and path.read_text() == DOCUMENTS[path]
    assert fresh, f"{path.relative_to(ROOT)} is stale: run `make docs` and commit what it writes"


def site_options() -> dict[str, dict]:
    sections = load(ROOT / "meta/site_variables.yml").values()
    return {name: option for section in sections for name, option in section["options"].items()}


def read_in(*patterns: str) -> set[str]:
    text = "\n".join(path.read_text() for pattern in patterns for path in ROOT.glob(pattern) if path.is_file())
    operations = "|".join(load(ROOT / "meta/site_variables.yml")["operations"]["options"])
    return set(re.findall(rf"(?<![$\w])(?:discovery_\w+|(?:{operations})\b)", text))


def test_every_site_variable_is_read():
    assert set(site_options()) - read_in("roles/**/*.yml", "playbooks/**/*.yml", "plugins/**/*.py") == set()


def test_every_site_variable_has_type_and_description():
    assert [name for name, option in site_options().items() if not {"type", "description"} <= set(option)] == []


@pytest.mark.parametrize("role", sorted((ROOT / "roles").iterdir()), ids=lambda role: role.name)
def test_literal_default_is_the_same_in_argument_specs(role):
    """Where both files name a value, they name the same one."""
    defaults = load(role / "defaults/main.yml")
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    differ = [
        f"{name}: {option['default']!r} in argument_specs, {defaults[name]!r} in defaults"
        for spec in specs.values() for name, option in (spec.get("options") or {}).items()
        if "default" in option and name in defaults and "{{" not in repr(defaults[name]) and option["default"] != defaults[name]
    ]  # fmt: skip
    assert differ == []


@pytest.mark.parametrize(
    "value, shown",
    [
        (5, "`5`"),
        ("", '`""`'),
        (False, "`false`"),
        (["a", 1], "`[a, 1]`"),
        ("{{ discovery_x | default('none') }}", "`discovery_x`, else `none`"),
        ("{{ discovery_x | default('') }}", '`discovery_x`, else `""`'),
        ("{{ discovery_x | default(inventory_dir ~ '/.secrets') }}", "`discovery_x`, else `<inventory directory>/.secrets`"),
        ("{{ discovery_x | default(a | first) }}", "`discovery_x`, else computed"),
        ("tokens/a-{{ inventory_hostname }}", "`tokens/a-{{ inventory_hostname }}`"),
        ("{{ 'a rather long expression' if discovery_overlay | default('none') == 'swarm' else '' }}", "computed"),
    ],
)
def test_default_column(value, shown):
    assert default("x", {}, {"x": value}) == shown


def test_expression_is_described_by_the_default_of_the_option():
    expression = {"x": "{{ 'a rather long expression' if discovery_overlay | default('none') == 'swarm' else '' }}"}
    assert default("x", {"default": "that of the site"}, expression) == "that of the site"
    assert default("x", {"default": []}, expression) == "`[]`"


def test_option_without_a_default():
    assert default("x", {"required": True}, {}) == "required"
    assert default("x", {}, {}) == ""


def test_table_has_type_choices_and_marked_names():
    options = {"r_a": {"type": "list", "elements": "str", "choices": ["b", "c"], "description": "Like r_b, C(d|e)."},
               "r_b": {"description": "No r_bc."}}  # fmt: skip
    rows = table(options, {}).splitlines()[2:]
    assert rows == ["| `r_a` | list of str |  | Like `r_b`, `d\\|e`. One of `b`, `c`. |", "| `r_b` | str |  | No r_bc. |"]


def test_markup_becomes_text_or_code():
    assert plain(["See C(a(1)).", "O(x)  wins."]) == "See a(1). x wins."
    assert marked("See C(a_b) and `c_d` and a_b.", {"a_b", "c_d"}) == "See `a_b` and `c_d` and `a_b`."


def test_comments_are_made_from_descriptions_and_headings_stay():
    text = f"---\n{NOTE}\n# --- Names\n\n# old\n# words\na: 1\n# kept\nb:\n  # inside\n  - 2\n# old\nc: 3\n"
    assert commented(text, {"a": "New. Example: 5", "c": "Third."}) == (
        f"---\n{NOTE}\n# --- Names\n\n# New.\n# Example: 5\na: 1\n# kept\nb:\n  # inside\n  - 2\n\n# Third.\nc: 3\n"
    )


def test_text_around_the_markers_stays():
    assert between_markers(f"# a\n\n{BEGIN}\nold\n{END}\n\n## b\n", "new") == f"# a\n\n{BEGIN}\n\nnew\n\n{END}\n\n## b\n"


def test_document_without_markers_gets_them():
    assert between_markers("# a\n", "new") == f"# a\n\n## Variables\n\n{BEGIN}\n\nnew\n\n{END}\n"
