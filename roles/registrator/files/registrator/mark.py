"""By what our own entries at the agent are recognised. Pure. Runs on the host, too: Python 3.9."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Our mark in a service's meta. Host and engine: either of them recognised makes the service ours, so that a
# host may be renamed and an engine's data wiped. The hash: a changed check or token is a difference, too.
HOST, ENGINE, HASH = "registrator", "registrator-engine", "registrator-hash"
CONTAINER = "registrator-container"  # its name, for people and for what drains a container: a SERVICE_ID does not tell it
CHECKS = ("health", "http", "https", "ttl", "tcp", "grpc")  # names of our checks, and the ends of their ids


@dataclass(frozen=True)
class Owner:
    host: str
    engine: str = ""
    token: str = ""  # digest


def is_ours(entry: dict, owner: Owner) -> bool:
    """Does an agent's entry carry our mark, by host name or by engine id?"""
    meta = entry.get("Meta") or {}
    return meta.get(HOST) == owner.host or (owner.engine != "" and meta.get(ENGINE) == owner.engine)


def is_predecessors(entry: dict, owner: Owner) -> bool:
    """Does it look like what a registrator without our mark left on this host?"""
    shape = rf"{re.escape(owner.host)}:[A-Za-z0-9][A-Za-z0-9_.-]*:[0-9]+(:udp)?"
    return HOST not in (entry.get("Meta") or {}) and bool(re.fullmatch(shape, entry["ID"]))


def stands_for(entry: dict, name: str, address: str) -> bool:
    """Is it nobody's, and just the service a container asks for under this id? So a predecessor's SERVICE_ID is known."""
    return HOST not in (entry.get("Meta") or {}) and (entry["Service"], entry["Address"]) == (name, address)


def is_own_check(check_id: str, service_id: str) -> bool:
    """Is it a check that came with the service: ours, or the one that Consul named (service:<id>, service:<id>:<n>)?"""
    return bool(re.fullmatch(rf"service:{re.escape(service_id)}(:({'|'.join(CHECKS)}|[0-9]+))?", check_id))


def described(entry: dict, name: str = "Service") -> dict[str, object]:
    """What a log line says of an agent's entry, or of a payload, beside its id."""
    return {"name": entry.get(name) or "", "address": entry.get("Address") or "", "port": entry.get("Port") or 0}
