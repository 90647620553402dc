"""The command line of the original: Go's flags (-flag value, -flag=value, --flag), then the URI."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from .agent import DEFAULT_URI, target

SOCKETS = ("/var/run/docker.sock", "/tmp/docker.sock")  # the second is where users of the original mount it


class UsageError(Exception):
    """The command line cannot be used; the message names the valid form."""


@dataclass(frozen=True)
class Options:
    ip: str = ""  # address of published services; empty: the agent's own
    internal: bool = False  # register container addresses and ports instead of published ones
    network: str = ""  # with internal: only addresses in this network, other containers as published
    explicit: bool = False  # only containers that carry SERVICE_NAME
    cleanup: bool = False  # also remove entries that an earlier registrator without our marker left
    resync: int = 0  # seconds between comparisons when nothing happens; 0: never
    deregister: str = "always"  # or on-success: a container that failed keeps its entry, critical
    retry_attempts: int = 0  # failures in a row before giving up; -1: never
    retry_interval: int = 2000  # milliseconds
    tags: str = ""  # added to every service
    ttl: int = 0  # accepted, without effect
    ttl_refresh: int = 0  # accepted, without effect
    use_ip_from_label: str = ""  # label that holds the address instead
    image_labels: bool = False  # labels and environment that come with an image apply, too
    labels_only: bool = False  # the environment of containers does not apply
    allowed: str = ""  # only services of these names, comma separated; a final * is a prefix
    reserved: str = ""  # names of services, comma separated, that only other hosts may offer
    uri: str = DEFAULT_URI


SPELLED = {"use_ip_from_label": "useIpFromLabel"}  # as the original has it; all others with hyphens
FLAGS = {SPELLED.get(field.name, field.name.replace("_", "-")): field for field in fields(Options) if field.name != "uri"}


def parse(arguments: list[str]) -> Options:
    """Read the command line.

    :param arguments: without the program's name
    :raises UsageError: unknown flag, wrong value, or a URI that is no agent of Consul
    """
    values: dict[str, object] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        flag, equals, value = rest.pop(0).partition("=")
        if flag == "--":
            break
        field = FLAGS.get(flag.removeprefix("-").removeprefix("-"))
        if field is None:
            raise UsageError(f"unknown flag {flag}; known: {', '.join('-' + name for name in FLAGS)}")
        if not equals and field.type is bool:
            value = "true"
        elif not equals:
            if not rest:
                raise UsageError(f"{flag} needs a value")
            value = rest.pop(0)
        values[field.name] = _convert(flag, field.type, value)
    if len(rest) > 1:
        raise UsageError(f"one URI expected after the flags, got {' '.join(rest)!r}; flags come before it")
    if rest:
        values["uri"] = rest[0]
    return _checked(Options(**values))


def _convert(flag: str, kind: type, value: str) -> object:
    if kind is bool:
        known = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
        if value.lower() not in known:
            raise UsageError(f"{flag}={value}: true or false expected")
        return known[value.lower()]
    try:
        return kind(value)
    except ValueError:
        raise UsageError(f"{flag} {value}: a whole number expected") from None


def _checked(options: Options) -> Options:
    if options.deregister not in ("always", "on-success"):
        raise UsageError(f"-deregister {options.deregister}: always or on-success expected")
    if options.network and not options.internal:
        raise UsageError(f"-network {options.network}: only together with -internal")
    if options.retry_interval <= 0:
        raise UsageError(f"-retry-interval {options.retry_interval}: more than 0 milliseconds expected")
    if options.resync < 0:
        raise UsageError(f"-resync {options.resync}: 0 or more seconds expected")
    if "{{" in options.tags:
        raise UsageError(f"-tags {options.tags}: templates are not supported, plain tags are")
    try:
        target(options.uri)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return options


def dockerd_address(environment: Mapping[str, str], exists: Callable[[str], bool]) -> str:
    """dockerd's socket: the one of DOCKER_HOST, else the first one that exists.

    :raises UsageError: DOCKER_HOST is not a unix socket
    """
    given = environment.get("DOCKER_HOST", "")
    if not given:
        return "unix://" + next(filter(exists, SOCKETS), SOCKETS[0])
    if not given.startswith("unix://"):
        raise UsageError(f"DOCKER_HOST is {given}: only the socket of this host's dockerd, such as unix://{SOCKETS[0]}")
    return given
