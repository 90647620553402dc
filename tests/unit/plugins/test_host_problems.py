import pytest
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule

host_problems = FilterModule().filters()["host_problems"]
FACTS = {
    "distribution": "Debian",
    "distribution_major_version": "13",
    "all_ipv4_addresses": ["192.0.2.1", "172.17.0.1"],
    "eth0": {"device": "eth0", "ipv4": {"address": "192.0.2.1"}},
    "docker0": {"device": "docker0", "ipv4": {"address": "172.17.0.1"}},
}


def test_a_good_host():
    assert host_problems("a", "consul", FACTS) == []
    assert host_problems("a", "consul", FACTS, {"consul_address": "192.0.2.1", "registrator_ip": ""}) == []


@pytest.mark.parametrize("facts", [{"distribution": "Fedora"}, {"distribution_major_version": "10"}])
def test_another_distribution_is_named_with_host_role_and_what_to_use(facts):
    facts = FACTS | facts
    (found,) = host_problems("a", "nginx", facts)
    seen = f"{facts['distribution']} {facts['distribution_major_version']}"
    assert [part for part in ("host a", "nginx", seen, "Debian 11 or Debian 12 or Debian 13") if part not in found] == []


UBUNTU = {"distribution": "Ubuntu", "distribution_version": "24.04", "distribution_major_version": "24"}


def test_a_distribution_that_was_not_tried_is_refused_with_the_variable_that_takes_it():
    (found,) = host_problems("a", "nginx", FACTS | UBUNTU)
    parts = ["host a runs Ubuntu 24.04", "nginx", "not tried by us", "set discovery_untested_distributions to true", "Debian 13"]
    assert [part for part in parts if part not in found] == []
    assert host_problems("a", "nginx", FACTS | UBUNTU, untested=True) == []


def test_it_takes_no_distribution_without_a_row():
    for facts in (UBUNTU | {"distribution_version": "24.10"}, {"distribution": "Fedora"}):
        (found,) = host_problems("a", "nginx", FACTS | facts, untested=True)
        assert "does not support" in found and "discovery_untested_distributions" not in found


def test_a_role_may_support_others():
    assert host_problems("a", "dockerd", FACTS | {"distribution_major_version": "11"}, supported=["Debian 11"]) == []
    assert len(host_problems("a", "dockerd", FACTS, supported=["Debian 11"])) == 1


def test_an_address_that_is_not_on_the_host_is_named_with_its_variable_and_the_host_s_own():
    (found,) = host_problems("a", "registrator", FACTS, {"registrator_ip": "203.0.113.9"})
    parts = ["registrator_ip of host a is 203.0.113.9", "not on the host", "it has 192.0.2.1)", "discovery_address"]
    assert [part for part in parts if part not in found] == []
