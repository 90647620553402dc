import copy
import functools
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.renamed import FIREWALL, INVENTORY
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.site import site_problems, site_warnings
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]

GROUPS = {
    "all": ["a", "b", "c", "d", "elsewhere"],
    "consul_servers": ["a", "b", "c"],
    "consul_clients": ["d"],
    "docker_hosts": ["a", "d"],
    "load_balancers": ["d"],
}
HOSTVARS = {
    name: {"ansible_host": f"192.0.2.{number}", "discovery_domain": "site.example"}
    for number, name in enumerate("abcd", start=1)
} | {"elsewhere": {}}


def problems(groups=None, **changes):
    hostvars = copy.deepcopy(HOSTVARS)
    for name, values in changes.items():
        hostvars.setdefault(name, {}).update(values)
    return site_problems(GROUPS | (groups or {}), hostvars)


def one(found, *parts):
    assert len(found) == 1, found
    for part in parts:
        assert part in found[0]


@functools.cache
def options() -> set[str]:
    """Variables of the roles and of the site."""
    roles = {name for file in ROOT.glob("roles/*/defaults/main.yml") for name in parse_yaml(file.read_text()) or {}}
    sections = parse_yaml((ROOT / "meta/site_variables.yml").read_text()).values()
    return roles.union(*(section["options"] for section in sections))


def test_old_name_of_a_variable():
    """Nothing reads it: without an error it would be ignored."""
    old = {"nginx_domain": "site.example"}
    one(problems(a=old, d=old), "nginx_domain is set for a, d", "renamed to balancer_domain")
    one(problems(a={"discovery_firewall": False, "overlay_network_filter": False}), "renamed to firewall_protect_overlay")
    one(problems(a={"common_vault_password_file": "/vault"}), "renamed to discovery_vault_password_file")
    assert problems(a=old | {"balancer_domain": "site.example"}, d={"balancer_domain": "x.example"}) == []


@pytest.mark.parametrize("old", RENAMED := INVENTORY | FIREWALL)
def test_new_names_exist_and_old_ones_do_not(old):
    assert RENAMED[old] in options()
    assert old not in options()


def test_good_inventory():
    assert problems() == []


def test_missing_group():
    found = site_problems({"docker_hosts": ["a"]}, HOSTVARS)
    assert any("consul_servers is missing" in text for text in found)


def test_optional_groups():
    assert site_problems({"consul_servers": ["a"]}, HOSTVARS) == []


def test_server_and_client_at_once():
    one(problems({"consul_clients": ["d", "a"]}), "host a", "consul_servers", "consul_clients")


def test_workload_host_without_agent():
    one(problems({"consul_clients": [], "load_balancers": []}), "host d", "docker_hosts")


def test_balancer_in_the_overlay_without_an_engine():
    overlay = {"discovery_balancer_deployment": "overlay"}
    one(problems({"docker_hosts": ["a"]}, d=overlay), "discovery_balancer_deployment of host d is overlay", "docker_hosts")
    assert problems(d=overlay) == problems({"docker_hosts": ["a"]}) == []


def test_missing_domain():
    one(problems(b={"discovery_domain": ""}, c={"discovery_domain": None}), "discovery_domain", "b, c")


def test_wrong_address():
    one(problems(b={"discovery_address": "10.0.0"}), "discovery_address", "host b", "10.0.0")


def test_duplicate_address():
    one(problems(c={"discovery_address": "192.0.2.1"}), "discovery_address", "host c", "host a", "192.0.2.1")


@pytest.mark.parametrize("name", ["e_1", "E", "e.site.example"])
def test_w29_names_of_an_inventory_work_as_they_are(name):
    new = {"ansible_host": "192.0.2.9", "discovery_domain": "site.example"}
    assert problems({"consul_clients": ["d", name]}, **{name: new}) == []


@pytest.mark.parametrize("name", ["192.0.2.9", "2001:db8::9", "-", "é", "D", "d.site.example"])
def test_w29_names_that_are_none_or_doubled_are_refused(name):
    new = {"ansible_host": "192.0.2.9", "discovery_domain": "site.example"}
    one(problems({"consul_clients": ["d", name]}, **{name: new}), name, "set discovery_node_name of")
    assert problems({"consul_clients": ["d", name]}, **{name: new | {"discovery_node_name": "e-1"}}) == []


def test_docker_hosts_on_different_overlay_networks():
    one(problems(a={"discovery_overlay": "swarm"}), "discovery_overlay differs", "swarm for a", "not set for d")
    assert problems(a={"discovery_overlay": "swarm"}, d={"discovery_overlay": "swarm"}, b={"discovery_overlay": "none"}) == []


@pytest.mark.parametrize("value", ["shop", {"shop": "a"}, {"shop": []}, {"shop": ["a", "elsewhere"]}, {"shop": ["a", "typo"]}])
def test_hosts_of_a_service_are_hosts_of_the_site(value):
    one(problems(**{name: {"discovery_service_hosts": value} for name in "abcd"}), "discovery_service_hosts", "set it to")


@pytest.mark.parametrize("value", ["shop_1", ["shop_1"], ["shop*x"], ["consul"], ["-a"], [7.5], {"a": 1}])
def test_service_prefixes_are_names_and_prefixes(value):
    one(problems(a={"registrator_service_prefixes": value}), "registrator_service_prefixes of host a", "set it to a list")


def test_good_lists_of_services():
    hosts = {"shop": ["a", "d"], "shop.site.example": ["b"]}
    assert problems(a={"discovery_service_hosts": hosts, "registrator_service_prefixes": ["a", "b-*"]}) == []
    assert problems(a={"registrator_service_prefixes": "a, b-*"}) == []


@pytest.mark.parametrize("value", ["Main", "dc.1", "", "dc 1", "dc-", 1, True, None])
def test_w22_a_datacenter_that_consul_changes_or_refuses(value):
    """Once, not for each host."""
    one(problems(**{name: {"discovery_datacenter": value} for name in "abcd"}), f"discovery_datacenter of the site is {value!r}")


def test_w22_one_datacenter():
    one(problems(a={"discovery_datacenter": "nord"}), "datacenter differs", "nord for a; dc1 for b, c, d", "for all hosts")
    assert problems(**{name: {"discovery_datacenter": "haus_1-nord"} for name in "abcd"}) == []


@pytest.mark.parametrize("domain", ["hospital.local", "LOCAL", "x.localhost"])
def test_w58_a_domain_of_the_site_that_no_program_asks_dns_for_is_a_warning(domain):
    """Clients of an Active Directory find it all the same."""
    hostvars = {name: values | {"discovery_domain": domain} for name, values in HOSTVARS.items()}
    one(site_warnings(GROUPS, hostvars), "discovery_domain", repr(domain))
    assert site_problems(GROUPS, hostvars) == []


def test_w58_a_usual_domain_is_no_warning():
    assert site_warnings(GROUPS, HOSTVARS) == site_warnings({}, {}) == []
    assert site_warnings({"consul_servers": ["x"]}, {"x": {}}) == []
