"""Roles read their own variables, Ansible's, the facts that `common` documents, and the site's."""

import functools
import re
from pathlib import Path

import pytest
from jinja2 import Environment, TemplateSyntaxError, meta
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
ROLES = {path.name: path for path in sorted((ROOT / "roles").iterdir()) if path.is_dir()}
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
SITE = {
    name for section in parse_yaml((ROOT / "meta/site_variables.yml").read_text()).values() for name in section["options"]
}
SITE_LISTS = set(parse_yaml((ROOT / "playbooks/vars/site.yml").read_text()))
# What the entry points of `common` leave for everybody; its README has them.
COMMON = {"common_host", "common_checked", "common_packages_pending"}
MAGIC = {
    "ansible_check_mode", "ansible_connection", "ansible_diff_mode", "ansible_facts", "ansible_failed_result", "ansible_host",
    "ansible_limit", "ansible_loop", "ansible_managed",
    "ansible_play_batch", "ansible_play_hosts", "ansible_play_hosts_all", "ansible_play_name",
    "ansible_playbook_python", "ansible_port", "ansible_user",
    "ansible_version", "group_names", "groups", "hostvars", "inventory_dir", "inventory_file",
    "inventory_hostname", "omit", "playbook_dir", "role_name", "role_path", "item", "lookup", "query", "q", "now",
    "undef", "template_host", "template_path", "namespace", "range", "dict",
}  # fmt: skip
BARE = ("when", "until", "changed_when", "failed_when", "that")  # keys whose texts are expressions
LEAVES = ("ansible.builtin.set_fact", "vars")


class Anything(dict):
    """Filters and tests are not looked up: only names of variables matter."""

    def get(self, key, default=None):
        return lambda *_: None

    def __contains__(self, key):
        return True

    def __getitem__(self, key):
        return lambda *_: None


JINJA = Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
JINJA.filters, JINJA.tests = Anything(), Anything()


def names(template: str) -> set[str]:
    """Variables that a template reads and does not define itself."""
    try:
        return meta.find_undeclared_variables(JINJA.parse(template))
    except TemplateSyntaxError as error:
        raise AssertionError(f"{error}: {template}") from error


def read(value, bare: bool = False) -> set[str]:
    """Variables that a YAML value reads, in all its texts."""
    if isinstance(value, dict):
        return set().union(*(read(inner, key in BARE) | names(str(key)) for key, inner in value.items()))
    if isinstance(value, list):
        return set().union(*(read(inner, bare) for inner in value))
    if not isinstance(value, str):
        return set()
    return names("{{ (" + value + ") }}" if bare and "{{" not in value else value)


def defined(value) -> set[str]:
    """Variables that tasks define: registered, set as facts, of loops and of `vars`."""
    if isinstance(value, list):
        return set().union(*map(defined, value))
    if not isinstance(value, dict):
        return set()
    found = {value[key] for key in ("register", "loop_var", "index_var") if isinstance(value.get(key), str)}
    for key in LEAVES:
        found |= set(value[key]) if isinstance(value.get(key), dict) else set()
    return found.union(*(defined(inner) for inner in value.values()))


@functools.cache  # the tests read them, and change nothing in them
def documents(folder: Path) -> dict[Path, object]:
    return {path: parse_yaml(path.read_text()) for path in sorted(folder.rglob("*.yml"))}


@functools.cache
def uses(role: Path) -> dict[str, set[str]]:
    """File to the variables that it reads."""
    found = {}
    for part in ("tasks", "handlers", "defaults", "vars"):
        for path, content in documents(role / part).items():
            found[str(path.relative_to(role))] = read(content)
    for path in sorted((role / "templates").rglob("*.j2")):
        found[str(path.relative_to(role))] = names(path.read_text())
    return found


@functools.cache
def own(role: Path) -> set[str]:
    """Variables that belong to a role: its parameters, what it sets and what it registers."""
    found = set()
    for part in ("defaults", "vars"):
        found = found.union(*(set(content or {}) for content in documents(role / part).values()))
    for part in ("tasks", "handlers"):
        found = found.union(*map(defined, documents(role / part).values()))
    for path in (role / "templates").rglob("*.j2"):
        found |= set(re.findall(r"{%-? *set (\w+)", path.read_text()))  # for the templates that it includes
    return found | options(role)


@functools.cache
def options(role: Path) -> set[str]:
    """Documented variables of a role."""
    specs = parse_yaml((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    return set().union(*(set(spec.get("options") or {}) for spec in specs.values()))


@pytest.mark.parametrize("role", ROLES.values(), ids=list(ROLES))
def test_a_role_reads_only_documented_variables(role):
    """Its defaults may follow a documented variable of another role, such as the ports of the balancer."""
    known = own(role) | MAGIC | COMMON | SITE
    others = set().union(*map(options, ROLES.values()))
    strange = [
        f"{file}: {name}"
        for file, found in uses(role).items()
        for name in sorted(found - known - (others if file == "defaults/main.yml" else set()))
    ]
    assert strange == [], "\n".join(strange)


def kept(value) -> set[str]:
    """Variables that tasks keep for the rest of a run: registered, and set as facts."""
    if isinstance(value, list):
        return set().union(*map(kept, value))
    if not isinstance(value, dict):
        return set()
    found = {value["register"]} if isinstance(value.get("register"), str) else set()
    return found.union(value.get("ansible.builtin.set_fact") or (), *(kept(inner) for inner in value.values()))


@pytest.mark.parametrize("role", ROLES.values(), ids=list(ROLES))
def test_no_task_takes_the_place_of_a_constant(role):
    """What a task keeps goes before vars/main.yml, in the rest of the run alone."""
    constants = set().union(*(set(content or {}) for content in documents(role / "vars").values()))
    tasks = [kept(content) for part in ("tasks", "handlers") for content in documents(role / part).values()]
    assert sorted(constants & set().union(*tasks)) == []


OWNERS = sorted(ROLES, key=len, reverse=True)  # consul_dns before consul
PRIVATE = re.compile(r"\b__(" + "|".join(OWNERS) + r")_\w+")


def files_with_names() -> list[Path]:
    parts = ("tasks", "handlers", "defaults", "vars", "templates")
    return [path for role in ROLES.values() for part in parts for path in (role / part).rglob("*") if path.is_file()] + sorted(
        (ROOT / "playbooks").rglob("*.yml")
    )


@pytest.mark.parametrize("path", files_with_names(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_name_of_a_role_is_used_outside_of_it(path):
    """Also not as text, such as hostvars[host]['__consul_x']."""
    mine = next((name for name, role in ROLES.items() if role in path.parents), path.stem)
    private = {match.group(): match.group(1) for match in PRIVATE.finditer(path.read_text())}
    assert sorted(name for name, owner in private.items() if owner != mine) == []


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.name)
def test_a_play_that_uses_the_site_s_lists_has_their_file(playbook):
    for play in parse_yaml(playbook.read_text()):
        files = play.get("vars_files") or []
        texts = [play] + [parse_yaml((playbook.parent / file).read_text()) for file in files]
        used = set().union(*map(read, texts)) & SITE_LISTS
        assert not used or "vars/site.yml" in files, f"{play.get('name')}: {sorted(used)}"


@pytest.mark.parametrize("name", sorted(SITE_LISTS))
def test_a_variable_of_vars_site_is_used(name):
    texts = [path.read_text() for path in sorted((ROOT / "playbooks").rglob("*.yml"))]
    assert sum(len(re.findall(rf"\b{name}\b", text)) for text in texts) > 1


def test_what_a_template_reads():
    assert names("{{ a | map(attribute='b') | f(c) }}{% for d in e %}{{ d.x }}{% endfor %}") == {"a", "c", "e"}
    assert read({"when": ["a is defined", "not b"], "msg": "c {{ d }}", "loop": "{{ e }}"}) == {"a", "b", "d", "e"}


def test_what_a_task_defines():
    task = {"register": "a", "loop_control": {"loop_var": "b"}, "vars": {"c": 1}, "ansible.builtin.set_fact": {"d": 1}}
    assert defined([{"block": [task]}]) == {"a", "b", "c", "d"}
