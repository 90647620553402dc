"""Pure: from what the roles run on a host, and the site's own rules, to the firewall's ruleset; and what is wrong with that.

An allow rule is a dict: tcp and udp (lists of ports and ranges such as "9990-9999"), protocols (of IP), from (list of classes and
networks), at ("published": only ports that containers publish; else any) and why. Settings are a dict with

- platform: name to an allow rule of the roles, which has also `on`: whether this host has it
- site: name to an allow rule of the site, beside those of the platform or changing them
- networks: class of senders to its addresses and networks
- address: of this host, by which the others of the site reach it
- closed: TCP ports of other programs that containers must not reach
- seconds: after which a change that was not confirmed is rolled back
- variables: names of variables that the inventory gives the host, to find old ones
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

from ..module_utils.sockets import PROTOCOLS, protocol_name, protocol_number
from .renamed import FIREWALL

ANY, CONTAINERS = "any", "containers"
CLASSES = (ANY, "site", "docker", "management", CONTAINERS)
KEYS = ("tcp", "udp", "protocols", "at", "from", "why")
PLACES = ("both", "published")
OVERLAY = ("overlay", "swarm")  # allow rules of the overlay network's ports
PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
PROTOCOL = re.compile(rf"{'|'.join(PROTOCOLS)}|[0-9]{{1,3}}")
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Kinds of links that join containers and virtual machines to a bridge. Any other port joins it to a network beyond this host.
LOCAL_PORTS = ("veth", "tun", "dummy")
LAST_PORT = 65535


def allow_rules(platform: Mapping[str, Mapping], site: Mapping[str, Mapping]) -> dict[str, dict]:
    """The allow rules of a host by name: those of the roles, changed and completed by those of the site.

    A key that the site gives replaces the one of the platform.
    """
    chosen = {name: {key: value for key, value in rule.items() if key != "on"} for name, rule in platform.items() if rule["on"]}
    for name, rule in site.items():
        if name in chosen or name not in platform:  # a rule of another kind of host is no new rule here
            chosen[name] = {**chosen.get(name, {}), **rule}
    return chosen


def firewall_problems(host: str, settings: Mapping, facts: Mapping) -> list[str]:
    """Mistakes in the role's variables, and a firewall that would lock the controller out; one message each.

    :param host: inventory name
    :param settings: see the module
    :param facts: of the host: controller (address, port of its SSH connection; '' and 0 where that is not known), rivals (units)
    :returns: [] when nothing is wrong
    """
    problems = [
        *(f"{old} is set on {host}, and nothing reads it: it is called {new} now. Set that instead"
          for old, new in FIREWALL.items() if old in settings["variables"] and new not in settings["variables"]),
        *(f"firewall_allow_rules has {name!r} on {host}: {problem}"
          for name, rule in settings["site"].items() for problem in _wrong(name, rule)),
        *_wrong_management(host, settings["networks"]["management"]),
        *(f"firewall_closed_to_containers has {port!r} on {host}: set ports from 1 to {LAST_PORT}, or ranges such as 5000-5100"
          for port in settings["closed"] if _range(port) is None),
    ]  # fmt: skip
    if not re.fullmatch("[0-9]+", str(settings["seconds"])) or not 10 <= int(settings["seconds"]) <= 600:
        problems.append(f"firewall_confirm_seconds is {settings['seconds']!r} on {host}: set it to seconds from 10 to 600")
    if facts["rivals"]:
        problems.append(
            f"{' and '.join(facts['rivals'])} filters the packets of {host}: two firewalls undo each other's rules. Stop and"
            " disable it, or set discovery_firewall to false for this host"
        )
    source, port = facts["controller"]
    if not problems and source and not _admits_controller(settings, source, port):
        problems.append(
            f"firewall_allow_rules would lock the controller out of {host}: its connection comes from {source} to port {port},"
            " which no rule allows. Set firewall_ssh_port to the port of SSH, or allow ssh from that address"
        )
    return problems


def _admits_controller(settings: Mapping, source: str, port: int) -> bool:
    return admits(allow_rules(settings["platform"], settings["site"]), settings["networks"], source, "tcp", port)


def _wrong(name, rule) -> list[str]:
    """What is wrong with an allow rule of the site."""
    if not NAME.fullmatch(str(name)):
        return ["name it by lower-case letters, digits and _"]
    if not isinstance(rule, Mapping):
        return [f"it is {rule!r}, not a dictionary such as {{tcp: [5432], from: [site]}}"]
    found = [f"{key} is none of {', '.join(KEYS)}" for key in rule if key not in KEYS]
    if lists := [key for key in ("tcp", "udp", "protocols", "from") if not isinstance(rule.get(key, []), list)]:
        return found + [f"{key} is {rule[key]!r}: set it to a list" for key in lists]
    for key in ("tcp", "udp"):
        wrong = [port for port in rule.get(key, []) if _range(port) is None]
        found += [f"{key} has {port!r}: set ports from 1 to {LAST_PORT}, or ranges such as 9990-9999" for port in wrong]
    for protocol in rule.get("protocols", []):
        if not PROTOCOL.fullmatch(str(protocol)):
            found.append(f"protocols has {protocol!r}: set names of IP protocols such as esp, or their numbers")
    for source in rule.get("from", []):
        if source not in CLASSES and network(source) is None:
            found.append(f"from has {source!r}: set {', '.join(CLASSES)}, an IP address or a network such as 10.1.0.0/16")
    if rule.get("at", PLACES[0]) not in PLACES:
        found.append(f"at is {rule['at']!r}: set {' or '.join(PLACES)}")
    return found


def _wrong_management(host: str, networks: Iterable) -> list[str]:
    return [
        f"discovery_management_networks has {one!r} on {host}: set IP addresses, or networks such as 10.1.0.0/16"
        for one in networks if network(one) is None
    ]  # fmt: skip


def network(text) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A network, or an address as one; None when it is neither."""
    try:
        return ipaddress.ip_network(str(text))
    except ValueError:
        return None


def admits(rules: Mapping[str, Mapping], networks: Mapping[str, Iterable[str]], source: str, protocol: str, port: int) -> bool:
    """Whether a host's own port answers a machine that is no container of this host.

    :param source: its IP address
    :param protocol: tcp or udp
    """
    address = ipaddress.ip_address(source)
    return any(
        low <= port <= high and (senders is None or any(address in one for one in senders))
        for rule in rules.values() if rule.get("at") != "published"
        for senders in [_sources(rule, networks)]
        for low, high in filter(None, map(_range, rule.get(protocol, [])))
    )  # fmt: skip


def nftables_rules(rules: Mapping[str, Mapping], networks: Mapping[str, Iterable[str]]) -> list[dict]:
    """The allow rules as parts of nftables rules, in the order of their names.

    :returns: dicts with name; of (part that matches the sender, '' for any, None for containers of this host); port and original
        (parts that match the port of the packet, and the one that it had before dockerd forwarded it to a container; '' where
        there is no port); published (only for ports that containers publish); containers (this rule is for these)
    """
    found = []
    for name, rule in sorted(rules.items()):
        senders = _senders(_sources(rule, networks))
        for port, original in _ports(rule):
            common = {"name": name, "port": port, "original": original, "published": rule.get("at") == "published"}
            inside = not common["published"] and {ANY, CONTAINERS} & set(rule.get("from", []))
            found += [common | {"of": sender, "containers": False} for sender in senders]
            found += [common | {"of": None, "containers": True}] if inside else []
    return found


def closed_to_containers(platform: Mapping[str, Mapping], site: Mapping[str, Mapping], extra: Iterable = ()) -> list[str]:
    """The ports that containers do not reach, on their own host and, masqueraded, on the others: parts of nftables rules.

    :param platform: of all kinds of hosts
    :param extra: further TCP ports
    """
    everywhere = allow_rules(_of_any_host(platform), site).values()
    shut = [one for one in everywhere if one.get("at") != "published" and not {ANY, CONTAINERS} & set(one.get("from", []))]
    ports = {protocol: [port for one in shut for port in one.get(protocol, [])] for protocol in ("tcp", "udp")}
    ports["tcp"] += extra
    return [f"{protocol} dport {listed}" for protocol, numbers in ports.items() if (listed := port_set(numbers))]


def _of_any_host(platform: Mapping[str, Mapping]) -> dict[str, dict]:
    """The allow rules of the platform, as if this host were of every kind."""
    return {name: {**rule, "on": True} for name, rule in platform.items()}


def overlay_ruleset(settings: Mapping) -> dict:
    """The ports of the overlay network, which are closed to external hosts even where the firewall is off.

    :returns: senders (parts that match the docker hosts), ports (parts that match the ports)
    """
    rules = [rule for name, rule in settings["platform"].items() if name in OVERLAY and rule["on"]]
    ports = {protocol: [port for rule in rules for port in rule.get(protocol, [])] for protocol in ("tcp", "udp")}
    return {
        "senders": _senders(_sources({"from": ["docker"]}, settings["networks"])),
        "ports": [f"{protocol} dport {listed}" for protocol, numbers in ports.items() if (listed := port_set(numbers))],
    }


def firewall_ruleset(settings: Mapping, bridges: Iterable[Mapping]) -> dict:
    """The parts of a host's rules.

    :param settings: see the module
    :param bridges: of the host, see `outside_bridges`
    :returns: rules (`nftables_rules`); everywhere (the same for the rules of any kind of host); closed (`closed_to_containers`);
        address (of this host); bridges (`outside_bridges`); site (the part that matches the hosts of the site); overlay
        (`overlay_ruleset`)
    """
    everywhere = allow_rules(_of_any_host(settings["platform"]), settings["site"])
    return {
        "rules": nftables_rules(allow_rules(settings["platform"], settings["site"]), settings["networks"]),
        "everywhere": nftables_rules(everywhere, settings["networks"]),
        "closed": closed_to_containers(settings["platform"], settings["site"], settings["closed"]),
        "address": settings["address"],
        "bridges": outside_bridges(bridges, settings["address"]),
        "site": _senders(_sources({"from": ["site"]}, settings["networks"]))[0],
        "overlay": overlay_ruleset(settings),
    }


def _ports(rule: Mapping) -> list[tuple[str, str]]:
    """Parts of nftables rules for the ports of an allow rule, as they are and as the sender addressed them."""
    found = []
    for protocol in ("tcp", "udp"):
        if listed := port_set(rule.get(protocol, [])):
            found.append((f"{protocol} dport {listed}", f"meta l4proto {protocol} ct original proto-dst {listed}"))
    return found + [(f"meta l4proto {protocol}", "") for protocol in rule.get("protocols", [])]


def port_set(ports: Iterable) -> str:
    """Ports and ranges as nftables writes a set, joined where they meet; '' for none."""
    joined: list[list[int]] = []
    for low, high in sorted(filter(None, map(_range, ports))):
        if joined and low <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], high)
        else:
            joined.append([low, high])
    return f"{{ {', '.join(str(a) if a == b else f'{a}-{b}' for a, b in joined)} }}" if joined else ""


def outside_bridges(bridges: Iterable[Mapping], address: str) -> list[str]:
    """Bridges by which other machines reach the host: the one of its address, and those with a network card.

    Every other bridge joins containers or virtual machines of this host, whatever its name is and whoever made it.

    :param bridges: dicts with name, addresses (IP addresses of the host on it) and ports (kinds of the links that it joins; ''
        for a network card)
    :param address: of the host, by which the others of the site reach it
    """
    return sorted(
        one["name"] for one in bridges
        if address in one["addresses"] or any(kind not in LOCAL_PORTS for kind in one["ports"])
    )  # fmt: skip


def _sources(rule: Mapping, networks: Mapping[str, Iterable[str]]) -> list | None:
    """Networks that an allow rule accepts beside containers; None for any."""
    given = rule.get("from", [])
    if ANY in given:
        return None
    texts = [text for source in given if source != CONTAINERS for text in (networks[source] if source in CLASSES else [source])]
    parsed = [found for found in map(network, texts) if found]
    return [
        one for version in (4, 6)
        for one in ipaddress.collapse_addresses(found for found in parsed if found.version == version)
    ]  # fmt: skip


def _senders(sources: list | None) -> list[str]:
    """Parts of nftables rules that match these senders."""
    if sources is None:
        return [""]
    found = []
    for version, word in ((4, "ip"), (6, "ip6")):
        texts = [str(one.network_address if one.num_addresses == 1 else one) for one in sources if one.version == version]
        if texts:
            found.append(f"{word} saddr {{ {', '.join(texts)} }}")
    return found


def _range(port) -> tuple[int, int] | None:
    """The first and the last port; None when it is no port and no range."""
    match = PORTS.fullmatch(str(port)) if not isinstance(port, bool) else None
    if not match:
        return None
    low, high = int(match[1]), int(match[2] or match[1])
    return (low, high) if 1 <= low <= high <= LAST_PORT else None


def firewall_status(host: str, settings: Mapping, facts: Mapping) -> list[str]:
    """The allow rules of a host, their senders and what listens, as lines for people.

    :param settings: see the module
    :param facts: of the module firewall_facts with `listening`
    """
    rules = allow_rules(settings["platform"], settings["site"])
    state = "in force" if facts["loaded"] else "NOT in force"
    unconfirmed = ", others wait for confirmation" if facts["unconfirmed"] else ""
    lines = [f"{host}: the rules are {state}{unconfirmed}; {facts['dropped']} packets dropped"]
    rows = []
    for name, rule in sorted(rules.items()):
        listed = [f"{protocol} {port}" for protocol in ("tcp", "udp") for port in rule.get(protocol, [])]
        listed += rule.get("protocols", [])
        places = facts["published"] if rule.get("at") == "published" else facts["listening"]
        here = sorted({place.get("program") or place.get("container", "") for place in places if _matches(place, rule)} - {""})
        senders = ", ".join(map(str, rule.get("from", []))) or "nobody"
        ports = "any" if rule.get("at") == "published" else ", ".join(listed)
        rows.append((name, ports, senders, ", ".join(here) or "nothing listens"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines += ["  " + "  ".join(text.ljust(width) for text, width in zip(row, [*widths, 0])).rstrip() for row in rows]  # noqa: B905
    held = {(place["protocol"], place["port"]) for place in facts["published"]}
    silent = _without_a_rule(rules, (place for place in facts["listening"] if (place["protocol"], place["port"]) not in held))
    return lines + [f"  listens without an allow rule, closed to other hosts: {', '.join(silent)}"] if silent else lines


def firewall_unconfirmed(host: str, settings: Mapping, listening: Iterable[Mapping]) -> str:
    """Why nobody may have been able to confirm the rules of a host, and what to set.

    :param settings: see the module
    :param listening: of the module firewall, when it loaded the rules
    """
    rules = allow_rules(settings["platform"], settings["site"])
    # docker-proxy stands behind published ports, whose packets do not come to it from outside.
    closed = _without_a_rule(rules, (place for place in listening if place["program"] != "docker-proxy"))
    return (
        f"the rules of {host} were not confirmed by a new connection: it rolls them back {settings['seconds']} s after they were"
        " loaded, and is then as it was before. Until they are confirmed they judge established connections, too: does the"
        f" controller come through a tunnel (VPN) that ends on {host}? Then allow that, such as firewall_allow_rules:"
        " {tunnel: {udp: [51820], from: [any]}}, or protocols: [esp] for IPsec."
        f" No rule allows these ports that listen there: {', '.join(closed) or 'none'}"
    )


def _without_a_rule(rules: Mapping[str, Mapping], listening: Iterable[Mapping]) -> list[str]:
    """The ports that listen and belong to no allow rule, for people."""
    return sorted({
        f"{_place(place)} ({place['program'] or 'unknown'})" for place in listening
        if not any(_matches(place, rule) for rule in rules.values() if rule.get("at") != "published")
    })  # fmt: skip


def _place(place: Mapping) -> str:
    """A port, or an IP protocol without ports, for people."""
    raw = place["protocol"] == "raw"
    return f"protocol {protocol_name(place['port'])}" if raw else f"{place['protocol']} {place['port']}"


def _matches(place: Mapping, rule: Mapping) -> bool:
    """Whether a port, or an IP protocol without ports, belongs to an allow rule."""
    if place["protocol"] == "raw":
        return place["port"] in map(protocol_number, map(str, rule.get("protocols", [])))
    return any(low <= place["port"] <= high for low, high in filter(None, map(_range, rule.get(place["protocol"], []))))
