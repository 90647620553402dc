"""Pure: from what the roles run on a host, and what the site adds, to what its firewall lets in; and what is wrong with that."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

EVERYONE, CONTAINERS = "everyone", "containers"
CLASSES = (EVERYONE, "members", "engines", "admins", CONTAINERS)
KEYS = ("tcp", "udp", "protocols", "at", "from", "why")
PLACES = ("both", "published")
PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
PROTOCOL = re.compile(r"ah|esp|gre|igmp|ospf|sctp|vrrp|[0-9]{1,3}")
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
ENGINE_BRIDGE = re.compile(r"br-[0-9a-f]{12}")
LAST_PORT = 65535


def openings(known: Mapping[str, Mapping], added: Mapping[str, Mapping]) -> dict[str, dict]:
    """What a host lets in, by name: that of the roles, changed and completed by what the site says.

    :param known: name to an opening: tcp and udp (lists of ports and ranges such as "9990-9999"), protocols (of IP), from (list
        of classes and networks), at ("published": ports that containers publish only; else any), why; and `on`, whether this host
        has it
    :param added: the same, without `on`; a key that is given takes the place of the known one
    """
    chosen = {name: {key: value for key, value in one.items() if key != "on"} for name, one in known.items() if one["on"]}
    for name, one in added.items():
        if name in chosen or name not in known:  # what another kind of host has is no new opening here
            chosen[name] = {**chosen.get(name, {}), **one}
    return chosen


def firewall_problems(host: str, said: Mapping, seen: Mapping) -> list[str]:
    """Mistakes in the role's variables, and a firewall that would shut the controller out; one message each.

    :param host: inventory name
    :param said: known, added (as for `openings`), who (class to its networks), closed (ports), seconds
    :param seen: of the host: controller (address, port of its SSH connection; '' and 0 where that is not known), rivals (units)
    :returns: [] when nothing is wrong
    """
    problems = [
        *(f"firewall_openings has {name!r} on {host}: {what}"
          for name, one in said["added"].items() for what in _wrong(name, one)),
        *_wrong_admins(host, said["who"]["admins"]),
        *(f"firewall_closed_to_containers has {port!r} on {host}: set ports from 1 to {LAST_PORT}, or ranges such as 5000-5100"
          for port in said["closed"] if _range(port) is None),
    ]  # fmt: skip
    if not re.fullmatch("[0-9]+", str(said["seconds"])) or not 10 <= int(said["seconds"]) <= 600:
        problems.append(f"firewall_confirm_seconds is {said['seconds']!r} on {host}: set it to seconds from 10 to 600")
    if seen["rivals"]:
        problems.append(
            f"{' and '.join(seen['rivals'])} rules the packets of {host}: two of them undo each other's rules. Stop and disable"
            " it, or set discovery_firewall to false for this host"
        )
    source, port = seen["controller"]
    if not problems and source and not admits(openings(said["known"], said["added"]), said["who"], source, "tcp", port):
        problems.append(
            f"firewall_openings would shut the controller out of {host}: its connection comes from {source} to port {port}, which"
            " no opening lets in. Set firewall_ssh_port to the port of SSH, or let ssh in from that address"
        )
    return problems


def _wrong(name, one) -> list[str]:
    """What is wrong with an opening that the site says."""
    if not NAME.fullmatch(str(name)):
        return ["name it by lower-case letters, digits and _"]
    if not isinstance(one, Mapping):
        return [f"it is {one!r}, not a dictionary such as {{tcp: [5432], from: [members]}}"]
    found = [f"{key} is none of {', '.join(KEYS)}" for key in one if key not in KEYS]
    if lists := [key for key in ("tcp", "udp", "protocols", "from") if not isinstance(one.get(key, []), list)]:
        return found + [f"{key} is {one[key]!r}: set it to a list" for key in lists]
    for key in ("tcp", "udp"):
        wrong = [port for port in one.get(key, []) if _range(port) is None]
        found += [f"{key} has {port!r}: set ports from 1 to {LAST_PORT}, or ranges such as 9990-9999" for port in wrong]
    for protocol in one.get("protocols", []):
        if not PROTOCOL.fullmatch(str(protocol)):
            found.append(f"protocols has {protocol!r}: set names of IP protocols such as esp, or their numbers")
    for source in one.get("from", []):
        if source not in CLASSES and network(source) is None:
            found.append(f"from has {source!r}: set {', '.join(CLASSES)}, an IP address or a network such as 10.1.0.0/16")
    if one.get("at", PLACES[0]) not in PLACES:
        found.append(f"at is {one['at']!r}: set {' or '.join(PLACES)}")
    return found


def _wrong_admins(host: str, admins: Iterable) -> list[str]:
    return [
        f"discovery_admins has {one!r} on {host}: set IP addresses, or networks such as 10.1.0.0/16"
        for one in admins if network(one) is None
    ]  # fmt: skip


def network(text) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A network, or an address as one; None when it is neither."""
    try:
        return ipaddress.ip_network(str(text))
    except ValueError:
        return None


def admits(chosen: Mapping[str, Mapping], who: Mapping[str, Iterable[str]], source: str, protocol: str, port: int) -> bool:
    """Whether a host's own port answers a machine that is no container of this host.

    :param source: its IP address
    :param protocol: tcp or udp
    """
    address = ipaddress.ip_address(source)
    return any(
        low <= port <= high and (sources is None or any(address in one for one in sources))
        for one in chosen.values() if one.get("at") != "published"
        for sources in [_sources(one, who)]
        for low, high in filter(None, map(_range, one.get(protocol, [])))
    )  # fmt: skip


def firewall_rules(chosen: Mapping[str, Mapping], who: Mapping[str, Iterable[str]]) -> list[dict]:
    """The openings as parts of nftables rules, in the order of their names.

    :returns: dicts with name; of (part that tells the sender, '' for everyone, None for containers of this host); port and
        original (parts that tell the port of the packet, and the one that it had before the engine led it to a container; ''
        where there is no port); published (only for ports that containers publish); containers (this rule is for these)
    """
    found = []
    for name, one in sorted(chosen.items()):
        senders = _senders(_sources(one, who))
        for port, original in _ports(one):
            common = {"name": name, "port": port, "original": original, "published": one.get("at") == "published"}
            inside = not common["published"] and {EVERYONE, CONTAINERS} & set(one.get("from", []))
            found += [common | {"of": sender, "containers": False} for sender in senders]
            found += [common | {"of": None, "containers": True}] if inside else []
    return found


def firewall_closed(known: Mapping[str, Mapping], added: Mapping[str, Mapping], extra: Iterable = ()) -> list[str]:
    """What containers do not reach, on their own host and, hidden behind its address, on the others: parts of nftables rules.

    :param known: openings of all kinds of hosts, as for `openings`
    :param extra: further TCP ports
    """
    everywhere = openings({name: {**one, "on": True} for name, one in known.items()}, added).values()
    shut = [one for one in everywhere if one.get("at") != "published" and not {EVERYONE, CONTAINERS} & set(one.get("from", []))]
    ports = {protocol: [port for one in shut for port in one.get(protocol, [])] for protocol in ("tcp", "udp")}
    ports["tcp"] += extra
    return [f"{protocol} dport {listed}" for protocol, numbers in ports.items() if (listed := port_set(numbers))]


def firewall_ruleset(said: Mapping, interfaces: Iterable[str]) -> dict:
    """What the rules of a host are made of.

    :param said: as for `firewall_problems`
    :param interfaces: names of the host's network interfaces
    :returns: rules (`firewall_rules`), closed (`firewall_closed`), bridges (`foreign_bridges`), members (the part that tells the
        hosts of the site)
    """
    return {
        "rules": firewall_rules(openings(said["known"], said["added"]), said["who"]),
        "closed": firewall_closed(said["known"], said["added"], said["closed"]),
        "bridges": foreign_bridges(interfaces),
        "members": _senders(_sources({"from": ["members"]}, said["who"]))[0],
    }


def _ports(one: Mapping) -> list[tuple[str, str]]:
    """Parts of rules for the ports of an opening, as they are and as they were asked for."""
    found = []
    for protocol in ("tcp", "udp"):
        if listed := port_set(one.get(protocol, [])):
            found.append((f"{protocol} dport {listed}", f"meta l4proto {protocol} ct original proto-dst {listed}"))
    return found + [(f"meta l4proto {protocol}", "") for protocol in one.get("protocols", [])]


def port_set(ports: Iterable) -> str:
    """Ports and ranges as nftables writes a set, joined where they meet; '' for none."""
    joined: list[list[int]] = []
    for low, high in sorted(filter(None, map(_range, ports))):
        if joined and low <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], high)
        else:
            joined.append([low, high])
    return f"{{ {', '.join(str(a) if a == b else f'{a}-{b}' for a, b in joined)} }}" if joined else ""


def foreign_bridges(interfaces: Iterable[str]) -> list[str]:
    """Bridges that are named like the engine's networks (br-…) and are none: the engine's have twelve hexadecimal digits."""
    return sorted(one for one in interfaces if one.startswith("br-") and not ENGINE_BRIDGE.fullmatch(one))


def _sources(one: Mapping, who: Mapping[str, Iterable[str]]) -> list | None:
    """Networks that an opening lets in beside containers; None for everyone."""
    said = one.get("from", [])
    if EVERYONE in said:
        return None
    texts = [text for source in said if source != CONTAINERS for text in (who[source] if source in CLASSES else [source])]
    networks = [found for found in map(network, texts) if found]
    return [
        one for version in (4, 6)
        for one in ipaddress.collapse_addresses(found for found in networks if found.version == version)
    ]  # fmt: skip


def _senders(sources: list | None) -> list[str]:
    """Parts of rules that tell these senders."""
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


def firewall_status(host: str, said: Mapping, seen: Mapping) -> list[str]:
    """What answers to whom on a host, for people.

    :param said: as for `firewall_problems`; seen: what the module firewall_facts tells with `listening`
    """
    chosen = openings(said["known"], said["added"])
    state = "in force" if seen["loaded"] else "NOT in force"
    trial = ", others are on trial" if seen["trial"] else ""
    lines = [f"{host}: the rules are {state}{trial}; {seen['dropped']} packets dropped"]
    rows = []
    for name, one in sorted(chosen.items()):
        told = [f"{protocol} {port}" for protocol in ("tcp", "udp") for port in one.get(protocol, [])] + one.get("protocols", [])
        places = seen["published"] if one.get("at") == "published" else seen["listening"]
        here = sorted({place.get("program") or place.get("container", "") for place in places if _is_of(place, one)} - {""})
        senders = ", ".join(map(str, one.get("from", []))) or "nobody"
        ports = "any" if one.get("at") == "published" else ", ".join(told)
        rows.append((name, ports, senders, ", ".join(here) or "nothing there"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines += ["  " + "  ".join(text.ljust(width) for text, width in zip(row, [*widths, 0])).rstrip() for row in rows]  # noqa: B905
    held = {(place["protocol"], place["port"]) for place in seen["published"]}
    silent = sorted({
        f"{place['protocol']} {place['port']} ({place['program'] or 'unknown'})" for place in seen["listening"]
        if (place["protocol"], place["port"]) not in held
        and not any(_is_of(place, one) for one in chosen.values() if one.get("at") != "published")
    })  # fmt: skip
    return lines + [f"  listens, but answers no other host: {', '.join(silent)}"] if silent else lines


def _is_of(place: Mapping, one: Mapping) -> bool:
    """Whether a port belongs to an opening."""
    return any(low <= place["port"] <= high for low, high in filter(None, map(_range, one.get(place["protocol"], []))))
