"""What the catalog has of a host, compared with what its containers and its agent's own files stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CONSUL = "consul"  # the servers' own service


def entry(found: Mapping) -> dict:
    """A service as the agent or the catalog answers it, in short."""
    return {"id": found["ID"], "name": found["Service"], "address": found.get("Address") or "", "port": found.get("Port") or 0}


def differences(
    catalog: Iterable[Mapping], declared: Iterable[Mapping], wanted: Iterable[Mapping], kept: Iterable[str] = ()
) -> dict[str, list[str]]:
    """Entries that nothing stands for, entries that differ from what stands for them, and what has no entry.

    :param catalog: of the host's node: id, name, address and port, as `entry` gives them
    :param declared: services of its agent that no program has registered, likewise
    :param wanted: services of its containers, likewise, each with its container
    :param kept: ids of services that stay when their container has failed
    :returns: unknown, differing, missing: texts
    """
    here = {one["id"]: one for one in catalog if one["id"] != CONSUL}
    stands = {one["id"]: one for one in [*declared, *wanted] if one["id"] != CONSUL}
    fields = ("name", "address", "port")
    return {
        "unknown": [_shown(here[i]) for i in sorted(here.keys() - stands.keys() - set(kept))],
        "differing": [
            f"{_shown(here[i])}, not {_shown(stands[i])}"
            for i in sorted(here.keys() & stands.keys())
            if any(here[i][field] != stands[i][field] for field in fields)
        ],
        "missing": [
            _shown(stands[i]) + (f" of container {stands[i]['container']}" if stands[i].get("container") else "")
            for i in sorted(stands.keys() - here.keys())
        ],
    }


def _shown(one: Mapping) -> str:
    place = f"{one['address']}:{one['port']}" if one["address"] else f"port {one['port']}"
    return f"{one['name']} ({one['id']}) at {place}"
