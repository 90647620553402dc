"""Computes the wanted services from dockerd's containers and the options. Pure: no clock, no network. Python 3.9."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .check import Endpoint, Refusal, check
from .inspection import PREFIX, Binding, Container, Port, read
from .options import Options

EVERY = {4: "0.0.0.0", 6: "::"}  # where a port is published on all addresses of the host
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # one DNS label
ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,254}")
META_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
META_VALUE_BYTES = 512
META_PAIRS = 64 - 4  # Consul's limit less our own marker, which of a UDP port has one more
RESERVED_NAMES = {"consul"}  # Consul's own service
RESERVED_KEYS = ("consul-", "registrator")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
# Ports of a host that are SSH's, Consul's, dockerd's and the resolver's: an instance there would open them through the load
# balancer, whose plan.py has the same.
PLATFORM_PORTS = frozenset({22, 53, 2375, 2376, 2377, 4789, 7946, 8300, 8301, 8302, 8500, 8501, 8502, 8503, 8600})

# Keys of SERVICE_<KEY> and SERVICE_<port>_<KEY> by which somebody asks for a service. Others are often an application's own.
ASKING_KEYS = {"name", "tags", "id"}
ASKING_PREFIXES = ("check_", "balancer_")
NO_PORT_NUMBER = Port(0)  # that no SERVICE_<port>_<KEY> is about
NO_PORT = "it has no port: publish one (-p); in the network of the host or of another container, name one by --expose"
UNNAMED = "only containers with SERVICE_NAME are registered here (registrator_explicit)"

Skip = Callable[[str, str], None]  # takes a rejected item and the reason


@dataclass(frozen=True)
class Service:
    id: str
    name: str
    address: str
    port: int
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)
    check: dict = field(default_factory=dict)  # as Consul takes it, without id and status
    health: tuple[str, str] | None = None  # status and output we write; None: Consul runs the check
    container: str = ""  # its name
    udp: bool = False


class Skipped(NamedTuple):
    """A rejected item of a container."""

    container: str
    item: str
    reason: str
    lost: bool = False  # whoever started the container asked for a service that there is not because of it


@dataclass(frozen=True)
class Wanted:
    services: list[Service]
    skipped: list[Skipped]
    kept: dict[str, str]  # ids of failed containers' services that stay, and why they are critical


def wanted(
    containers: Iterable[dict],
    options: Options,
    host: str,
    overlays: frozenset[str] = frozenset(),
    leaving: frozenset[str] = frozenset(),
) -> Wanted:
    """The services of dockerd's containers.

    :param containers: inspections as dockerd answers them (GET /containers/{id}/json), in any order
    :param options: the command line
    :param host: host name of dockerd; first part of default service ids
    :param overlays: names of networks whose addresses the host cannot reach
    :param leaving: ids of containers that are stopping; they still run but get no service
    :returns: services sorted by id, skipped items with reasons, and failed containers' entries to keep

    Labels, names and ids are those of the original (gliderlabs/registrator, docs/user/services.md); items that
    Consul or DNS (RFC 1035, 2.3.1) would reject are skipped with the reason.
    """
    by_id = {container.id: container for container in (read(one, options.labels_only) for one in containers)}
    candidates: list[tuple[bool, str, Service]] = []
    skipped: list[Skipped] = []
    kept: dict[str, str] = {}
    for container in by_id.values():
        if container.id in leaving:
            continue
        if container.running:
            owner = _network_owner(container, by_id)
            found, rejected = _services(container, owner, options, host, overlays)
            candidates += [(default_id, container.name, service) for default_id, service in found]
            skipped += rejected
        elif options.deregister == "on-success" and container.failed:
            for port in container.exposed:
                service_id = _id(container, port, host, _attributes(container, port)[0])
                kept[service_id] = f"exited ({container.failed})"
    services = _unique(candidates, skipped)
    return Wanted(services, sorted(set(skipped)), kept)


# --- settings of a container ---


def _attributes(container: Container, port: Port) -> tuple[dict[str, str], set[str]]:
    """SERVICE_* of environment and labels for one port, and which keys were set for it alone."""
    general: dict[str, str] = {}
    specific: dict[str, str] = {}
    for key, value in sorted(container.attributes.items()):
        if not key.startswith(PREFIX):
            continue
        key = key.removeprefix(PREFIX).lower()
        first, _unused, rest = key.partition("_")
        if rest and first.isdecimal():
            if first == str(port.number):
                specific[rest] = value
        else:
            general[key] = value
    return general | specific, {key for key, value in specific.items() if value}


def _id(container: Container, port: Port, host: str, attributes: dict[str, str]) -> str:
    default = f"{host}:{container.name}:{port.number}" + (":udp" if port.protocol == "udp" else "")
    return attributes.get("id") or default


# --- one container ---


def _services(
    container: Container, owner: Container | None, options: Options, host: str, overlays: frozenset[str]
) -> tuple[list[tuple[bool, Service]], list[Skipped]]:
    """The services of a container, each with whether its id is the default one; and what is rejected."""
    skipped: list[Skipped] = []
    refused: dict[Port, str] = {}
    found: dict[Port, tuple[bool, Service]] = {}

    def skip(item: str, reason: str) -> None:
        skipped.append(Skipped(container.name, item, reason))

    for key in container.odd:
        skip(f"port {key}", "not a port")
    for key, reason in container.ignored:
        if key.startswith(PREFIX) or (key and key == options.use_ip_from_label):
            skip(key, reason)
    if container.image_gone and any(key.startswith(PREFIX) for key in container.attributes):
        skip("image", "it is gone, so its labels apply as those of the container")
    ports = {port: _attributes(container, port) for port in _ports(container, owner)}
    ignored = {port for port, (attributes, _unused) in ports.items() if attributes.get("ignore")}
    endpoints: dict[Port, Endpoint] = {}
    unnamed: list[Port] = []
    for port in ports:
        try:
            endpoints[port] = _endpoint(port, container, owner, options, overlays)
        except Refusal as refusal:
            refused[port] = str(refusal)
    for port, endpoint in endpoints.items():
        attributes, specific = ports[port]
        if port in ignored:
            continue
        if options.explicit and not attributes.get("name"):
            unnamed.append(port)
            continue
        suffix = str(port.number) if len(endpoints) > 1 and "name" not in specific else ""
        endpoint = _labelled(endpoint, container, options.use_ip_from_label, overlays, skip)
        try:
            _refuse(endpoint, owner)
            service = _service(container, port, endpoint, attributes, suffix, options, host, skip)
        except Refusal as refusal:
            refused[port] = str(refusal)
        else:
            found[port] = not attributes.get("id"), service
    refused = {port: reason for port, reason in refused.items() if port not in ignored}
    return list(found.values()), skipped + _in_vain(container, frozenset(ports), frozenset(found), refused, ignored, unnamed)


def _in_vain(
    container: Container,
    ports: frozenset[Port],
    found: frozenset[Port],
    refused: dict[Port, str],
    ignored: set[Port],
    unnamed: list[Port],
) -> list[Skipped]:
    """Ports without a service, and whether somebody asks for one: for the port alone, or for any of a container that has none.

    :param found: ports with a service
    :param refused: ports without one, with the reason
    :param unnamed: ports without one because of -explicit
    """
    general = _attributes(container, NO_PORT_NUMBER)[0]
    open_ = not general.get("ignore") and (not ports or ports - ignored)
    nothing = bool(open_) and not found and _asks(general)
    asked, served = _asked_ports(container), {port.number for port in found}
    reasons = refused | (dict.fromkeys(unnamed, UNNAMED) if nothing else {})
    skipped = [
        Skipped(container.name, f"port {port}", reason, lost=nothing or (port.number in asked and port.number not in served))
        for port, reason in reasons.items()
    ]
    missing = sorted(asked - {port.number for port in ports})
    skipped += [Skipped(container.name, f"port {number}", "the container has no such port", lost=True) for number in missing]
    if nothing and not ports and not container.odd:
        skipped.append(Skipped(container.name, "ports", NO_PORT, lost=True))
    return skipped


def _asks(attributes: dict[str, str]) -> bool:
    """Do settings, with keys in lower case, ask for a service?"""
    return any(value and (key in ASKING_KEYS or key.startswith(ASKING_PREFIXES)) for key, value in attributes.items())


def _asked_ports(container: Container) -> set[int]:
    """Numbers of ports that a container asks for by SERVICE_<port>_<KEY>, whether it has them or not."""
    named = (key.removeprefix(PREFIX).partition("_")[0] for key in container.attributes if key.startswith(PREFIX))
    numbers = {int(number) for number in named if number.isascii() and number.isdecimal() and len(number) < 6}
    asked = {number: _attributes(container, Port(number)) for number in numbers}
    return {
        number
        for number, (attributes, specific) in asked.items()
        if not attributes.get("ignore") and _asks({key: attributes[key] for key in specific})
    }


def _service(
    container: Container,
    port: Port,
    endpoint: Endpoint,
    attributes: dict[str, str],
    suffix: str,
    options: Options,
    host: str,
    skip: Skip,
) -> Service:
    name = attributes.get("name") or _image_name(container.image)
    name = f"{name}-{suffix}" if suffix else name
    if not NAME.fullmatch(name):
        raise Refusal(f"{name!r} cannot be a DNS name (letters, digits, hyphens, at most 63): set SERVICE_NAME")
    if name.lower() in RESERVED_NAMES:
        raise Refusal(f"the name {name!r} belongs to Consul itself: set SERVICE_NAME")
    if name.lower() in (reserved.lower() for reserved in _split(options.reserved)):
        raise Refusal(f"the name {name!r} is reserved for other hosts (discovery_service_hosts)")
    if options.allowed and not allowed(name, _split(options.allowed)):
        raise Refusal(f"the name {name!r} is not one of this host's (registrator_service_prefixes)")
    service_id = _id(container, port, host, attributes)
    if not ID.fullmatch(service_id):
        raise Refusal(f"{service_id!r} cannot be a service id")

    def skip_here(item: str, reason: str) -> None:
        skip(f"{item} of port {port}", reason)

    udp = port.protocol == "udp"
    tags = _split(attributes.get("tags", "")) + _split(options.tags)
    tags += ["udp"] if udp else []
    definition, status = check(container, endpoint._replace(udp=udp), attributes, skip_here)
    return Service(
        id=service_id,
        name=name,
        address=endpoint.address,
        port=endpoint.port,
        tags=tuple(dict.fromkeys(_good_tags(tags, skip_here))),
        meta=_meta(attributes, META_PAIRS - udp, skip_here),
        check=definition,
        health=status,
        container=container.name if len(container.name.encode()) <= META_VALUE_BYTES else "",
        udp=udp,
    )


def allowed(name: str, names: Iterable[str]) -> bool:
    """Is the name one of the given, or does it begin with one that ends in `*`? As Consul compares: case counts."""
    return any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in names)


def _image_name(image: str) -> str:
    """registry:5000/team/web:1.0@sha256:… → web"""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def _split(text: str) -> list[str]:
    """Comma separated, where `\\,` is a comma that belongs to the text."""
    parts = re.split(r"(?<!\\),", text)
    return [part.replace("\\,", ",").strip() for part in parts if part.strip()]


def _good_tags(tags: list[str], skip: Skip) -> Iterator[str]:
    for tag in tags:
        if UNPRINTABLE.search(tag):
            skip(f"tag {tag!r}", "control characters")
        else:
            yield tag


def _meta(attributes: dict[str, str], most: int, skip: Skip) -> dict[str, str]:
    """Every other key is the service's meta, as far as Consul accepts it.

    :param most: number of keys
    """
    meta: dict[str, str] = {}
    for key, value in sorted(attributes.items()):
        if key in ("name", "tags", "id", "ignore") or key.startswith("check_"):
            continue
        if not META_KEY.fullmatch(key):
            skip(f"meta {key!r}", "only letters, digits, _ and - are allowed, at most 128")
        elif key.startswith(RESERVED_KEYS):
            skip(f"meta {key!r}", "reserved")
        elif len(value.encode(errors="replace")) > META_VALUE_BYTES:
            skip(f"meta {key!r}", f"longer than {META_VALUE_BYTES} bytes")
        elif len(meta) == most:
            skip(f"meta {key!r}", f"more than {most} keys")
        else:
            meta[key] = value
    return meta


def _unique(candidates: list[tuple[bool, str, Service]], skipped: list[Skipped]) -> list[Service]:
    """Of two services with one id the one whose id is the default keeps it, then the lower container name."""
    taken: dict[str, tuple[str, Service]] = {}
    for _unused, container, service in sorted(candidates, key=lambda c: (not c[0], c[1], c[2].port, c[2].name)):
        if service.id in taken:
            reason = f"the id {service.id!r} is taken by container {taken[service.id][0]}"
            skipped.append(Skipped(container, f"service {service.name}", reason, lost=True))
        else:
            taken[service.id] = (container, service)
    return [taken[service_id][1] for service_id in sorted(taken)]


# --- endpoint of a port ---


def _unusable(text: str) -> str:
    """Kind of an address that no instance can have; '' for others, and for the agent's own, which is empty or a name."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    address = getattr(address, "ipv4_mapped", None) or address
    kinds = ("loopback", "link_local", "multicast", "unspecified", "reserved")
    return next((kind.replace("_", "-") for kind in kinds if getattr(address, f"is_{kind}")), "")


def _refuse(endpoint: Endpoint, owner: Container | None) -> None:
    """Refuse what is no address of an application, and the platform's ports of a host: both open what is not a container's."""
    if kind := _unusable(endpoint.address):
        raise Refusal(f"{endpoint.address} is a {kind} address: no instance can be there")
    if endpoint.port in PLATFORM_PORTS and (owner is None or endpoint.address not in owner.networks.values()):
        raise Refusal(f"port {endpoint.port} of a host belongs to the platform: publish another one")


def _network_owner(container: Container, by_id: dict[str, Container]) -> Container | None:
    """The container whose network this one uses: itself, unless it joined another's."""
    mode, _unused, other = container.mode.partition(":")
    return by_id.get(other) if mode == "container" else container


def _ports(container: Container, owner: Container | None) -> list[Port]:
    return sorted(container.exposed | (set(container.published) if owner is container else set()))


def _endpoint(
    port: Port, container: Container, owner: Container | None, options: Options, overlays: frozenset[str]
) -> Endpoint:
    if port.protocol not in ("tcp", "udp"):
        raise Refusal(f"{port.protocol} is not supported")
    if owner is None:
        raise Refusal("the container whose network it uses does not run")
    if owner.mode == "host":
        return Endpoint(options.ip, port.number)
    if options.internal and not options.network:
        network, address = _own_address(owner, overlays)
        return Endpoint(address, port.number, overlay=network in overlays)
    if options.internal and (address := owner.networks.get(options.network)):
        return Endpoint(address, port.number, overlay=options.network in overlays)
    bindings, ip = owner.published.get(port, ()), _label_address(container, options.use_ip_from_label) or options.ip
    usable = sorted(filter(None, (_published(binding, ip) for binding in bindings)))
    if usable:
        return usable[0][1]
    elsewhere = f"not in the network {options.network}, and " if options.network else ""
    raise Refusal(elsewhere + (_unreachable(bindings, ip) if bindings else "not published on the host"))


def _published(binding: Binding, ip: str) -> tuple[int, Endpoint] | None:
    """Endpoint of one binding, with a rank: every address of the host, one address. None where `ip` does not reach it: dockerd
    listens on `::` by IPv6 only.

    :param ip: of the host; empty: the agent's own, which is taken for one of IPv4
    """
    address, port = binding.address or (EVERY[6] if _version(ip) == 6 else EVERY[4]), binding.port
    if address.startswith("127.") or address == "::1" or not port:
        return None
    if address in EVERY.values():
        return (0, Endpoint(ip, port)) if address == EVERY[_version(ip)] else None
    return 1, Endpoint(address, port)


def _unreachable(bindings: Iterable[Binding], ip: str) -> str:
    """Why none of the bindings of a published port can be used."""
    other = 4 if _version(ip) == 6 else 6
    if any(binding.address == EVERY[other] and binding.port for binding in bindings):
        return f"published on IPv{other} only, and the host is registered by IPv{_version(ip)}: publish it there"
    return "published on a loopback address only"


def _version(ip: str) -> int:
    """Of the host's address; what is none, such as the agent's own, which is empty, counts as IPv4."""
    return 6 if ":" in ip else 4


def _own_address(container: Container, overlays: frozenset[str]) -> tuple[str, str]:
    """Network and address of a container on several: an overlay first, then the one it was started on."""
    if not container.networks:
        raise Refusal("the container has no address")
    return min(container.networks.items(), key=lambda one: (one[0] not in overlays, one[0] != container.mode, one[0]))


def _labelled(
    endpoint: Endpoint, container: Container, label: str, overlays: frozenset[str], skip: Skip
) -> Endpoint:
    """With -useIpFromLabel: the address that the label holds."""
    text = container.labels.get(label, "") if label else ""
    address = _label_address(container, label)
    if text and not address:
        skip(f"label {label}", f"{text!r} is not an IP address")
    if not address:
        return endpoint
    overlay = any(container.networks.get(network) == address for network in overlays)
    return Endpoint(address, endpoint.port, overlay)


def _label_address(container: Container, label: str) -> str:
    """The address that the label of -useIpFromLabel holds, with or without a prefix length; '' for none."""
    text = container.labels.get(label, "") if label else ""
    try:
        return str(ipaddress.ip_address(text.rpartition("/")[0] or text))
    except ValueError:
        return ""
