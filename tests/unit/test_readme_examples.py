"""The examples of the READMEs parse, name roles and variables that exist, and give all that is required."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = {path.name: path for path in sorted((ROOT / "roles").iterdir()) if path.is_dir()}
SITE = {
    name for section in yaml.safe_load((ROOT / "meta/site_variables.yml").read_text()).values() for name in section["options"]
}
EXAMPLE = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
DOCUMENTS = [*(role / "README.md" for role in ROLES.values()), ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def specs(role: str) -> dict:
    return yaml.safe_load((ROLES[role] / "meta/argument_specs.yml").read_text())["argument_specs"]


OPTIONS = {
    name for role in ROLES for spec in specs(role).values() for name in spec.get("options") or {}
} | SITE | set(ROLES)  # fmt: skip


def examples(path: Path) -> list:
    return [yaml.safe_load(text) for text in EXAMPLE.findall(path.read_text())]


def calls(value, outer=()):
    """(role, entry point, variables given) of each role that an example calls."""
    if isinstance(value, list):
        for inner in value:
            yield from calls(inner, outer)
    if not isinstance(value, dict):
        return
    given = {*outer, *(value.get("vars") or {})}
    for role in value.get("roles") or []:
        role = {"role": role} if isinstance(role, str) else role
        yield role["role"], "main", given | set(role.get("vars") or {}) | (set(role) - {"role", "vars", "when", "tags"})
    for kind in ("include_role", "import_role"):
        call = value.get(f"ansible.builtin.{kind}")
        if call:
            yield call["name"], call.get("tasks_from", "main"), given
    for inner in value.values():
        if isinstance(inner, list):
            yield from calls(inner, given)


def mistakes(example) -> list[str]:
    found = []
    for role, entry, given in calls(example):
        name = role.removeprefix("fewnodes.discovery.")
        if name not in ROLES or not (ROLES[name] / "tasks" / f"{entry}.yml").is_file():
            found.append(f"{role}, entry point {entry}, does not exist")
            continue
        options = specs(name).get(entry, {}).get("options") or {}
        found += [f"{variable} is no variable" for variable in sorted(given - OPTIONS)]
        found += [f"{role} needs {option}" for option, spec in options.items() if spec.get("required") and option not in given]
    if isinstance(example, dict) and "services" not in example:  # variables of an inventory, not a Compose file
        found += [f"{name} is no variable" for name in example if name not in OPTIONS and not name.startswith("ansible_")]
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_parse_and_name_what_exists(path):
    assert [mistake for example in examples(path) for mistake in mistakes(example)] == []


@pytest.mark.parametrize("role", ROLES, ids=list(ROLES))
def test_a_role_has_an_example_that_calls_it(role):
    """Or the role that installs it, as the balancer does with the role of its backend."""
    found = [name for example in examples(ROLES[role] / "README.md") for name, _, _ in calls(example)]
    called = {name.removeprefix("fewnodes.discovery.") for name in found}
    installed_by = {"nginx": "balancer"}
    assert called & {role, installed_by.get(role)}


def test_a_mistake_is_found():
    roles = ["fewnodes.discovery.nowhere", {"role": "nginx", "nginx_nothing": 1}]
    found = mistakes([{"hosts": "all", "vars": {"no_such": 1}, "roles": roles}])
    assert {one.split()[0].rstrip(",") for one in found} >= {"fewnodes.discovery.nowhere", "nginx_nothing", "no_such"}
