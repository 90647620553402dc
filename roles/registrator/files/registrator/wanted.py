"""From the engine's containers and the options to the services wanted. Pure: no clock, no network."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .options import Options

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # one DNS label
ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,254}")
META_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
META_VALUE_BYTES = 512
META_PAIRS = 64 - 3  # Consul's limit less our own marker
RESERVED_NAMES = {"consul"}  # Consul's own service
RESERVED_KEYS = ("consul-", "registrator")
VISIBLE = re.compile(r"[!-~]+")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ns|us|µs|ms|s|m|h))+")

HEALTH_TTL = "8760h"  # a shorter one would die with the registrator
NETWORK_CHECKS = ("http", "https", "tcp", "grpc")
COMMAND_CHECKS = ("cmd", "script")
CHECK_KINDS = ("http", "https", "ttl", "tcp", "grpc")  # the first one set is taken
CHECK_SETTINGS = {
    *CHECK_KINDS, *COMMAND_CHECKS, "interval", "timeout", "initial_status", "deregister_after",
    "http_method", "grpc_use_tls", "tls_skip_verify",
}  # fmt: skip
DEFAULT_INTERVAL = "5s"


@dataclass(frozen=True)
class Service:
    id: str
    name: str
    address: str
    port: int
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)
    check: dict = field(default_factory=dict)  # as Consul takes it, without id and status
    health: tuple[str, str] | None = None  # status and output we write; None: the check finds out itself


class Skipped(NamedTuple):
    """Something a container asks for and does not get."""

    container: str
    item: str
    reason: str


@dataclass(frozen=True)
class Wanted:
    services: list[Service]
    skipped: list[Skipped]
    kept: dict[str, str]  # ids of failed containers' services that stay, and why they are critical


class Endpoint(NamedTuple):
    address: str
    port: int
    overlay: bool = False  # the host cannot reach it


class Refusal(Exception):
    """Why a port gets no service."""


def wanted(
    containers: Iterable[dict],
    options: Options,
    host: str,
    overlays: frozenset[str] = frozenset(),
    leaving: frozenset[str] = frozenset(),
) -> Wanted:
    """The services that the engine's containers ask for.

    :param containers: inspections as the engine gives them (GET /containers/{id}/json), in any order
    :param options: the command line
    :param host: host name of the engine; first part of default service ids
    :param overlays: names of networks whose addresses the host cannot reach
    :param leaving: ids of containers that were told to stop; they still run but get no service
    :returns: services sorted by id, what was left out with reasons, and failed containers' entries to keep

    Labels, names and ids are those of the original (gliderlabs/registrator, docs/user/services.md); what Consul
    or DNS (RFC 1035, 2.3.1) would refuse is left out with its reason.
    """
    by_id = {container["Id"]: container for container in containers}
    candidates: list[tuple[bool, str, Service]] = []
    skipped: list[Skipped] = []
    kept: dict[str, str] = {}
    for container in sorted(by_id.values(), key=_name):
        if container["Id"] in leaving:
            continue
        state = container["State"]
        if state["Status"] in ("running", "paused"):
            owner = _network_owner(container, by_id)
            for default_id, service in _services(container, owner, options, host, overlays, skipped):
                candidates.append((default_id, _name(container), service))
        elif options.deregister == "on-success" and _failed(state):
            for port in container["Config"].get("ExposedPorts") or {}:
                service_id = _id(container, port, host, _attributes(container, port)[0])
                kept[service_id] = f"exited ({state['ExitCode']})"
    services = _unique(candidates, skipped)
    return Wanted(services, sorted(set(skipped)), kept)


# --- what a container says about itself ---


def _name(container: dict) -> str:
    return container["Name"].removeprefix("/")


def _failed(state: dict) -> bool:
    code = state.get("ExitCode", 0)
    return state["Status"] in ("exited", "dead") and code != 0 and not code & 128


def _attributes(container: dict, port: str) -> tuple[dict[str, str], set[str]]:
    """SERVICE_* of environment and labels (labels win) for one port, and which keys were set for it alone."""
    config = container["Config"]
    pairs = dict(pair.split("=", 1) for pair in config.get("Env") or [] if "=" in pair)
    pairs.update(config.get("Labels") or {})
    number = port.partition("/")[0]
    general: dict[str, str] = {}
    specific: dict[str, str] = {}
    for key, value in sorted(pairs.items()):
        if not key.startswith("SERVICE_"):
            continue
        key = key.removeprefix("SERVICE_").lower()
        first, _, rest = key.partition("_")
        if rest and first.isdecimal():
            if first == number:
                specific[rest] = value
        else:
            general[key] = value
    return general | specific, {key for key, value in specific.items() if value}


def _id(container: dict, port: str, host: str, attributes: dict[str, str]) -> str:
    number, _, protocol = port.partition("/")
    default = f"{host}:{_name(container)}:{number}" + (":udp" if protocol == "udp" else "")
    return attributes.get("id") or default


def health(state: dict) -> tuple[str, str]:
    """Status and output of the `health` check.

    :param state: `State` of the container's inspection
    :returns: `passing` or `critical`, and why (empty when passing)
    """
    if state.get("Paused"):
        return "critical", "paused"
    checked = (state.get("Health") or {}).get("Status") or "none"
    return ("passing", "") if checked in ("none", "healthy") else ("critical", checked)


# --- one container ---


def _services(container, owner, options, host, overlays, skipped) -> Iterator[tuple[bool, Service]]:
    """The services of a container, each with whether its id is the default one."""
    endpoints: dict[str, Endpoint] = {}
    for port in _ports(container, owner):
        try:
            endpoints[port] = _endpoint(port, container, owner, options, overlays)
        except Refusal as refusal:
            if not _attributes(container, port)[0].get("ignore"):
                skipped.append(Skipped(_name(container), f"port {port}", str(refusal)))
    for port, endpoint in endpoints.items():
        attributes, specific = _attributes(container, port)
        if attributes.get("ignore") or (options.explicit and not attributes.get("name")):
            continue
        suffix = port.partition("/")[0] if len(endpoints) > 1 and "name" not in specific else ""
        try:
            service = _service(container, port, endpoint, attributes, suffix, options, host, skipped)
        except Refusal as refusal:
            skipped.append(Skipped(_name(container), f"port {port}", str(refusal)))
        else:
            yield not attributes.get("id"), service


def _service(container, port, endpoint, attributes, suffix, options, host, skipped) -> Service:
    name = attributes.get("name") or _image_name(container["Config"]["Image"])
    name = f"{name}-{suffix}" if suffix else name
    if not NAME.fullmatch(name):
        raise Refusal(f"{name!r} cannot be a DNS name (letters, digits, hyphens, at most 63): set SERVICE_NAME")
    if name.lower() in RESERVED_NAMES:
        raise Refusal(f"the name {name!r} belongs to Consul itself: set SERVICE_NAME")
    service_id = _id(container, port, host, attributes)
    if not ID.fullmatch(service_id):
        raise Refusal(f"{service_id!r} cannot be a service id")

    def leave_out(item: str, reason: str) -> None:
        skipped.append(Skipped(_name(container), f"{item} of port {port}", reason))

    tags = _split(attributes.get("tags", "")) + _split(options.tags)
    tags += ["udp"] if port.endswith("/udp") else []
    check, status = _check(container["State"], endpoint, attributes, leave_out)
    return Service(
        id=service_id,
        name=name,
        address=endpoint.address,
        port=endpoint.port,
        tags=tuple(dict.fromkeys(_good_tags(tags, leave_out))),
        meta=_meta(attributes, leave_out),
        check=check,
        health=status,
    )


def _image_name(image: str) -> str:
    """registry:5000/team/web:1.0@sha256:… → web"""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def _split(text: str) -> list[str]:
    """Comma separated, where `\\,` is a comma that belongs to the text."""
    parts = re.split(r"(?<!\\),", text)
    return [part.replace("\\,", ",").strip() for part in parts if part.strip()]


def _good_tags(tags: list[str], leave_out) -> Iterator[str]:
    for tag in tags:
        if UNPRINTABLE.search(tag):
            leave_out(f"tag {tag!r}", "control characters")
        else:
            yield tag


def _meta(attributes: dict[str, str], leave_out) -> dict[str, str]:
    """Everything that means nothing to us is the service's meta, as far as Consul takes it."""
    meta: dict[str, str] = {}
    for key, value in sorted(attributes.items()):
        if key in ("name", "tags", "id", "ignore") or key.startswith("check_"):
            continue
        if not META_KEY.fullmatch(key):
            leave_out(f"meta {key!r}", "only letters, digits, _ and - are allowed, at most 128")
        elif key.startswith(RESERVED_KEYS):
            leave_out(f"meta {key!r}", "reserved")
        elif len(value.encode(errors="replace")) > META_VALUE_BYTES:
            leave_out(f"meta {key!r}", f"longer than {META_VALUE_BYTES} bytes")
        elif len(meta) == META_PAIRS:
            leave_out(f"meta {key!r}", f"more than {META_PAIRS} keys")
        else:
            meta[key] = value
    return meta


def _unique(candidates: list[tuple[bool, str, Service]], skipped: list[Skipped]) -> list[Service]:
    """Of two services with one id the one whose id is the default keeps it, then the lower container name."""
    taken: dict[str, tuple[str, Service]] = {}
    for _, container, service in sorted(candidates, key=lambda c: (not c[0], c[1], c[2].port, c[2].name)):
        if service.id in taken:
            reason = f"the id {service.id!r} is taken by container {taken[service.id][0]}"
            skipped.append(Skipped(container, f"service {service.name}", reason))
        else:
            taken[service.id] = (container, service)
    return [taken[service_id][1] for service_id in sorted(taken)]


# --- where a port can be reached ---


def _network_owner(container: dict, by_id: dict[str, dict]) -> dict | None:
    """The container whose network this one uses: itself, unless it joined another's."""
    mode, _, other = (container["HostConfig"].get("NetworkMode") or "").partition(":")
    return by_id.get(other) if mode == "container" else container


def _ports(container: dict, owner: dict | None) -> list[str]:
    ports = set(container["Config"].get("ExposedPorts") or {})
    if owner is container:
        ports |= set(container["NetworkSettings"].get("Ports") or {})
    return sorted(ports, key=lambda port: (int(port.partition("/")[0]), port))


def _endpoint(port, container, owner, options, overlays) -> Endpoint:
    number, _, protocol = port.partition("/")
    if protocol not in ("tcp", "udp"):
        raise Refusal(f"{protocol} is not supported")
    if owner is None:
        raise Refusal("the container whose network it uses does not run")
    if owner["HostConfig"].get("NetworkMode") == "host":
        return Endpoint(options.ip, int(number))
    if options.internal and not options.network:
        network, address = _own_address(owner, overlays)
        return Endpoint(address, int(number), overlay=network in overlays)
    if options.internal and (address := _networks(owner).get(options.network)):
        return Endpoint(address, int(number), overlay=options.network in overlays)
    bindings = (owner["NetworkSettings"].get("Ports") or {}).get(port) or []
    usable = sorted(filter(None, (_published(binding, options) for binding in bindings)))
    if usable:
        return usable[0][1]
    elsewhere = f"not in the network {options.network}, and " if options.network else ""
    raise Refusal(elsewhere + ("published on a loopback address only" if bindings else "not published on the host"))


def _published(binding: dict, options: Options) -> tuple[int, Endpoint] | None:
    """What one binding offers, with a rank: every IPv4 address, every IPv6 address, one address."""
    address, port = binding.get("HostIp") or "0.0.0.0", int(binding.get("HostPort") or 0)
    if address.startswith("127.") or address == "::1" or not port:
        return None
    if address in ("0.0.0.0", "::"):
        return (0 if address == "0.0.0.0" else 1), Endpoint(options.ip, port)
    return 2, Endpoint(address, port)


def _own_address(container: dict, overlays: frozenset[str]) -> tuple[str, str]:
    """Network and address of a container on several: an overlay first, then the one it was started on."""
    mode = container["HostConfig"].get("NetworkMode") or "default"
    first = "bridge" if mode == "default" else mode
    found = _networks(container)
    if not found:
        raise Refusal("the container has no address")
    return min(found.items(), key=lambda item: (item[0] not in overlays, item[0] != first, item[0]))


def _networks(container: dict) -> dict[str, str]:
    """The container's address in each network that has given it one."""
    networks = container["NetworkSettings"].get("Networks") or {}
    return {name: network["IPAddress"] for name, network in networks.items() if network.get("IPAddress")}


# --- checks ---


def _check(state, endpoint, attributes, leave_out) -> tuple[dict, tuple[str, str] | None]:
    """The one check of a service, and the status that we write to it."""
    settings = {key.removeprefix("check_"): value for key, value in attributes.items() if key.startswith("check_")}
    settings = {key: value for key, value in settings.items() if value}
    for key in sorted(set(settings) - CHECK_SETTINGS):
        leave_out(f"check_{key}", "unknown")
    for key in COMMAND_CHECKS:
        if key in settings:
            leave_out(f"check_{key}", "would run commands on the host: use a HEALTHCHECK, whose result is followed")
    kind = next((kind for kind in CHECK_KINDS if kind in settings), None)
    if kind:
        try:
            return _explicit_check(kind, settings, endpoint, leave_out), None
        except Refusal as refusal:
            leave_out(f"check_{kind}", f"{refusal}: replaced by the engine's state")
    return {"Name": "health", "TTL": HEALTH_TTL, "Notes": "state of the container in the engine"}, health(state)


def _explicit_check(kind: str, settings: dict[str, str], endpoint: Endpoint, leave_out) -> dict:
    if kind in NETWORK_CHECKS and endpoint.overlay:
        raise Refusal("an address in an overlay network cannot be reached from the host")
    if not VISIBLE.fullmatch(settings[kind]):
        raise Refusal("blanks or unprintable characters")

    def duration(key: str, default: str = "") -> str:
        value = settings.get(key, "")
        if value and not (DURATION.fullmatch(value) and re.search("[1-9]", value)):
            leave_out(f"check_{key}", f"{value!r} is not a duration such as 10s")
            return default
        return value or default

    address = endpoint.address or "127.0.0.1"
    target = f"[{address}]:{endpoint.port}" if ":" in address else f"{address}:{endpoint.port}"
    check: dict = {"Name": kind}
    if kind == "ttl":
        check["TTL"] = duration("ttl")
        if not check["TTL"]:
            raise Refusal("not a duration")
    else:
        check["Interval"] = duration("interval", DEFAULT_INTERVAL)
        if timeout := duration("timeout"):
            check["Timeout"] = timeout
    if kind in ("http", "https"):
        check["HTTP"] = f"{kind}://{target}/{settings[kind].removeprefix('/')}"
        if method := settings.get("http_method"):
            check["Method"] = method
    elif kind in ("tcp", "grpc"):
        check[kind.upper()] = target
    if kind == "grpc" and settings.get("grpc_use_tls"):
        check["GRPCUseTLS"] = True
    if kind in ("https", "grpc") and settings.get("tls_skip_verify"):
        check["TLSSkipVerify"] = True
    if after := duration("deregister_after"):
        check["DeregisterCriticalServiceAfter"] = after
    status = settings.get("initial_status", "")
    if status in ("passing", "warning", "critical"):
        check["Status"] = status
    elif status:
        leave_out("check_initial_status", f"{status!r} is none of passing, warning, critical")
    return check
