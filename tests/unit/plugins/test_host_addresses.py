"""Unit tests of the filter host_addresses."""

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule

host_addresses = FilterModule().filters()["host_addresses"]


def interface(device, *addresses):
    first, *others = addresses or [None]
    return {
        "device": device,
        "ipv4": {"address": first} if first else {},
        "ipv4_secondaries": [{"address": address} for address in others],
    }


def test_addresses_are_sorted_by_number_and_secondaries_count():
    facts = {"eth0": interface("eth0", "192.168.0.129", "192.168.0.20"), "eth1": interface("eth1", "10.0.0.2")}
    assert host_addresses(facts) == ["10.0.0.2", "192.168.0.20", "192.168.0.129"]


@pytest.mark.parametrize("device", ["lo", "docker0", "docker_gwbridge", "br-0123456789ab", "veth12ab34c"])
def test_container_networks_and_loopback_are_left_out(device):
    facts = {"eth0": interface("eth0", "192.168.0.129"), device: interface(device, "172.17.0.1")}
    assert host_addresses(facts) == ["192.168.0.129"]


def test_a_bridge_of_the_site_counts():
    assert host_addresses({"br_lan": interface("br-lan", "192.168.0.129")}) == ["192.168.0.129"]


def test_interfaces_without_an_address_and_other_facts_are_ignored():
    facts = {
        "eth0": interface("eth0"),
        "default_ipv4": {"interface": "eth0", "address": "192.168.0.129"},
        "distribution": "Debian",
    }
    assert host_addresses(facts) == []


def test_anything_but_facts_is_an_error_that_names_the_filter():
    with pytest.raises(AnsibleFilterError, match="host_addresses"):
        host_addresses(["192.168.0.129"])
