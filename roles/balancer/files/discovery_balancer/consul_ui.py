"""Consul's own UI on a name of the site, for its management networks: what the site wants, and what a plan has of it.

The load balancer holds no token and adds none. Whoever asks brings his own, and Consul denies what a request without one asks.
"""

import dataclasses
import ipaddress
import pathlib
import re
import ssl

from .patterns import DOMAIN, HOST

TITLE = "balancer_consul_ui"  # what the status calls it
CA = pathlib.Path("/etc/consul.d/tls/ca.pem")  # of the site, as Consul's agent on this host has it
CA_FILE = "consul-ca.pem"  # its copy in a generation: a container sees no other one, and a new CA is a new generation
PATHS = ("/ui/", "/v1/")
SECTION = "consul.ui"  # no service can have a name with a dot
# Consul answers a blocking query after 10 minutes and a sixteenth at the latest.
SILENCE = "11m"
PLACE = re.compile(r"(?P<address>[0-9.]+|\[[0-9a-fA-F:.]+\]):(?P<port>[1-9][0-9]{0,4})")
KEYS = {"name", "servers", "server_name", "networks"}


@dataclasses.dataclass(frozen=True)
class ConsulUi:
    """All of it is safe to print into a configuration file."""

    name: str  # of the virtual host
    servers: tuple  # "address:port" of Consul's, by HTTPS
    server_name: str  # that their certificates have
    networks: tuple  # from which it may be asked for
    refused: tuple  # networks within these from which it may not: hosts of the site, with whose addresses containers come
    ca: str  # PEM


def problem(wanted: dict) -> str:
    """Why the site's option cannot be rendered safely, "" when it can.

    :param wanted: {} for no UI, else the name, "address:port" of the servers, the name in their certificates, and networks
    """
    if not wanted:
        return ""
    if set(wanted) != KEYS:
        return f"{sorted(wanted)} are not {sorted(KEYS)}"
    if not HOST.fullmatch(str(wanted["name"])) or len(wanted["name"]) > 253:
        return f"{wanted['name']!r} is not a DNS name in lower case"
    if not DOMAIN.fullmatch(str(wanted["server_name"])) or len(wanted["server_name"]) > 253:
        return f"{wanted['server_name']!r} is not a DNS name in lower case"
    if not wanted["servers"] or not wanted["networks"]:
        return "there are no servers, or no networks"
    if wrong := [place for place in wanted["servers"] if not _is_place(place)]:
        return f"{wrong[0]!r} is not an address and a port"
    if wrong := [network for network in wanted["networks"] if not _is_network(network)]:
        return f"{wrong[0]!r} is not an address or a network"
    return ""


def planned(options):
    """(the UI or None, why there is none although the site wants it, else "")."""
    wanted = options.consul_ui
    if not wanted:
        return None, ""
    if not options.certificate(wanted["name"]):
        return None, f"{wanted['name']} has no certificate here, and it is served over HTTPS alone"
    if not options.consul_ca:
        return None, f"{CA} is no CA that would verify Consul's servers"
    hosts = sorted({str(address) for address in options.at_hosts | options.at_balancers})
    return ConsulUi(
        wanted["name"],
        tuple(sorted(wanted["servers"])),
        wanted["server_name"],
        tuple(sorted({str(ipaddress.ip_network(network)) for network in wanted["networks"]})),
        tuple(str(ipaddress.ip_network(address)) for address in hosts),
        options.consul_ca,
    ), ""


def authority(file=CA) -> str:
    """The certificates of a file; "" where a server would refuse them, and the whole configuration with them."""
    try:
        text = file.read_text()
        ssl.create_default_context(cadata=text)
    except (OSError, ValueError):  # ssl's own errors are of both kinds
        return ""
    return text


def _is_place(text) -> bool:
    found = PLACE.fullmatch(str(text))
    return bool(found) and int(found["port"]) <= 65535 and _is_network(found["address"].strip("[]"))


def _is_network(text) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
