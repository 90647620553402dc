"""Pure: addresses that move between the load balancers by VRRP (keepalived), and what is wrong with them.

Settings are a dict with

- addresses: discovery_floating_addresses
- balancers: names of the load balancers' nodes to their IPv4 addresses
- hosts: names of all hosts of the site in the inventory to their IPv4 addresses
- run: names of the nodes that this run of Ansible has
- node: name of this host's node
- interface: that the addresses are put on; '' for the one whose network they are in
- router_id: VRRP's number of the first address, those of the others follow
- advertise: seconds between two advertisements
- return_delay: seconds before an address returns
- listen: addresses that the load balancer listens on
- listens: names of the load balancers' nodes to the addresses that each listens on, by its own variables
- port: of its virtual hosts
- file: that holds what is added to the priorities
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping

HIGHEST = 200  # priority of the first holder of an address
SPREAD = 90  # between the first and the last; a balancer whose sync is unhealthy loses more than that (judge.SICK)
STEP = 10
LAST_ROUTER_ID = 255
ANYWHERE = {"0.0.0.0": 4, "::": 6}
ADVERTISE = (0.1, 1.0)  # seconds
HELD = re.compile(r"\binet6? ([^/ ]+)")
RETURN_DELAY = (5, 1000)  # seconds; keepalived takes no more


def parsed(value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, None when it is none."""
    try:
        return ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def canonical(value: object) -> str:
    """An address as programs print it, `fd00::1` for `FD00:0::1`; another value as text."""
    return str(parsed(value) or value)


def floating_addresses_held(addresses: Iterable[object], shown: str) -> list[str]:
    """Those of the addresses that a host has, in canonical form.

    :param shown: what `ip -oneline address show` printed there
    """
    held = set(map(canonical, HELD.findall(shown)))
    return [one for one in map(canonical, addresses) if one in held]


def floating_address_takers(asked: Iterable[Mapping]) -> list[str]:
    """The load balancers that can take addresses over, sorted.

    :param asked: result of the command of tasks/others.yml for each of the others, which ends with 0 there; one that could not be
        reached has no `rc`
    """
    return sorted(one["__role_item"] for one in asked if one.get("rc") == 0)


def order_for(number: int, balancers: Iterable[str]) -> list[str]:
    """Who holds an address first, second, …: each balancer is first for one of several addresses.

    :param number: of the address, from 0
    :param balancers: names; their order means nothing
    """
    names = sorted(balancers)
    begin = number % len(names) if names else 0
    return names[begin:] + names[:begin]


def priority(number: int, balancers: Iterable[str], node: str) -> int:
    """VRRP's priority of a healthy node for an address: HIGHEST for its first holder."""
    order = order_for(number, balancers)
    step = min(STEP, SPREAD // max(1, len(order) - 1))
    return HIGHEST - step * order.index(node)


def floating_address_instances(settings: Mapping) -> list[dict]:
    """One instance of VRRP for each IPv4 address. An IPv6 address goes with one of them, because the hosts know each other by
    IPv4: the first with the first, and so on.

    :returns: dicts with name, router_id, priority, address, and others (IPv6 addresses that go with it)
    """
    known = [found for found in map(parsed, settings["addresses"]) if found]
    first = [str(one) for one in known if one.version == 4]
    others = [str(one) for one in known if one.version == 6]
    return [
        {
            "name": f"address_{number + 1}",
            "router_id": int(settings["router_id"]) + number,
            "priority": priority(number, settings["balancers"], settings["node"]),
            "address": address,
            "others": others[number :: len(first)],
        }
        for number, address in enumerate(first)
    ]


def networks_of(facts: Mapping) -> list[tuple[str, ipaddress.IPv4Interface | ipaddress.IPv6Interface]]:
    """Interfaces of a host with their addresses and networks; none of loopback, and none that a cache of facts alone knows.

    :param facts: `ansible_facts` with the subset network
    """
    known = facts.get("interfaces", ())
    found = []
    for fact in facts.values():
        device = fact.get("device") if isinstance(fact, Mapping) else None
        if device is None or device == "lo" or device not in known:
            continue
        for entry in [fact.get("ipv4", {}), *fact.get("ipv4_secondaries", [])]:
            if entry.get("address") and entry.get("netmask"):
                found.append((device, ipaddress.ip_interface(f"{entry['address']}/{entry['netmask']}")))
        for entry in fact.get("ipv6", []):
            if entry.get("scope") != "link" and entry.get("prefix"):
                found.append((device, ipaddress.ip_interface(f"{entry['address']}/{entry['prefix']}")))
    return sorted(found, key=lambda one: (one[0], str(one[1])))


def floating_address_interface(settings: Mapping, facts: Mapping, address: str) -> str:
    """The interface that an address is put on: that of the setting, else the one with the smallest network that it is in, of
    several the one with the host's own address; '' for none. A floating address of ours is a network of its own, which does not
    count.
    """
    if settings["interface"]:
        return settings["interface"]
    own = str(settings["balancers"].get(settings["node"], ""))
    found = [
        (one.network.prefixlen, str(one.ip) == own, device)
        for device, one in networks_of(facts)
        if one.network.num_addresses > 1 and parsed(address) in one.network
    ]
    return max(found)[2] if found else ""


def floating_address_config(settings: Mapping, facts: Mapping) -> str:
    """keepalived.conf of a host.

    The gratuitous ARP of a new holder is what its neighbours learn from. Linux ignores one that comes within a second of the
    last change of an entry, so it is sent again after one second, and each ten seconds from then on.
    """
    peers = [address for name, address in sorted(settings["balancers"].items()) if name != settings["node"]]
    text = [
        "global_defs {",
        f"    router_id {settings['node']}",
        "    # No script is configured; were one, it would not be root's.",
        "    script_user nobody",
        "    enable_script_security",
        "    vrrp_version 3",
        "    vrrp_check_unicast_src",
        "    vrrp_garp_master_delay 1",
        "    vrrp_garp_master_repeat 3",
        "    vrrp_garp_master_refresh 10",
        "    vrrp_garp_lower_prio_delay 1",
        "    vrrp_garp_lower_prio_repeat 3",
        "    # Of two holders, after a partition, the one that stays is the last that neighbours hear of.",
        "    vrrp_higher_prio_send_advert true",
        "}",
        "",
        "# Written by the check: added to each priority, and at -254 the host gives its addresses up.",
        "vrrp_track_file answers {",
        f'    file "{settings["file"]}"',
        "    weight 1",
        "}",
    ]
    for one in floating_address_instances(settings):
        device = floating_address_interface(settings, facts, one["address"])
        text += [
            "",
            f"vrrp_instance {one['name']} {{",
            "    # preempt_delay needs it on every host; who is first holds the address by its priority.",
            "    state BACKUP",
            f"    interface {device}",
            f"    virtual_router_id {one['router_id']}",
            f"    priority {one['priority']}",
            f"    advert_int {float(settings['advertise']):g}",
            f"    preempt_delay {float(settings['return_delay']):g}",
            f"    unicast_src_ip {settings['balancers'][settings['node']]}",
            "    unicast_peer {",
            *(f"        {peer}" for peer in peers),
            "    }",
            "    track_file {",
            "        answers weight 1",
            "    }",
            "    virtual_ipaddress {",
            f"        {one['address']}/32 dev {device}",
            "    }",
        ]
        if one["others"]:
            devices = {other: floating_address_interface(settings, facts, other) for other in one["others"]}
            lines = [f"        {other}/128 dev {devices[other]}" for other in one["others"]]
            text += ["    virtual_ipaddress_excluded {", *lines, "    }"]
        text.append("}")
    return "\n".join(text) + "\n"


def asked_address(settings: Mapping, node: str, listen: Iterable[object]) -> str:
    """The address by which the check asks the load balancer of a host: never a floating one, which may be another host's; ''
    where it listens on no other.

    :param node: name of its node
    :param listen: addresses that it listens on
    """
    own = str(settings["balancers"].get(node, ""))
    listen = [str(one) for one in listen]
    if own in listen or any(ANYWHERE.get(one) == 4 for one in listen):
        return own
    floating = set(map(parsed, settings["addresses"]))
    return next((one for one in listen if parsed(one) and one not in ANYWHERE and parsed(one) not in floating), "")


def floating_address_options(settings: Mapping) -> str:
    """What the check of a host reads, as JSON."""
    port = int(settings["port"])
    peers = [
        [asked_address(settings, name, settings["listens"][name]) or address, port]
        for name, address in sorted(settings["balancers"].items()) if name != settings["node"]
    ]  # fmt: skip
    own = asked_address(settings, settings["node"], settings["listen"])
    ours = [str(one) for one in map(parsed, settings["addresses"]) if one]
    router_ids = [one["router_id"] for one in floating_address_instances(settings)]
    found = {"ask": [own, port], "peers": peers, "file": settings["file"], "balancers": settings["balancers"]}
    return json.dumps({**found, "addresses": ours, "router_ids": router_ids}, indent=4) + "\n"


def floating_address_problems(host: str, settings: Mapping, facts: Mapping, found: Mapping) -> list[str]:
    """Why a host cannot have the site's floating addresses, one message each with what to set.

    :param host: its name in the inventory
    :param facts: `ansible_facts` with the subset network
    :param found: of the module floating_address_facts
    :returns: [] when nothing is wrong
    """
    addresses = settings["addresses"]
    if not isinstance(addresses, list):
        return [f"discovery_floating_addresses is {addresses!r} on {host}: set a list of IP addresses, such as [192.168.0.200]"]
    problems = [
        f"discovery_floating_addresses has {one!r} on {host}: set IPv4 or IPv6 addresses without a prefix, such as 192.168.0.200"
        for one in addresses if parsed(one) is None
    ]  # fmt: skip
    known = [one for one in map(parsed, addresses) if one]
    problems += [
        f"discovery_floating_addresses has {one} {known.count(one)} times on {host}: name each address once"
        for one in sorted({one for one in known if known.count(one) > 1}, key=str)
    ]
    if known and not any(one.version == 4 for one in known):
        problems.append(
            f"discovery_floating_addresses has no IPv4 address on {host}: add one, by which the load balancers agree on who holds"
            " the IPv6 addresses, too"
        )
    if len(settings["balancers"]) < 2:
        problems.append(
            f"discovery_floating_addresses is set, but {host} is the only load balancer, so nobody could take the addresses over:"
            " put a second host into load_balancers, or leave it unset"
        )
    problems += _run_problems(host, settings, found)
    return problems + _setting_problems(host, settings, known) + _address_problems(host, settings, facts, found, known)


def _run_problems(host: str, settings: Mapping, found: Mapping) -> list[str]:
    """Each load balancer hears those only that it knows by its configuration. One with others than the rest would be a second
    holder, so a change of them is one of all hosts."""
    missing = sorted(set(settings["balancers"]) - set(settings["run"]))
    if not missing or found["balancers"] == settings["balancers"]:
        return []
    before = ", ".join(f"{name} ({address})" for name, address in sorted(found["balancers"].items())) or "none"
    return [
        f"the load balancers that {host} shares the floating addresses with change (before: {before}), and the others have to"
        " know it, or two hold an address: name the other load balancers in --limit, too:"
        f" {', '.join(missing)}; or run without --limit"
    ]


def _between(value: object, bounds: tuple[float, float]) -> bool:
    try:
        return bounds[0] <= float(str(value)) <= bounds[1]
    except ValueError:
        return False


def _setting_problems(host: str, settings: Mapping, known: list) -> list[str]:
    problems = []
    count = max(1, sum(one.version == 4 for one in known))
    last = LAST_ROUTER_ID + 1 - count
    if not str(settings["router_id"]).isdecimal() or not 1 <= int(settings["router_id"]) <= last:
        problems.append(
            f"floating_address_router_id is {settings['router_id']!r} on {host}: set a number from 1 to {last}; each further IPv4"
            " address has the next one"
        )
    for name, bounds in (("advertise", ADVERTISE), ("return_delay", RETURN_DELAY)):
        if not _between(settings[name], bounds):
            unit = {"advertise": "floating_address_advertise_interval", "return_delay": "floating_address_return_delay"}[name]
            problems.append(f"{unit} is {settings[name]!r} on {host}: set seconds from {bounds[0]:g} to {bounds[1]:g}")
    if not asked_address(settings, settings["node"], settings["listen"]):
        problems.append(
            f"balancer_listen is {settings['listen']!r} on {host}, where only floating addresses are: add an address of the host"
            " itself, by which the check asks the load balancer"
        )
    listen = set(map(parsed, map(str, settings["listen"])))
    closed = [
        str(one) for one in known
        if one not in listen and not any(ANYWHERE.get(str(each)) == one.version for each in settings["listen"])
    ]  # fmt: skip
    if closed:
        problems.append(
            f"balancer_listen is {settings['listen']!r} on {host}, so nobody answers at {', '.join(closed)} of"
            f" discovery_floating_addresses: add {'them' if len(closed) > 1 else 'it'}, or '::' for all of IPv6"
        )
    return problems


def _address_problems(host: str, settings: Mapping, facts: Mapping, found: Mapping, known: list) -> list[str]:
    problems = []
    networks = networks_of(facts)
    devices = sorted(set(facts.get("interfaces", ())) - {"lo"})
    if settings["interface"] and settings["interface"] not in devices:
        problems.append(
            f"floating_address_interface is {settings['interface']!r}, which {host} does not have: set one of"
            f" {', '.join(devices) or 'its interfaces'}, or leave it unset"
        )
    owners = {parsed(str(address)): name for name, address in settings["hosts"].items()}
    here = {one.ip: device for device, one in networks}
    ours = set(map(parsed, found.get("ours", [])))
    for one in dict.fromkeys(known):
        text = f"discovery_floating_addresses has {one}"
        within = [each for _device, each in networks if each.network.num_addresses > 1 and one in each.network]
        if one in owners:
            problems.append(f"{text}, which is the address of host {owners[one]}: set a free address of the same network")
        elif one in here and one not in ours:
            problems.append(f"{text}, which {host} has already on {here[one]}: remove it there, or set a free address")
        elif not within:
            shown = ", ".join(sorted({str(each.network) for _device, each in networks if each.network.num_addresses > 1}))
            problems.append(f"{text}, which is in no network of {host} (it has {shown or 'none'}): set a free address of one")
        elif one.version == 4 and any(
            one in (each.network.network_address, each.network.broadcast_address)
            for each in within if each.network.num_addresses > 2
        ):  # fmt: skip
            problems.append(f"{text}, which is no address of a host in {within[0].network}: set a free one between")
        elif str(one) in found.get("answers", {}):
            problems.append(
                f"{text}, which another machine has already ({found['answers'][str(one)]} answers {host}): set a free address"
            )
    return problems + _router_id_problems(host, settings, found)


def _router_id_problems(host: str, settings: Mapping, found: Mapping) -> list[str]:
    if not str(settings["router_id"]).isdecimal():
        return []
    used = {one["router_id"]: f"of {one['source']}, whose advertisements it hears" for one in found.get("heard", [])}
    used |= {number: "in its /etc/keepalived/keepalived.conf" for number in found.get("configured", [])}
    count = max(1, sum(1 for one in map(parsed, settings["addresses"]) if one and one.version == 4))
    begin = int(settings["router_id"])
    return [
        f"floating_address_router_id is {begin} on {host}, where the router id {number} is in use ({used[number]}):"
        " set a number that no other router of the network has"
        for number in range(begin, begin + count) if number in used
    ]  # fmt: skip
