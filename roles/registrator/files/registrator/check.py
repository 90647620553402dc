"""The one check of a service: the one of its SERVICE_CHECK_*, or the state of its container in dockerd. Pure. Python 3.9."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from .inspection import Container

VISIBLE = re.compile(r"[!-~]+")
METHODS = ("GET", "HEAD")  # of others an application may not be asked by the agent in a container's name
OUTPUT = 128  # bytes of an answer that the catalog shows: enough for a reason, not for a page
DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ns|us|µs|ms|s|m|h))+")
SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
SHORTEST, LONGEST = 1e-9, 2_500_000 * 3600  # seconds; what fits into Consul's int64 of nanoseconds

HEALTH_TTL = "8760h"  # a shorter one would die with the registrator
HEALTH_NOTES = "state of the container in dockerd"
NETWORK_CHECKS = ("http", "https", "tcp", "grpc")
COMMAND_CHECKS = ("cmd", "script")
CHECK_KINDS = ("http", "https", "ttl", "tcp", "grpc")  # the first one set is taken
CHECK_SETTINGS = {
    *CHECK_KINDS, *COMMAND_CHECKS, "interval", "timeout", "initial_status", "deregister_after",
    "http_method", "grpc_use_tls", "tls_skip_verify",
}  # fmt: skip
DEFAULT_INTERVAL = "5s"
DEFAULT_TIMEOUT = "5s"  # Consul's own is 10 s: with it, an application that hangs counts as healthy for 15 s


class Endpoint(NamedTuple):
    address: str
    port: int
    overlay: bool = False  # the host cannot reach it
    udp: bool = False


class Refusal(Exception):
    """Reason why a setting of a container is rejected."""


def check(
    container: Container, endpoint: Endpoint, attributes: dict[str, str], skip: Callable[[str, str], None]
) -> tuple[dict, tuple[str, str] | None]:
    """The check as Consul takes it, and the status and output that we write to it (None: Consul runs the check).

    :param attributes: SERVICE_* of one port, keys in lower case
    :param skip: called with each rejected setting and the reason
    """
    settings = {key.removeprefix("check_"): value for key, value in attributes.items() if key.startswith("check_")}
    settings = {key: value for key, value in settings.items() if value}
    for key in sorted(set(settings) - CHECK_SETTINGS):
        skip(f"check_{key}", "unknown")
    for key in COMMAND_CHECKS:
        if key in settings:
            skip(f"check_{key}", "would run commands on the host: use a HEALTHCHECK, whose result is used")
    kind = next((kind for kind in CHECK_KINDS if kind in settings), None)
    if kind:
        try:
            return _explicit_check(kind, settings, endpoint, skip), None
        except Refusal as refusal:
            skip(f"check_{kind}", f"{refusal}: replaced by the state in dockerd")
    return {"Name": "health", "TTL": HEALTH_TTL, "Notes": HEALTH_NOTES}, health(container)


def _explicit_check(kind: str, settings: dict[str, str], endpoint: Endpoint, skip) -> dict:
    if kind in NETWORK_CHECKS and endpoint.overlay:
        raise Refusal("an address in an overlay network cannot be reached from the host")
    if kind in NETWORK_CHECKS and endpoint.udp:  # the same number of TCP may be another service's
        raise Refusal("it asks by TCP, and this is a UDP port")
    if kind in ("http", "https") and not VISIBLE.fullmatch(settings[kind]):
        raise Refusal("blanks or unprintable characters")

    def duration(key: str, default: str = "") -> str:
        value = settings.get(key, "")
        if value and not SHORTEST <= seconds(value) <= LONGEST:
            skip(f"check_{key}", f"{value!r} is not a duration such as 10s")
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
        check["Timeout"] = duration("timeout", DEFAULT_TIMEOUT)
    if kind in ("http", "https"):
        check["HTTP"] = f"{kind}://{target}/{settings[kind].removeprefix('/')}"
        # The agent follows redirects otherwise, to wherever the container sends it, such as a service on the host's loopback.
        check |= {"DisableRedirects": True, "OutputMaxSize": OUTPUT}
        method = settings.get("http_method", "")
        if method.upper() in METHODS:
            check["Method"] = method.upper()
        elif method:
            skip("check_http_method", f"{method!r} is none of {', '.join(METHODS)}")
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
        skip("check_initial_status", f"{status!r} is none of passing, warning, critical")
    return check


def health(container: Container) -> tuple[str, str]:
    """Status and output of the `health` check: `passing` or `critical`, and why (empty when passing)."""
    if container.paused:
        return "critical", "paused"
    return ("passing", "") if container.health in ("none", "healthy") else ("critical", container.health)


def seconds(text: str) -> float:
    """A duration as Go writes it (1m30s); 0 when it is none."""
    if not DURATION.fullmatch(text):
        return 0
    return sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([0-9.]+)([a-zµ]+)", text))
