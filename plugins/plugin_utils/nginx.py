"""What is wrong with the variables of the role nginx."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
DOMAIN = re.compile(rf"{LABEL}(\.{LABEL})*")
CERTIFIED = re.compile(rf"(\*\.)?{LABEL}(\.{LABEL})+")
FILE = re.compile(r"/[A-Za-z0-9._/@+-]+")
RANGE = re.compile(r"([1-9][0-9]{0,4})-([1-9][0-9]{0,4})")


def nginx_problems(host: str, variables: Mapping) -> list[str]:
    """Mistakes in the role's variables, one message each: variable, host, value seen, what to set.

    :param host: inventory name
    :param variables: the role's variables by their full names: nginx_domain, nginx_placement, nginx_network, nginx_http_port,
        nginx_tls_port, nginx_tcp_ports, nginx_certificates, nginx_trusted_proxies, nginx_access_log
    :returns: [] when nothing is wrong
    """
    problems = [*_of_all(variables), *_of_certificates(variables)]
    if variables["nginx_placement"] == "overlay":
        problems += _of_the_container(variables)
    return [f"{variable} is {variables[variable]!r} on {host}: {what}" for variable, what in problems]


def _of_all(said: Mapping) -> Iterator[tuple[str, str]]:
    if not DOMAIN.fullmatch(str(said["nginx_domain"])):
        yield (
            "nginx_domain",
            ("set discovery_domain to the DNS name, in lower case, of the virtual hosts, such as hospital.example"),
        )
    if not 1 <= _port(said["nginx_http_port"]) <= 65535:
        yield "nginx_http_port", "set it to a port from 1 to 65535"
    tls = _port(said["nginx_tls_port"])
    if not 0 <= tls <= 65535 or tls == _port(said["nginx_http_port"]):
        yield "nginx_tls_port", "set it to a port from 1 to 65535 that is not nginx_http_port, or to 0 for none"
    if said["nginx_placement"] not in ("host", "overlay") or (said["nginx_placement"] == "overlay" and not said["nginx_network"]):
        yield (
            "nginx_placement",
            ("set discovery_balancer_placement to host, or to overlay together with discovery_overlay, whose network it is"),
        )
    wrong = [str(proxy) for proxy in said["nginx_trusted_proxies"] if not _is_network(proxy)]
    if wrong:
        yield "nginx_trusted_proxies", f"{', '.join(wrong)} is no IP address and no network such as 10.1.0.0/16"


def _of_certificates(said: Mapping) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for one in said["nginx_certificates"]:
        names = [str(name) for name in one.get("names") or []]
        bad = [name for name in names if not CERTIFIED.fullmatch(name)]
        if bad or not names:
            listed = ", ".join(bad) or "none"
            yield "nginx_certificates", f"names are {listed}: set host names in lower case, or *.hospital.example for all below"
        if twice := sorted(seen & set(names)):
            yield "nginx_certificates", f"{', '.join(twice)} stands in two of them: leave it in one"
        seen |= set(names)
        for key in ("certificate", "key"):
            if not FILE.fullmatch(str(one.get(key, ""))):
                yield "nginx_certificates", f"{key} is {one.get(key, '')!r}: set it to the absolute path of a file on this host"
    if said["nginx_certificates"] and _port(said["nginx_tls_port"]) == 0:
        yield "nginx_tls_port", "nginx_certificates need a port, such as 443"


def _of_the_container(said: Mapping) -> Iterator[tuple[str, str]]:
    bounds = RANGE.fullmatch(str(said["nginx_tcp_ports"]))
    low, high = map(int, bounds.groups()) if bounds else (0, 0)
    others = [_port(said["nginx_http_port"]), _port(said["nginx_tls_port"])]
    if not 0 < low <= high <= 65535 or any(low <= port <= high for port in others):
        listed = " and ".join(map(str, others))
        yield (
            "nginx_tcp_ports",
            (f"set it to the lowest and the highest port, such as 9990-9999, without http and tls port ({listed})"),
        )
    if said["nginx_access_log"] not in ("off", "/dev/stdout"):
        yield "nginx_access_log", "in a container, set it to /dev/stdout or off"


def _port(value) -> int:
    """The number, or one that no port has."""
    return int(value) if re.fullmatch("[0-9]{1,6}", str(value)) else -1


def _is_network(value) -> bool:
    try:
        ipaddress.ip_network(str(value))
    except ValueError:
        return False
    return True
