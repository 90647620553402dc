"""The marker of our own entries at the agent. Pure. Runs on the host, too: Python 3.9."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Our marker in a service's meta. Host and dockerd's id: either of them identifies the service as ours, so that a host may be
# renamed and dockerd's data wiped. The hash: a changed check or token is a difference, too.
HOST, DOCKERD, HASH = "registrator", "registrator-engine", "registrator-hash"
PROTOCOL = "registrator-protocol"  # udp, of a UDP port: neither a SERVICE_ID nor tags show it for sure. Not of others
CONTAINER = "registrator-container"  # its name, for people and for the drain of a container: a SERVICE_ID does not show it
CHECKS = ("health", "http", "https", "ttl", "tcp", "grpc")  # names of our checks, and the ends of their ids


@dataclass(frozen=True)
class Owner:
    host: str
    dockerd: str = ""
    token: str = ""  # digest


def mark(owner: Owner, container: str, udp: bool = False) -> dict[str, str]:
    """Our marker for the meta of a container's service, without the hash."""
    more = {CONTAINER: container} if container else {}
    return {HOST: owner.host, DOCKERD: owner.dockerd, **more, **({PROTOCOL: "udp"} if udp else {})}


def is_ours(entry: dict, owner: Owner) -> bool:
    """Does an agent's entry carry our marker, by host name or by dockerd's id?"""
    meta = entry.get("Meta") or {}
    return meta.get(HOST) == owner.host or (owner.dockerd != "" and meta.get(DOCKERD) == owner.dockerd)


def is_predecessors(entry: dict, owner: Owner) -> bool:
    """Has it the shape of an entry that a registrator without our marker left on this host?"""
    shape = rf"{re.escape(owner.host)}:[A-Za-z0-9][A-Za-z0-9_.-]*:[0-9]+(:udp)?"
    return HOST not in (entry.get("Meta") or {}) and bool(re.fullmatch(shape, entry["ID"]))


def stands_for(entry: dict, name: str, address: str) -> bool:
    """Is it without a marker, and the very service that a container has under this id? So a predecessor's SERVICE_ID is known."""
    return HOST not in (entry.get("Meta") or {}) and (entry["Service"], entry["Address"]) == (name, address)


def is_own_check(check_id: str, service_id: str) -> bool:
    """Is it a check that came with the service: ours, or the one that Consul named (service:<id>, service:<id>:<n>)?"""
    return bool(re.fullmatch(rf"service:{re.escape(service_id)}(:({'|'.join(CHECKS)}|[0-9]+))?", check_id))


def described(entry: dict, name: str = "Service") -> dict[str, object]:
    """Fields of a log line about an agent's entry, or a payload, beside its id."""
    return {"name": entry.get(name) or "", "address": entry.get("Address") or "", "port": entry.get("Port") or 0}
