import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule

addresses = FilterModule().filters()["addresses"]

HOSTVARS = {
    "a": {"ansible_host": "192.0.2.1"},
    "b": {"ansible_host": "b.example", "discovery_address": "192.0.2.2"},
    "c": {"ansible_host": "198.51.100.3", "discovery_address": "192.0.2.3"},
    "named": {"ansible_host": "named.example"},
    "bare": {},
    "wrong": {"ansible_host": "192.0.2.4", "discovery_address": "192.0.2.400"},
}


def test_keeps_the_order():
    assert addresses(["c", "a", "b"], HOSTVARS) == ["192.0.2.3", "192.0.2.1", "192.0.2.2"]


def test_no_hosts():
    assert addresses([], HOSTVARS) == []


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("named", ["discovery_address", "named", "named.example", "not set"]),
        ("bare", ["discovery_address", "bare", "not set"]),
        ("wrong", ["discovery_address", "wrong", "192.0.2.400"]),
        ("stranger", ["stranger", "not in the inventory"]),
    ],
)
def test_names_variable_host_and_value(name, parts):
    with pytest.raises(AnsibleFilterError) as error:
        addresses(["a", name], HOSTVARS)
    for part in parts:
        assert part in str(error.value)


def test_one_name_is_not_a_list():
    with pytest.raises(AnsibleFilterError, match="needs a list"):
        addresses("a", HOSTVARS)
