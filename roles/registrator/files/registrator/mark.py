"""By what our own entries at the agent are recognised. Pure. Runs on the host, too: Python 3.9."""

import re
from dataclasses import dataclass

# Our mark in a service's meta. Host and engine: either of them recognised makes the service ours, so that a
# host may be renamed and an engine's data wiped. The hash: a changed check or token is a difference, too.
HOST, ENGINE, HASH = "registrator", "registrator-engine", "registrator-hash"


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
