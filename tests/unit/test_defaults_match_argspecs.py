"""Each role's defaults and its argument_specs name the same variables, and each default says what it is."""

import re
from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

ROLES = sorted(path for path in (Path(__file__).parents[2] / "roles").iterdir() if path.is_dir())
VARIABLE = re.compile(r"^[a-z_][a-z0-9_]*:")


def load(path: Path) -> dict:
    return (parse_yaml(path.read_text()) or {}) if path.exists() else {}


def entry_points(role: Path) -> dict[str, dict]:
    """Options by entry point."""
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    return {name: spec.get("options") or {} for name, spec in specs.items()}


def uncommented(text: str) -> list[str]:
    """Variables of a defaults file without a comment directly above them."""
    found = []
    commented = False
    for line in text.splitlines():
        if VARIABLE.match(line) and not commented:
            found.append(line.split(":")[0])
        commented = line.startswith("#")
    return found


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_and_argument_specs_have_the_same_keys(role):
    """A required option has no default; every other one has. Entry points share defaults; common has required options that
    another entry point of it does not require."""
    defaults, entries = set(load(role / "defaults/main.yml")), entry_points(role)
    if "main" in entries:
        assert defaults == {
            name for options in entries.values() for name, option in options.items() if not option.get("required")
        }
    else:
        assert defaults <= {name for options in entries.values() for name in options}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_each_entry_point_is_a_task_file(role):
    """Ansible finds the specs of an entry point by tasks_from as it is written, folder included."""
    assert [name for name in entry_points(role) if not (role / "tasks" / f"{name}.yml").is_file()] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_spec_is_a_template(role):
    """Ansible renders all of a spec, descriptions and examples too, when it validates the arguments of a role."""
    assert not re.search("{[{%#]", (role / "meta/argument_specs.yml").read_text())


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_option_is_described(role):
    options = {name: option for entry in entry_points(role).values() for name, option in entry.items()}
    assert [name for name, option in options.items() if not option.get("description")] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_entry_point_is_described(role):
    """But one that is empty on purpose: it costs no task that validates."""
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    assert [name for name, spec in specs.items() if spec and not {"short_description", "description"} <= set(spec)] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_default_has_a_comment(role):
    path = role / "defaults/main.yml"
    assert uncommented(path.read_text() if path.exists() else "") == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_public_variables_carry_the_role_name(role):
    assert [name for name in load(role / "defaults/main.yml") if not name.startswith(f"{role.name}_")] == []


def test_uncommented_sees_a_bare_variable():
    assert uncommented("# one\na: 1\nb: 2\n# three\nc:\n  - x\n") == ["b"]
