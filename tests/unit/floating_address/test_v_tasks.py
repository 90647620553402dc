"""The order of what the playbooks and the role do."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles/floating_address"
SET = "site_floating_addresses | length > 0"


def test_the_kernel_lets_the_balancer_listen_before_its_configuration_is_tested():
    """`nginx -t` binds; a handler of pre_tasks runs before the roles. A site without floating addresses has one skipped task."""
    (play,) = parse_yaml((ROOT / "playbooks/load_balancer.yml").read_text())
    facts, kernel = play["pre_tasks"]
    assert facts["ansible.builtin.import_tasks"] == "tasks/facts.yml" and [one["role"] for one in play["roles"]] == ["balancer"]
    assert kernel["ansible.builtin.include_role"] == {"name": "floating_address", "tasks_from": "kernel"}
    assert kernel["when"] == SET
    (task,) = parse_yaml((ROLE / "tasks/kernel.yml").read_text())
    (file,) = task["fewnodes.discovery.managed_files"]["files"]
    assert (file["path"], task["notify"]) == ("{{ __floating_address_sysctl }}", "Apply the kernel's settings")


def test_a_host_that_was_removed_while_it_was_drained_comes_back_undrained():
    """`reset` removes the directory of the mark."""
    (stop,) = parse_yaml((ROLE / "tasks/stop.yml").read_text())
    mark = parse_yaml((ROLE / "vars/main.yml").read_text())["__floating_address_drained"]
    assert stop["fewnodes.discovery.removed"]["paths"] == ["{{ __floating_address_drained }}"]
    (reset,) = parse_yaml((ROLE / "tasks/reset.yml").read_text())
    assert str(Path(mark).parent) in reset["fewnodes.discovery.removed"]["paths"]


def test_an_empty_variable_is_a_site_without_floating_addresses():
    """`discovery_floating_addresses:` of YAML is null. Playbooks read it in one place, each role in its defaults."""
    files = [path for folder in ("playbooks", "roles") for path in (ROOT / folder).rglob("*") if path.suffix in (".yml", ".j2")]
    read = {path: re.findall(r"discovery_floating_addresses\b'?\)? \| (.*)", path.read_text()) for path in files}
    found = {str(path.relative_to(ROOT)): texts for path, texts in read.items() if texts}
    roles = {f"roles/{role}/defaults/main.yml" for role in ("balancer", "firewall", "floating_address")}
    assert found.keys() == roles | {"playbooks/vars/site.yml"} and set(map(len, found.values())) == {1}
    assert all(re.match(r"default\(\[\], true\)|map\('default', \[\], true\)", text) for (text,) in found.values())


GROUP = "load_balancers: {hosts: {a: {}, b: {}}, vars: {discovery_floating_addresses: %s}}\nothers: {hosts: {c: {}}}\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", []), ("[]", []), ("192.0.2.100", ["192.0.2.100"]), ("[192.0.2.100, 192.0.2.101]", ["192.0.2.100", "192.0.2.101"])],
)
def test_every_host_knows_the_addresses_that_the_load_balancers_have(tmp_path, given, expected):
    """Also one that has left their group, and so has none of its variables."""
    assert evaluated(tmp_path, GROUP % given, "b,c", {}, "{{ site_floating_addresses | to_json }}") == [expected] * 2


def evaluated(tmp_path, inventory: str, hosts: str, variables: dict, text: str) -> list:
    """What a JSON text is on each host, with the playbooks' site variables."""
    (tmp_path / "hosts.yml").write_text(inventory)
    file = tmp_path / "{{ inventory_hostname }}.json"
    shown = {"ansible.builtin.copy": {"content": text, "dest": str(file)}, "vars": variables}
    play = {"hosts": hosts, "gather_facts": False, "connection": "local", "vars_files": [str(ROOT / "playbooks/vars/site.yml")],
            "tasks": [shown]}  # fmt: skip
    (tmp_path / "play.json").write_text(json.dumps([play]))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return [json.loads((tmp_path / f"{host}.json").read_text()) for host in hosts.split(",")]


def leaving() -> dict:
    """Tasks that a host runs that has left a group, by their entry points."""
    tasks = parse_yaml((ROOT / "playbooks/tasks/leave_groups.yml").read_text())
    calls = [(task.get("ansible.builtin.include_role"), task) for task in tasks]
    return {(call["name"], call["tasks_from"]): task for call, task in calls if call}


def test_v4_a_host_that_leaves_the_load_balancers_moves_its_addresses_as_a_drained_one():
    """It has asked whether another one can take them before anything changes, and removes nothing before it holds none."""
    tasks = leaving()
    order = [entry for role, entry in tasks if role == "floating_address"]
    assert order == ["others", "move", "reset"] and list(tasks)[0] == ("floating_address", "others")
    check, move, reset = (tasks["floating_address", entry] for entry in order)
    assert (move["vars"], move["when"]) == (check["vars"], check["when"])
    assert reset["when"] in move["when"], "what has held addresses goes also where the site has none any more"
    drain = parse_yaml((ROOT / "playbooks/drain.yml").read_text())[2]["tasks"][0]["vars"]
    assert move["vars"]["floating_address_balancers"] == drain["floating_address_balancers"]


@pytest.mark.parametrize(("group", "port"), [("a: {}, b: {}", 8080), ("", 80)])
def test_v4_a_host_that_leaves_asks_at_the_addresses_and_the_port_of_the_load_balancers(tmp_path, group, port):
    """It has none of their variables. Without any load balancer there is nobody to ask."""
    variables = leaving()["floating_address", "move"]["vars"]
    inventory = (
        f"load_balancers: {{hosts: {{{group}}}, vars: {{discovery_floating_addresses: 192.0.2.100, balancer_http_port: 8080}}}}\n"
        "others: {hosts: {c: {}}}\n"
    )
    names = "addresses", "balancers", "port | int", "last"
    text = f"{{{{ [{', '.join(f'floating_address_{name}' for name in names)}] | to_json }}}}"
    expected = [["192.0.2.100"], ["a", "b"], port, False] if group else [[], [], port, False]
    assert evaluated(tmp_path, inventory, "c", variables, text) == [expected]
