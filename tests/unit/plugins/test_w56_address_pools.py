"""Networks that dockerd takes for containers leave out what its host has to reach behind a router."""

import ipaddress

import pytest
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.dockerd import OWN_POOLS, State, pending
from ansible_collections.fewnodes.discovery.plugins.modules.dockerd_facts import subnets
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.address_pools import pool_problems

FILTERS = FilterModule().filters()
avoided_networks, address_pools = FILTERS["dockerd_avoided_networks"], FILTERS["dockerd_address_pools"]
dockerd_warnings = FILTERS["dockerd_warnings"]
FACTS = {
    "interfaces": ["eth0", "docker0"],
    "eth0": {"device": "eth0", "ipv4": {"address": "192.168.0.129", "netmask": "255.255.255.0"}},
    "docker0": {"device": "docker0", "ipv4": {"address": "172.17.0.1", "netmask": "255.255.0.0"}},
}
BARE = {"config": {}, "written": {}}
KEY = "default-address-pools"


def test_w56_the_network_of_the_host_is_avoided_by_dockerd_itself():
    site = ["192.168.0.129", "192.168.0.130", "192.168.0.0/24"]
    assert avoided_networks(site, FACTS, "192.168.0.129") == []
    routed = avoided_networks([*site, "192.168.5.1", "172.18.0.0/16"], FACTS, "192.168.0.129")
    assert routed == ["172.18.0.0/16", "192.168.5.1/32"]


def test_w56_a_secondary_address_has_a_network_as_well():
    facts = {"eth0": {"device": "eth0", "ipv4_secondaries": [{"address": "10.0.0.1", "netmask": "255.255.0.0"}]}}
    assert avoided_networks(["10.0.9.9", "10.1.0.1"], facts, "10.0.0.1") == ["10.1.0.1/32"]


@pytest.mark.parametrize("text", ["2001:db8::/32", "somewhere", ""])
def test_w56_what_is_no_ipv4_network_is_left_to_others(text):
    assert avoided_networks([text], FACTS, "192.168.0.129") == []


@pytest.mark.parametrize("avoided", [[], ["10.0.0.0/8"], ["192.0.2.1/32"]])
def test_w56_dockerd_s_own_pools_stay_where_nothing_overlaps(avoided):
    """daemon.json of an existing site stays as it is."""
    assert address_pools(avoided, BARE) == []


@pytest.mark.parametrize(
    "avoided",
    [["172.18.0.0/16"], ["172.17.4.0/24", "172.22.0.9/32"], ["192.168.5.1/32"], ["172.16.0.0/12"], ["192.168.0.0/16"]],
)
def test_w56_pools_leave_out_what_must_be_reached_and_nothing_else(avoided):
    pools = address_pools(avoided, BARE)
    left = [subnet for pool in pools for subnet in ipaddress.ip_network(pool["base"]).subnets(new_prefix=pool["size"])]
    every = [subnet for base, size in OWN_POOLS.items() for subnet in ipaddress.ip_network(base).subnets(new_prefix=size)]
    assert left == [one for one in every if not any(one.overlaps(ipaddress.ip_network(text)) for text in avoided)]


def test_w56_networks_as_wide_as_all_pools_keep_dockerd_s_choice_and_addresses_in_them_do_not():
    """Management from anywhere in the private networks says nothing about one of them."""
    private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
    assert address_pools(private, BARE) == []
    assert address_pools([*private, "172.18.0.9/32"], BARE)[:2] == [
        {"base": "172.17.0.0/16", "size": 16},
        {"base": "172.19.0.0/16", "size": 16},
    ]


def test_w56_pools_of_others_in_daemon_json_stay_and_ours_are_made_again():
    theirs, ours = [{"base": "10.200.0.0/16", "size": 24}], address_pools(["172.18.0.0/16"], BARE)
    assert address_pools(["172.18.0.0/16"], {"config": {KEY: theirs}, "written": {}}) == []
    assert address_pools(["172.18.0.0/16"], {"config": {KEY: ours}, "written": {KEY: ours}}) == ours
    assert address_pools(["172.18.0.0/16"], {"config": {}, "written": {KEY: ours}}) == ours, "somebody else wrote the file anew"
    assert address_pools(["172.18.0.0/16"], {"config": None, "written": {}}) == []


@pytest.mark.parametrize(
    ("key", "value", "hidden"),
    [
        (KEY, [{"base": "172.18.0.0/16", "size": 24}], "172.18.0.0/16"),
        (KEY, [{"base": "172.16.0.0/12", "size": 24}], "172.18.0.0/16"),
        ("bip", "10.9.0.1/24", "10.9.0.53/32"),
    ],
)
def test_w56_pools_that_the_site_has_chosen_are_refused_where_they_hide_one(key, value, hidden):
    (problem,) = pool_problems("h", ["10.9.0.53/32", "172.18.0.0/16"], {key: value}, {key: value})
    assert [word for word in ["dockerd_extra_config", key, " h ", hidden, "10.200.0.0/16"] if word not in problem] == []
    (problem,) = pool_problems("h", ["10.9.0.53/32", "172.18.0.0/16"], {key: value}, {})
    assert problem.startswith("/etc/docker/daemon.json")


@pytest.mark.parametrize("value", [[{"base": "10.200.0.0/16", "size": 24}], [{"base": "nonsense"}], [{}], None])
def test_w56_pools_that_were_cut_out_of_a_wide_network_are_taken(value):
    assert pool_problems("h", ["10.0.0.0/8"], {KEY: value}, {}) == []


def test_w56_a_network_that_hides_one_already_is_named():
    bridges = [{"name": "bridge", "subnets": ["172.17.0.0/16"]}, {"name": "shop_default", "subnets": ["172.18.0.0/16"]}]
    found = {"bridges": bridges, "swarm": {"state": "inactive"}, "config": {}}
    settings = {"overlay": "none", "avoided": ["172.18.4.0/24", "172.16.0.0/12"], "facts": {}, "addresses": {}}
    (warning,) = dockerd_warnings("h", found, settings)
    assert [word for word in ["shop_default", " h ", "172.18.0.0/16", "172.18.4.0/24"] if word not in warning] == []


def test_w56_networks_of_dockerd_are_reported_with_their_subnets():
    assert subnets({"IPAM": {"Config": [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]}}) == ["172.18.0.0/16"]
    assert subnets({"IPAM": {"Config": None}}) == subnets({"IPAM": None}) == []


def test_w56_other_parts_of_dockerd_s_own_pools_restart_nobody():
    ours = address_pools(["172.18.0.0/16"], BARE)
    chosen = [{"base": "10.200.0.0/16", "size": 24}]

    def action(before, now):
        started, config = ({"tls": True} | ({KEY: pools} if pools else {}) for pools in (before, now))
        return pending(State(active=True, config=config, started=started, loaded=started, started_files={}))[0]

    assert action(None, ours) == action(ours, None) == action(ours, address_pools(["172.19.0.0/16"], BARE)) == "none"
    assert action(None, chosen) == action(ours, chosen) == action(chosen, None) == "restart"
    assert action(None, [{"base": "172.20.0.0/16", "size": 24}]) == "restart", "a choice of the site"
    assert action(ours, ours) == action(chosen, chosen) == "none"
