"""Tasks that use the management token run on a server of Consul: root on a client would have all of Consul with it."""

from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.kubernetes_checks import connection_problem
from tests.support.tasks import is_task, nearest, walk
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("roles/*/handlers/*.yml"), *ROOT.glob("playbooks/**/*.yml")])
# Where such a task may be delegated to: variables that name servers alone.
SERVERS = {
    "{{ __consul_acl_server }}", "{{ __consul_backup_host }}", "{{ __consul_bootstrap_host | default(__consul_acl_server) }}",
}  # fmt: skip
# Files whose tasks a file includes for __consul_backup_host alone, which is a server.
OF_THE_BACKUP_HOST = {
    f"roles/consul/tasks/{name}.yml" for name in ("backup/take", "restore/snapshot", "restore/acl")
}


def steps(value):
    """Every play, block and task of a document, with the delegation of the block that it is in."""
    for step, around in walk(value):
        yield step | {"delegate_to": nearest("delegate_to", step, around)}


def uses(step: dict) -> bool:
    """Whether a host is given the management token by a task itself."""
    if not is_task(step):
        return False
    own = {key: value for key, value in step.items() if key not in ("name", "delegate_to")}
    if "fewnodes.discovery.secret" in own or "ansible.builtin.fail" in own:  # these work on the controller
        return False
    return "fewnodes.discovery.consul_acl" in own or "'management_token')" in str(own) or "'management_token'," in str(own)


def found() -> list:
    return [
        pytest.param(path, step, id=f"{path.relative_to(ROOT)}: {step['name']}")
        for path in FILES
        for step in steps(parse_yaml(path.read_text()))
        if uses(step)
    ]


@pytest.mark.parametrize("path, step", found())
def test_x6_the_management_token_goes_to_servers_only(path, step):
    servers_of_the_site = step.get("loop") == "{{ __consul_cluster_servers }}" and step["delegate_to"] == "{{ __role_item }}"
    included = str(path.relative_to(ROOT)) in OF_THE_BACKUP_HOST
    assert step["delegate_to"] in SERVERS or servers_of_the_site or included or of_a_pod(path, step)


def of_a_pod(path: Path, step: dict) -> bool:
    """Whether a task asks Consul in a pod, from the controller: the role's preflight refuses any other host."""
    in_role = ROOT / "roles/consul_kubernetes" in path.parents and step["delegate_to"] is None
    return in_role and "pod" in step.get("fewnodes.discovery.consul_acl", {})


def test_x6_pods_are_asked_from_the_controller_alone():
    role = ROOT / "roles/consul_kubernetes/tasks"
    assert next(iter(parse_yaml((role / "main.yml").read_text())))["ansible.builtin.import_tasks"] == "preflight.yml"
    assert "'connection': ansible_connection" in (role / "preflight.yml").read_text()
    assert "ansible_connection of host a is ssh" in connection_problem("a", "ssh") and connection_problem("a", "local") == ""
    (play,) = parse_yaml((ROOT / "playbooks/consul_kubernetes.yml").read_text())
    assert (play["vars"]["ansible_connection"], play["vars"]["ansible_become"]) == ("local", False)


def test_x6_the_tasks_are_found():
    assert len(found()) >= 14


@pytest.mark.parametrize("file", ["backup/main.yml", "restore/main.yml", "restore/snapshot.yml"])
def test_x6_files_of_the_backup_host_are_included_for_it_alone(file):
    names = {name.removeprefix("roles/consul/tasks/") for name in OF_THE_BACKUP_HOST}
    for step in steps(parse_yaml((ROOT / "roles/consul/tasks" / file).read_text())):
        if step.get("ansible.builtin.include_tasks") in names and file != "restore/snapshot.yml":
            assert "inventory_hostname == __consul_backup_host" in str(step["when"])


def test_x6_variables_of_servers_name_servers():
    """No variable of the role holds the management token: it would go wherever that is used."""
    variables = parse_yaml((ROOT / "roles/consul/vars/main.yml").read_text())
    holding = [name for name, value in variables.items() if "lookup" in str(value) and "management_token" in str(value)]
    assert holding == []
    assert variables["__consul_servers"] == "{{ consul_servers | fewnodes.discovery.as_list }}"
    assert variables["__consul_acl_server"].startswith("{{ __consul_servers | select(")
    assert all("__consul_servers" in part for part in variables["__consul_acl_server"].split("default(")[1:])
    find_host = (ROOT / "roles/consul/tasks/backup/find_host.yml").read_text()
    assert "{{ __consul_servers | select('in', ansible_play_hosts) | map('extract', hostvars)" in find_host
