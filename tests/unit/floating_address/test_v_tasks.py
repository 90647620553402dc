"""The order of what the playbooks and the role do."""

import re
from pathlib import Path

from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles/floating_address"
SET = "discovery_floating_addresses | default([], true) | fewnodes.discovery.as_list | length > 0"


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
    """`discovery_floating_addresses:` of YAML is null."""
    files = [path for folder in ("playbooks", "roles") for path in (ROOT / folder).rglob("*") if path.suffix in (".yml", ".j2")]
    read = [one for path in files for one in re.findall(r"discovery_floating_addresses\b'?\)? \| (.*)", path.read_text())]
    assert len(read) > 8
    assert [one for one in read if not re.match(r"default\(\[\], true\)|map\('default', \[\], true\)", one)] == []
