"""What of a host waits for packets: ports that listen, and IP protocols without ports (VRRP, OSPF, GRE, …). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# All three kinds: of a single one ss does not print which it is.
COMMAND = ("ss", "--numeric", "--listening", "--raw", "--tcp", "--udp", "--processes", "--no-header")
LINKS_COMMAND = ("ip", "-json", "-details", "address", "show")
# The names that an allow rule takes for IP protocols; all others are numbers.
PROTOCOLS = {"ah": 51, "esp": 50, "gre": 47, "igmp": 2, "ospf": 89, "sctp": 132, "vrrp": 112}
# Raw sockets that wait for nothing that a rule would have to allow: ICMP is always open, TCP and UDP have ports, 255 only sends.
OPEN = (1, 6, 17, 58, 255)
# Kinds of links by which the kernel itself takes packets of a protocol.
TUNNELS = {"gre": 47, "gretap": 47, "erspan": 47, "ip6gre": 47, "ip6gretap": 47, "ipip": 4, "sit": 41}
_LISTENER = re.compile(r"^(tcp|udp|raw)\s+\S+\s+\d+\s+\d+\s+(\S+):(\d+)\s+\S+(?:\s+users:\(\(\"([^\"]*)\")?", re.MULTILINE)
_ALLOWED = re.compile(r"\bmeta l4proto (\w+) accept\b")


def listeners(shown: str) -> list[dict]:
    """Sockets that listen beyond loopback, those of the kernel (tunnels), which have no program, too.

    :param shown: what COMMAND prints
    :returns: dicts with protocol (tcp, udp or raw), address, port (for raw the number of the IP protocol) and program
    """
    found = []
    for protocol, address, port, program in _LISTENER.findall(shown):
        bare = address.split("%")[0].strip("[]")
        if not bare.startswith("127.") and bare != "::1" and not (protocol == "raw" and int(port) in OPEN):
            found.append({"protocol": protocol, "address": bare, "port": int(port), "program": program})
    return found


def tunnels(links: Iterable[Mapping]) -> list[dict]:
    """Tunnels of the kernel without ports that are up, as `listeners` has sockets; their program is the link.

    :param links: what LINKS_COMMAND prints; older releases of ip leave empty ones in
    """
    kinds = {one["ifname"]: one.get("linkinfo", {}).get("info_kind") for one in links if one and "UP" in one.get("flags", [])}
    up = {name: TUNNELS[kind] for name, kind in kinds.items() if kind in TUNNELS}
    return [{"protocol": "raw", "address": "", "port": number, "program": name} for name, number in up.items()]


def protocol_number(text: str) -> int | None:
    """The number of an IP protocol, as an allow rule names it."""
    return PROTOCOLS.get(text, int(text) if text.isdecimal() else None)


def protocol_name(number: int) -> str:
    """An IP protocol, as an allow rule names it."""
    return next((name for name, one in PROTOCOLS.items() if one == number), str(number))


def unheard(listening: Iterable[Mapping], rules: str) -> list[dict]:
    """IP protocols without ports that something waits for and that no rule of a host allows from anybody.

    :param listening: of `listeners` and `tunnels`
    :param rules: the confirmed rules of the firewall; '' without one
    :returns: dicts with protocol (its number) and program; [] where the rules filter no ports of the host
    """
    if "chain host {" not in rules:
        return []
    allowed = set(map(protocol_number, _ALLOWED.findall(rules)))
    closed = {(one["port"], one["program"]) for one in listening if one["protocol"] == "raw" and one["port"] not in allowed}
    return [{"protocol": number, "program": program} for number, program in sorted(closed)]
