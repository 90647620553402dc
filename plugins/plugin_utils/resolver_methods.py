"""The method that leads a host's resolver to Consul, and the reasons to refuse it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..module_utils.resolv_conf import STUB

METHODS = ("resolvconf", "systemd_resolved", "dnsmasq")
DNSMASQ = "127.0.0.2"
MOST = 2  # name servers of the site that the files of the role have room for


def overwriter(found: Mapping) -> str:
    """The program that would write over a plain resolv.conf, or ''."""
    return found["writer"] or next(iter(found["dhcp"]), "")


def resolver_method(found: Mapping, configured: str = "auto") -> str:
    """The method that a host gets.

    :param found: result of fewnodes.discovery.resolver_facts
    :param configured: auto or a method
    :returns: one of METHODS; '' when auto must not choose
    """
    if configured != "auto":
        return configured
    if found["ours"]:
        return found["ours"]
    if STUB in found["servers"] or found["leads_to"].startswith("/run/systemd/resolve/"):
        return "systemd_resolved"
    if "resolvconf" in found["packages"]:
        return "resolvconf"
    return "" if overwriter(found) else "dnsmasq"


def found_resolvers(facts: Mapping, recorded: Iterable[str] = ()) -> list[str]:
    """The site's name servers as a host has them, where the site names none.

    Not those that are the host itself: one that answers there may ask the host's resolver, and so itself. The resolver of an
    earlier run has written at most one of them into resolv.conf, so what that run found counts, unless resolv.conf has another.

    :param facts: `ansible_facts`; {} where none are gathered
    :param recorded: what the files of the role name, `common_host.resolvers`. An address that the host has got since stays
    :returns: the first two in order, whether the role has run before or not; [] where there are none
    """
    own, recorded = set(facts.get("all_ipv4_addresses") or []), list(recorded)
    named = (facts.get("dns") or {}).get("nameservers") or []
    others = [server for server in named if not _is_loopback(server) and server not in own]
    return (recorded if set(others) <= set(recorded) else others)[:MOST]


def _is_loopback(server: str) -> bool:
    return server.startswith("127.") or server == "::1"


def resolver_problems(
    host: str,
    found: Mapping,
    configured: str,
    resolvers: Iterable[str],
    options: Iterable[str],
    address: str,
) -> list[str]:
    """Reasons why the resolver of a host cannot be led to Consul, one message each.

    :param found: result of fewnodes.discovery.resolver_facts
    :param configured: consul_dns_method
    :param resolvers: addresses of the site's name servers
    :param options: resolver options that are wanted
    :param address: where Consul answers other hosts and containers, beside 127.0.0.1
    :returns: [] without a problem
    """
    if configured not in ("auto", *METHODS):
        return [
            f"consul_dns_method is '{configured}' on {host}: set discovery_dns_method to auto or one of {', '.join(METHODS)}"
        ]
    method = resolver_method(found, configured)
    return (
        manager_problems(host, found, configured, method)
        + server_problems(host, found, list(resolvers), address)
        + option_problems(host, options)
        + listener_problems(host, found, method, address)
    )


def manager_problems(host: str, found: Mapping, configured: str, method: str) -> list[str]:
    """Programs that overwrite resolv.conf."""
    problems = []
    if not method:
        problems.append(
            f"consul_dns_method is 'auto', but {overwriter(found)} writes /etc/resolv.conf of {host} and would overwrite"
            f" that of another method: name the method, set discovery_dns_method of this host to one of {', '.join(METHODS)}"
        )
    elif found["writer"] in ("NetworkManager", "dhcpcd") and method != "resolvconf" and not found["ours"]:
        problems.append(
            f"consul_dns_method is '{configured}', but {found['writer']} writes /etc/resolv.conf of {host} and would overwrite"
            " it: set discovery_dns_method to resolvconf, or keep it from doing so and write the file by hand"
        )
    if "openresolv" in found["packages"]:
        problems.append(f"openresolv manages /etc/resolv.conf of {host}, and would overwrite it: remove this package")
    return problems


def server_problems(host: str, found: Mapping, resolvers: list[str], address: str) -> list[str]:
    """The site's name servers: at least one, none of them this host's Consul. Another address of the host may be a name server's
    that moves between hosts."""
    wrong = [server for server in resolvers if _is_loopback(server) or server == address]
    if resolvers and not wrong:
        return []
    return [
        f"consul_dns_resolvers is {resolvers} on {host}, whose resolv.conf names {found['servers']}: it must hold at least"
        " one name server of the site, not the host itself. Set discovery_resolvers"
    ]


def option_problems(host: str, options: Iterable[str]) -> list[str]:
    if "rotate" not in options:
        return []
    return [
        f"consul_dns_options has rotate on {host}: every second .consul lookup would go to the site's name servers, which"
        " do not know it. Take it out"
    ]


def listener_problems(host: str, found: Mapping, method: str, address: str) -> list[str]:
    """Other listeners on port 53 where Consul and the method's own resolver answer."""
    wanted = {address: "consul", "127.0.0.1": "consul"}
    if method == "dnsmasq":
        wanted[DNSMASQ] = "dnsmasq"
    if method == "systemd_resolved":
        wanted[STUB] = "systemd-resolve"
    problems = []
    for held in found["listeners"]:
        everywhere = held["address"] in ("0.0.0.0", "::")
        if held["process"] == wanted.get(held["address"]) or not (everywhere or held["address"] in wanted):
            continue
        who = held["process"] or "a process"
        problems.append(
            f"{who} holds port 53/{held['protocol']} of {held['address']} on {host}, where Consul answers names"
            f" ({address} and 127.0.0.1; {method or 'auto'}): stop it, or give it other addresses"
            + (" (dnsmasq: bind-interfaces and listen-address)" if who == "dnsmasq" else "")
        )
    return sorted(set(problems))
