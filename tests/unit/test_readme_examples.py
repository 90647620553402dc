"""The examples of the roles' READMEs: each role has one, and the scenario that runs them has its hosts."""

from pathlib import Path

import pytest
from tests.support.readme_examples import ELSEWHERE, ORDER, examples
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
SITE = parse_yaml((ROOT / "molecule/readme_examples/inventory/hosts.yml").read_text())["all"]["children"]


def test_every_role_is_run():
    assert sorted((*ORDER, *ELSEWHERE)) == sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


def test_examples_of_tasks_are_one_play_in_their_order():
    """As in a role: `packages` needs what `facts` has left."""
    [[play]] = examples("common")
    entries = [task["ansible.builtin.include_role"]["tasks_from"] for task in play["tasks"]]
    assert entries == ["facts", "packages", "release"]
    assert [handler["name"] for handler in play["handlers"]] == ["Restart consul-template"]


@pytest.mark.parametrize("role", ORDER)
def test_role_has_an_example_for_the_scenarios_hosts(role):
    found = examples(role)
    assert found, f"roles/{role}/README.md has no example"
    known = {"all", *SITE} | {host for group in SITE.values() for host in group["hosts"]}
    for playbook in found:
        for play in playbook:
            assert set(play["hosts"].split(":")) <= known, play["hosts"]
            variables = [play.get("vars", {}), *(one.get("vars", {}) for one in play.get("roles", []) if isinstance(one, dict))]
            named = {
                host for given in variables for name, value in given.items()
                if name.endswith(("_host", "_servers", "_peers", "_hosts")) and value and "{{" not in str(value)
                for host in ([value] if isinstance(value, str) else value)
            }  # fmt: skip
            assert named <= known, f"{role}: {sorted(named - known)} are no hosts of the scenario"


@pytest.mark.parametrize("role", ORDER)
def test_an_example_that_calls_the_firewall_names_each_group_of_the_site(role):
    """The role firewall writes all rules of a host: a call with fewer groups closes the ports of the others."""
    plays = [play for playbook in examples(role) for play in playbook]
    calls = [one for play in plays for one in play.get("roles", []) if one["role"].rpartition(".")[2] == "firewall"]
    for call in calls:
        assert {"firewall_hosts", "firewall_servers", "firewall_docker_hosts", "firewall_balancers"} <= set(call["vars"])
