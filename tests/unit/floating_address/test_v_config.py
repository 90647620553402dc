"""From a site's addresses and load balancers to keepalived's configuration, and what is refused before anything changes."""

import json

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.floating_address import (
    HIGHEST,
    floating_address_config,
    floating_address_instances,
    floating_address_interface,
    floating_address_options,
    floating_address_problems,
    floating_address_takers,
    floating_addresses_held,
    order_for,
    priority,
)

from floating_address.judge import SICK

BALANCERS = {"lb-1": "10.0.0.1", "lb-2": "10.0.0.2", "lb-3": "10.0.0.3"}
FACTS = {
    "interfaces": ["lo", "eth0", "eth1"],
    "lo": {"device": "lo", "ipv4": {"address": "127.0.0.1", "netmask": "255.0.0.0"}},
    "eth0": {
        "device": "eth0",
        "ipv4": {"address": "10.0.0.1", "netmask": "255.255.255.0"},
        "ipv6": [
            {"address": "fd00::1", "prefix": "64", "scope": "global"},
            {"address": "fe80::1", "prefix": "64", "scope": "link"},
        ],
    },
    "eth1": {"device": "eth1", "ipv4": {"address": "192.168.5.7", "netmask": "255.255.255.0"}},
}
NOTHING = {"ours": [], "balancers": {}, "answers": {}, "heard": [], "configured": []}


def settings(**changes):
    return {
        "addresses": ["10.0.0.100"],
        "balancers": BALANCERS,
        "hosts": {**BALANCERS, "app-1": "10.0.0.9"},
        "run": [*BALANCERS, "app-1"],
        "node": "lb-1",
        "interface": "",
        "router_id": 100,
        "advertise": 0.25,
        "return_delay": 60,
        "listen": ["0.0.0.0", "::"],
        "listens": dict.fromkeys(BALANCERS, ["0.0.0.0"]),
        "port": 80,
        "file": "/run/x/priority",
    } | changes


def problems(found=NOTHING, facts=FACTS, **changes) -> list[str]:
    return floating_address_problems("lb-1", settings(**changes), facts, found)


def test_v5_each_balancer_is_first_for_one_address():
    firsts = [order_for(number, BALANCERS)[0] for number in range(4)]
    assert firsts == ["lb-1", "lb-2", "lb-3", "lb-1"]
    assert order_for(1, reversed(list(BALANCERS))) == ["lb-2", "lb-3", "lb-1"], "the order of the inventory means nothing"


@pytest.mark.parametrize("count", [2, 3, 5, 10, 40])
def test_v4_priorities_differ_and_a_healthy_balancer_goes_before_each_one_whose_sync_is_sick(count):
    names = [f"lb-{number:02}" for number in range(count)]
    for number in range(count):
        found = [priority(number, names, name) for name in order_for(number, names)]
        assert found == sorted(set(found), reverse=True) and found[0] == HIGHEST
        assert found[-1] > HIGHEST + SICK and found[-1] + SICK >= 1


def test_each_ipv4_address_is_an_instance_and_ipv6_addresses_go_with_them():
    addresses = ["10.0.0.100", "fd00::100", "10.0.0.101", "fd00::101", "fd00::102"]
    found = floating_address_instances(settings(addresses=addresses))
    assert [(one["name"], one["router_id"], one["address"], one["others"]) for one in found] == [
        ("address_1", 100, "10.0.0.100", ["fd00::100", "fd00::102"]),
        ("address_2", 101, "10.0.0.101", ["fd00::101"]),
    ]


def test_the_configuration_of_a_host():
    text = floating_address_config(settings(addresses=["10.0.0.100", "fd00::100"], node="lb-2"), FACTS)
    instance = text.partition("vrrp_instance address_1 {")[2].split("\n}")[0]
    lines = [line.strip() for line in instance.splitlines()]
    assert {"state BACKUP", "interface eth0", "virtual_router_id 100", "priority 190", "advert_int 0.25"} <= set(lines)
    assert {"preempt_delay 60", "unicast_src_ip 10.0.0.2", "10.0.0.100/32 dev eth0", "fd00::100/128 dev eth0"} <= set(lines)
    assert lines[lines.index("unicast_peer {") + 1 : lines.index("}")] == ["10.0.0.1", "10.0.0.3"]
    assert "vrrp_version 3" in text and "enable_script_security" in text and "vrrp_check_unicast_src" in text
    assert text.count("{") == text.count("}")


def test_no_value_of_an_inventory_is_text_of_the_configuration_as_it_is():
    """Addresses are printed as they were parsed, numbers as numbers."""
    text = floating_address_config(settings(addresses=["10.0.0.100", "10.0.0.1\n}\nvrrp_script x {"]), FACTS)
    assert "vrrp_script" not in text


def test_an_address_is_put_on_the_interface_of_its_network():
    assert floating_address_interface(settings(), FACTS, "192.168.5.100") == "eth1"
    assert floating_address_interface(settings(interface="eth0"), FACTS, "192.168.5.100") == "eth0"
    assert floating_address_interface(settings(), FACTS, "fd00::9") == "eth0"
    assert floating_address_interface(settings(), FACTS, "172.16.0.1") == ""


def test_a_floating_address_that_the_host_holds_is_no_network():
    held = {**FACTS["eth1"], "ipv4_secondaries": [{"address": "10.0.0.100", "netmask": "255.255.255.255"}]}
    assert floating_address_interface(settings(), {**FACTS, "eth1": held}, "10.0.0.100") == "eth0"


def test_an_address_is_held_in_whatever_form_it_is_written():
    shown = "2: eth0    inet 10.0.0.100/32 scope global eth0\n2: eth0    inet6 fd00::100/128 scope global \n"
    assert floating_addresses_held(["FD00:0:0::0100", "10.0.0.100", "10.0.0.10"], shown) == ["fd00::100", "10.0.0.100"]
    assert floating_addresses_held(["fd00::1"], "") == []


def test_only_a_balancer_that_says_so_takes_addresses_over():
    """One is drained, and one cannot be reached."""
    asked = [{"__role_item": name, **rest} for name, rest in
             (("c", {"rc": 0}), ("b", {"rc": 1}), ("d", {"unreachable": True}), ("a", {"rc": 0}))]  # fmt: skip
    assert floating_address_takers(asked) == ["a", "c"] and floating_address_takers([]) == []


def test_the_check_asks_by_an_address_of_the_host_itself():
    def asked(*listen):
        return json.loads(floating_address_options(settings(listen=listen)))["ask"]

    assert asked("0.0.0.0") == ["10.0.0.1", 80]
    assert asked("10.0.0.100", "10.0.0.1") == ["10.0.0.1", 80]
    assert asked("10.0.0.100", "192.168.5.7") == ["192.168.5.7", 80]
    options = json.loads(floating_address_options(settings()))
    assert options["peers"] == [["10.0.0.2", 80], ["10.0.0.3", 80]]
    assert (options["addresses"], options["router_ids"]) == (["10.0.0.100"], [100])


def test_the_check_asks_each_other_balancer_where_that_one_listens():
    listens = {"lb-1": ["0.0.0.0"], "lb-2": ["10.0.0.100", "192.168.5.8"], "lb-3": ["::"]}
    options = json.loads(floating_address_options(settings(listens=listens)))
    assert options["peers"] == [["192.168.5.8", 80], ["10.0.0.3", 80]]


def test_a_good_site_is_not_refused():
    assert problems() == []
    assert problems(addresses=["10.0.0.100", "192.168.5.100", "fd00::100"]) == []


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"addresses": "10.0.0.100"}, ["discovery_floating_addresses is '10.0.0.100' on lb-1", "a list"]),
        ({"addresses": ["10.0.0.100/24"]}, ["has '10.0.0.100/24' on lb-1", "without a prefix"]),
        ({"addresses": ["10.0.0.100", "10.0.0.100"]}, ["has 10.0.0.100 2 times on lb-1", "once"]),
        ({"addresses": ["fd00::100"]}, ["no IPv4 address on lb-1", "add one"]),
        ({"addresses": ["172.16.0.9"]}, ["has 172.16.0.9", "no network of lb-1", "10.0.0.0/24"]),
        ({"addresses": ["10.0.0.9"]}, ["has 10.0.0.9", "the address of host app-1"]),
        ({"addresses": ["192.168.5.7"]}, ["has 192.168.5.7", "lb-1 has already on eth1"]),
        ({"addresses": ["10.0.0.255"]}, ["has 10.0.0.255", "no address of a host in 10.0.0.0/24"]),
        ({"balancers": {"lb-1": "10.0.0.1"}}, ["lb-1 is the only load balancer", "load_balancers"]),
        ({"interface": "eth7"}, ["floating_address_interface is 'eth7'", "lb-1 does not have", "eth0, eth1"]),
        ({"router_id": 0}, ["floating_address_router_id is 0 on lb-1", "1 to 255"]),
        ({"router_id": 255, "addresses": ["10.0.0.100", "10.0.0.101"]}, ["router_id is 255", "1 to 254"]),
        ({"router_id": "x"}, ["router_id is 'x'"]),
        ({"advertise": 5}, ["floating_address_advertise_interval is 5 on lb-1", "0.1 to 1"]),
        ({"return_delay": "soon"}, ["floating_address_return_delay is 'soon' on lb-1", "5 to 1000"]),
        ({"listen": ["10.0.0.100"]}, ["balancer_listen is ['10.0.0.100'] on lb-1", "an address of the host itself"]),
        ({"listen": ["10.0.0.1"]}, ["nobody answers at 10.0.0.100", "add it"]),
        ({"listen": ["0.0.0.0"], "addresses": ["10.0.0.100", "fd00::100"]}, ["nobody answers at fd00::100", "'::'"]),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_what_to_set(changes, parts):
    found = problems(**changes)
    assert len(found) == 1 and [part for part in parts if part not in found[0]] == [], found


def test_an_address_of_another_machine_is_refused():
    (problem,) = problems({**NOTHING, "answers": {"10.0.0.100": "02:00:00:00:00:07"}})
    assert "10.0.0.100, which another machine has already (02:00:00:00:00:07 answers lb-1)" in problem


@pytest.mark.parametrize(
    ("found", "part"),
    [
        ({"heard": [{"router_id": 101, "source": "10.0.0.254"}]}, "101 is in use (of 10.0.0.254"),
        ({"configured": [100]}, "100 is in use (in its /etc/keepalived/keepalived.conf)"),
    ],
)
def test_a_router_id_that_is_in_use_is_refused(found, part):
    (problem,) = problems({**NOTHING, **found}, addresses=["10.0.0.100", "10.0.0.101"])
    assert part in problem and "floating_address_router_id is 100 on lb-1" in problem


@pytest.mark.parametrize(
    ("known", "run", "missing"),
    [
        ({}, ["lb-1"], "lb-2, lb-3"),  # the first configuration of the host
        ({}, ["lb-1", "lb-2"], "lb-3"),
        ({"lb-1": "10.0.0.1", "lb-2": "10.0.0.2"}, ["lb-1"], "lb-2, lb-3"),  # lb-3 is new
        ({**BALANCERS, "lb-4": "10.0.0.4"}, ["lb-1"], "lb-2, lb-3"),  # lb-4 has left
        ({**BALANCERS, "lb-2": "10.0.0.7"}, ["lb-1"], "lb-2, lb-3"),
        (BALANCERS, ["lb-1"], ""),
        ({}, ["lb-3", "lb-2", "lb-1"], ""),
    ],
)
def test_v6_a_change_of_the_load_balancers_is_one_of_all(known, run, missing):
    """A new one that the others do not know hears none of them, and would be a second holder."""
    found = problems({**NOTHING, "balancers": known}, run=run)
    assert len(found) == bool(missing)
    assert not missing or f"name the other load balancers in --limit, too: {missing};" in found[0]


def test_v6_a_host_remembers_the_load_balancers_that_it_is_configured_with():
    assert json.loads(floating_address_options(settings()))["balancers"] == BALANCERS


def test_the_holder_is_not_refused_at_the_next_run():
    facts = {**FACTS, "eth0": {**FACTS["eth0"], "ipv4_secondaries": [{"address": "10.0.0.100", "netmask": "255.255.255.255"}]}}
    assert problems({**NOTHING, "ours": ["10.0.0.100"]}, facts) == []
    assert len(problems(NOTHING, facts)) == 1, "somebody else has put it there"
