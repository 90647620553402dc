"""The shape of the collection: what the style asks of every role, playbook and of the package."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from tests.support.tasks import walk
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
GALAXY = parse_yaml((ROOT / "galaxy.yml").read_text())
BALANCER = parse_yaml((ROOT / "roles/balancer/vars/main.yml").read_text())
# Roles that the role balancer calls; it also starts their units.
BACKENDS = {row["role"] for row in BALANCER["__balancer_backends"].values()}
GROUPS = ("consul_clients", "docker_hosts", "load_balancers")
PACKAGED = {
    "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "changelogs", "docs", "galaxy.yml",
    "meta", "playbooks", "plugins", "roles", "tests/sanity",
}  # fmt: skip


def roles(*without: str):
    chosen = [role for role in ROLES if role.name not in without]
    return pytest.mark.parametrize("role", chosen, ids=[role.name for role in chosen])


def tasks(path: Path) -> list[dict]:
    """The tasks of a file in order, those in blocks and the blocks too."""
    return [step for step, _around in walk(parse_yaml(path.read_text()))]


@roles()
def test_role_has_its_files(role):
    wanted = ["README.md", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml"]
    assert [name for name in wanted if not (role / name).is_file()] == []


def is_operation(role: Path) -> bool:
    """Whether a role changes a running site (drain, scale, …) instead of being a part of the platform; its meta tells."""
    return "operation" in parse_yaml((role / "meta/main.yml").read_text())["galaxy_info"].get("galaxy_tags", [])


@roles("common")
def test_role_main_is_a_table_of_contents(role):
    """main.yml imports files and does nothing itself; the phases have the same names everywhere, preflight comes first.

    An operation installs nothing: its phases have names of their own, and a platform role cannot pass for one.
    """
    steps = [task for task in tasks(role / "tasks/main.yml") if "block" not in task]
    files = [task.get("ansible.builtin.import_tasks") or task.get("ansible.builtin.include_tasks") for task in steps]
    own_work = [task["name"] for task, file in zip(steps, files, strict=True) if file is None]
    assert own_work == [], "tasks/main.yml does more than import phases"
    phases = [file.removesuffix(".yml") for file in files]
    assert phases[0] == "preflight"
    platform = {"install", "configure", "service"}
    if is_operation(role):
        assert platform.isdisjoint(path.stem for path in (role / "tasks").rglob("*.yml"))
    else:
        assert platform - ({"service"} if role.name in BACKENDS else set()) <= set(phases)


def kept(role: Path) -> set[str]:
    """Names that a role leaves on the host for the rest of the run: registered, or set as facts. They outrank variables."""
    steps = [task for path in (role / "tasks").rglob("*.yml") for task in tasks(path)]
    facts = [task.get("ansible.builtin.set_fact", {}) for task in steps]
    return {task["register"] for task in steps if "register" in task} | {name for fact in facts for name in fact}


def test_no_role_leaves_a_name_that_another_one_uses():
    """The names of role consul and of role consul_dns begin alike."""
    variables = {
        role.name: {name for file in ("defaults", "vars") if (role / file / "main.yml").is_file()
                    for name in parse_yaml((role / file / "main.yml").read_text()) or {}} | kept(role)
        for role in ROLES
    }  # fmt: skip
    taken = [
        f"{name} of {role.name} is {other}'s, too"
        for role in ROLES for name in kept(role) for other in variables if other != role.name and name in variables[other]
    ]  # fmt: skip
    assert taken == []


@roles()
def test_calls_of_common_fit_its_argument_specs(role):
    """Most calls are not checked at run time, which costs a task for each host: what they give and leave out is checked here."""
    specs = parse_yaml((ROOT / "roles/common/meta/argument_specs.yml").read_text())["argument_specs"]
    known = {name for spec in specs.values() for name in spec.get("options") or {}}
    for path in (role / "tasks").rglob("*.yml"):
        for task in tasks(path):
            call = task.get("ansible.builtin.include_role", {})
            if call.get("name") != "common" or call.get("rolespec_validate", True):
                continue
            options = specs.get(call["tasks_from"], {}).get("options") or {}
            given = {name for name in task.get("vars", {}) if not name.startswith("__")}
            assert given <= known, f"{path}: {task['name']}"
            needed = {name for name, option in options.items() if option.get("required")}
            assert needed <= given, f"{path}: {task['name']}"


@roles()
def test_role_names_no_inventory_group(role):
    """Roles take lists of hosts; groups are the inventory's business."""
    files = [p for d in ("tasks", "templates", "defaults", "vars", "handlers") for p in (role / d).rglob("*") if p.is_file()]
    group_use = re.compile(r"\bgroups\b\s*[\[.]|\bgroup_names\b|\b(" + "|".join(GROUPS) + r")\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if group_use.search(line)
    ]
    assert found == []


@roles()
def test_role_reads_no_facts_of_other_hosts(role):
    """With --limit the facts of the others are not there."""
    found = [p for p in (role / "tasks").rglob("*.yml") if re.search(r"hostvars\[[^]]+\]\W*ansible_facts", p.read_text())]
    assert found == []


# Ansible makes these with sets of Python, whose order differs from run to run.
SETS = re.compile(r"\b(union|intersect|difference|symmetric_difference)\(")


def test_text_made_of_sets_is_sorted():
    """Otherwise a file, and what its change restarts, differs from run to run. A union is always sorted; the others where they
    are joined to a text, or where one is taken."""
    files = [p for folder in ("roles", "playbooks") for kind in ("yml", "j2") for p in (ROOT / folder).rglob(f"*.{kind}")]
    expressions = [(p, e) for p in files for e in re.findall(r"{{.*?}}", p.read_text(), re.DOTALL)]
    unsorted = [
        f"{path.relative_to(ROOT)}: {' '.join(expression.split())}"
        for path, expression in expressions
        for made in SETS.finditer(expression)
        if made[1] == "union" or re.search(r"\b(join|first|last)\b", expression[made.end() :])
        if not re.search(r"\|\s*sort\b", expression[made.end() :])
    ]
    assert unsorted == []


@roles()
def test_task_files_are_short_and_named(role):
    for path in sorted((role / "tasks").rglob("*.yml")):
        assert len(path.read_text().splitlines()) <= 100, path
        for name in (task.get("name", "") for task in tasks(path)):
            assert re.match(r"([a-z_]+ \| )*[A-Z]", name), f"{path}: task name {name!r}"


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.name)
def test_playbook_can_be_called_by_its_collection_name(playbook):
    assert re.fullmatch(r"\w+", playbook.stem), "hyphens make a playbook unreachable as fewnodes.discovery.<name>"


def operations() -> list[Path]:
    """Playbooks that people run by themselves: those that site.yml does not import."""
    site = ROOT / "playbooks/site.yml"
    imported = {play["ansible.builtin.import_playbook"] for play in parse_yaml(site.read_text())}
    return [path for path in PLAYBOOKS if path != site and path.name not in imported]


@pytest.mark.parametrize("playbook", operations(), ids=lambda path: path.name)
def test_operation_says_when_command_traffic_and_rollback(playbook):
    """The header of an operation has the same parts as its entry in docs/operations.md, in the same order."""
    header = playbook.read_text().partition("\n- ")[0]
    assert re.findall(r"^# (When|Command|Traffic|Rollback):", header, re.M) == ["When", "Command", "Traffic", "Rollback"]
    assert f"playbooks/{playbook.name} -i INVENTORY" in header


def test_package_holds_the_product_only():
    """Everything in the checkout is either packaged on purpose or ignored by name."""
    patterns = GALAXY["build_ignore"]
    entries = [p for p in (*ROOT.iterdir(), *(ROOT / "tests").iterdir()) if p != ROOT / "tests" and p.name[0] not in "._"]
    names = {str(p.relative_to(ROOT)) for p in entries if not p.match("*.tar.gz")}
    unmentioned = {n for n in names - PACKAGED if not any(fnmatch(n, pattern) for pattern in patterns)}
    assert unmentioned == set()
    assert PACKAGED.isdisjoint(patterns)


@pytest.mark.parametrize(("option", "fragment"), [("vault_password_file", "secrets"), ("pod", "pod")])
def test_options_of_several_plugins_are_documented_once(option, fragment):
    """Plugins that have them extend the fragment."""
    own = [path for path in (ROOT / "plugins").rglob("*.py") if f"\n  {option}:" in path.read_text()]
    assert own == [ROOT / f"plugins/doc_fragments/{fragment}.py"]


def test_programs_without_a_suffix_are_linted():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["extend-include"]
    files = [path for path in (ROOT / "roles").glob("*/files/*") if path.is_file() and path.suffix != ".py"]
    programs = [str(path.relative_to(ROOT)) for path in files if re.match(rb"#!.*python", path.read_bytes())]
    assert [name for name in programs if not any(fnmatch(name, pattern) for pattern in patterns)] == []
    assert len(programs) >= 5


def test_package_names_its_licence_and_version():
    assert (ROOT / GALAXY["license_file"]).is_file()
    assert re.fullmatch(r"\d+\.\d+\.\d+", GALAXY["version"])


def test_checkout_works_as_an_installed_collection():
    """The links under collections/ lead back to the checkout."""
    links = ROOT / "collections/ansible_collections" / GALAXY["namespace"] / GALAXY["name"]
    assert {link.name: link.resolve() for link in links.iterdir()} == {
        name: ROOT / name for name in ("galaxy.yml", "meta", "playbooks", "plugins", "roles")
    }


def test_a_run_loads_the_filters_before_it_forks():
    """Ansible renders a task's name in its main process; a filter that is first used in a forked one is loaded for that alone."""
    first = parse_yaml((ROOT / "playbooks/preflight.yml").read_text())[0]["tasks"][0]
    assert "| fewnodes.discovery." in first["name"]


def test_the_filters_are_one_module():
    """To find one, Ansible goes through all modules in this directory, for each template and in each of its processes."""
    assert [path.name for path in (ROOT / "plugins/filter").glob("*.py")] == ["filters.py"]
