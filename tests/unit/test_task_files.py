"""Every include leads to a file, and every task file is reached from somewhere."""

import re
from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
ROLES = {path.name: path for path in (ROOT / "roles").iterdir() if path.is_dir()}
PLAYBOOKS = sorted((ROOT / "playbooks").rglob("*.yml"))
FILES = sorted(
    [path for path in PLAYBOOKS if path.parent.name != "vars"]
    + [path for role in ROLES.values() for part in ("tasks", "handlers") for path in (role / part).rglob("*.yml")]
)
TEMPLATE = re.compile(r"\{\{.*?\}\}")


def dicts(value):
    """Every mapping in a YAML document: plays, blocks and tasks."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from dicts(inner)


def choices(text: str) -> list[str]:
    """What a text with templates may become, as patterns: its own literals in place of a template, else any word."""
    text = text.replace("{{ role_path }}/tasks/", "")
    found = [text]
    for template in TEMPLATE.findall(text):
        literals = re.findall(r"'([\w/.-]+)'", template) or ["*"]
        found = [one.replace(template, literal) for one in found for literal in literals]
    return found


def calls(path: Path):
    """(kind, name or path, patterns of files) of each include and import in a file."""
    for step in dicts(parse_yaml(path.read_text())):
        for kind in ("include_tasks", "import_tasks"):
            target = step.get(f"ansible.builtin.{kind}")
            if target:
                target = target["file"] if isinstance(target, dict) else target
                yield kind, target, [f"{folder}/{one}" for one in choices(target) for folder in folders(path)]
        for kind in ("include_role", "import_role"):
            call = step.get(f"ansible.builtin.{kind}")
            if call:
                entry = call.get("tasks_from", "main").removesuffix(".yml")
                names = [one for name in choices(call["name"]) for one in ROLES if Path(one).match(name.rpartition(".")[2])]
                target = f"{call['name']}/{entry}"
                yield kind, target, [f"{ROLES[name]}/tasks/{one}.yml" for name in names for one in choices(entry)]
        if "ansible.builtin.import_playbook" in step:
            target = step["ansible.builtin.import_playbook"]
            yield "import_playbook", target, [f"{path.parent}/{target}"]
        for role in (step.get("roles") or []) if "hosts" in step else []:
            name = role["role"] if isinstance(role, dict) else role
            yield "role", name, [f"{ROOT}/roles/{name}/tasks/main.yml"]


def folders(path: Path) -> list[Path]:
    """Where Ansible looks for a task file: beside the file that includes it, then in the tasks of the role."""
    role = next((role for role in ROLES.values() if role in path.parents), None)
    return [path.parent] + ([role / "tasks"] if role and path.parent != role / "tasks" else [])


def matching(pattern: str) -> list[Path]:
    root = Path(*Path(pattern).parts[: next((n for n, part in enumerate(Path(pattern).parts) if "*" in part), -1)])
    if "*" not in pattern:
        return [Path(pattern).resolve()] if Path(pattern).is_file() else []
    return [path.resolve() for path in root.glob(str(Path(pattern).relative_to(root)))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_include_leads_to_a_file(path):
    missing = [f"{kind}: {target}" for kind, target, patterns in calls(path) if not any(map(matching, patterns))]
    assert missing == []


def test_every_task_file_is_reached():
    """From the playbooks, from a role's main.yml and handlers, and from the entry points of the argument specs."""
    todo = [path.resolve() for path in (ROOT / "playbooks").glob("*.yml")]
    for role in ROLES.values():
        entries = parse_yaml((role / "meta/argument_specs.yml").read_text())["argument_specs"]
        todo += [(role / "tasks" / f"{entry}.yml").resolve() for entry in {"main", *entries}]
        todo += [path.resolve() for path in (role / "handlers").rglob("*.yml")]
    reached = set()
    while todo:
        path = todo.pop()
        if path not in reached and path.is_file():
            reached.add(path)
            todo += [file for _, _, patterns in calls(path) for pattern in patterns for file in matching(pattern)]
    tasks = [path for path in FILES if "tasks" in path.parts]
    unreached = [str(path.relative_to(ROOT)) for path in tasks if path.resolve() not in reached]
    assert unreached == [], "\n".join(unreached)


@pytest.mark.parametrize("role", ROLES.values(), ids=list(ROLES))
def test_every_entry_point_of_the_argument_specs_has_its_file(role):
    entries = parse_yaml((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    assert [entry for entry in entries if not (role / "tasks" / f"{entry}.yml").is_file()] == []


def test_a_template_becomes_its_literals_or_any_word():
    assert choices("leave_{{ 'host' if x else 'overlay' }}.yml") == ["leave_host.yml", "leave_overlay.yml"]
    assert choices("{{ __part }}.yml") == ["*.yml"]


def test_a_rotation_of_tokens_leaves_the_files_of_the_balancer_alone():
    """An earlier version may have written them for its own program; only site.yml changes them all together."""
    tasks = dicts(parse_yaml((ROOT / "playbooks/rotate_tokens.yml").read_text()))
    (entry,) = {task["tasks_from"] for task in tasks if task.get("name") == "balancer"}
    written = dicts(parse_yaml((ROLES["balancer"] / "tasks" / f"{entry}.yml").read_text()))
    assert [file["path"] for file in written if "path" in file] == ["/etc/consul-template/token"]


def test_whatever_ends_the_sync_program_ends_the_timer_of_an_earlier_version_too():
    """A host may be stopped or reset that no run has upgraded; its timer would start the sync again."""
    for name in ("stop", "remove"):
        tasks = parse_yaml((ROLES["balancer"] / f"tasks/{name}.yml").read_text())
        removed = [unit for task in dicts(tasks) for unit in (task.get("fewnodes.discovery.removed") or {}).get("units", [])]
        assert "discovery-balancer.timer" in removed, name


def test_the_command_of_the_sync_program_comes_before_the_program():
    """It accepts the calls of an earlier version's units, which the earlier command does not with this program."""
    tasks = parse_yaml((ROLES["balancer"] / "tasks/install.yml").read_text())
    (given,) = [variables["common_program_files"] for variables in dicts(tasks) if "common_program_files" in variables]
    assert [file["path"] for file in given] == ["/usr/local/sbin/discovery-balancer"]
    (copied,) = parse_yaml((ROLES["common"] / "tasks/program.yml").read_text())
    assert copied["fewnodes.discovery.managed_files"]["files"].split()[:3] == ["{{", "common_program_files", "+"]


def test_fileglob_warns_of_no_directory_that_is_not_there():
    """A directory of the site comes with its first file; those of a role are there."""
    globs = re.compile(r"\{\{((?:(?!\}\}).)*'ansible\.builtin\.fileglob'(?:(?!\}\}).)*)\}\}", re.DOTALL)
    found = [(path, text) for path in ROOT.glob("roles/*/*/**/*.yml") for text in globs.findall(path.read_text())]
    assert len(found) > 1
    assert [path for path, text in found if "role_path" not in text and "is exists" not in text] == []
