"""What the catalog has of a host, compared with what its containers and its agent's own files stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CONSUL = "consul"  # the servers' own service
HASH = "registrator-hash"  # a meta key of the registrator for itself: of a registration and its token, which serve nothing
PLACE = ("name", "address", "port")


def entry(found: Mapping) -> dict:
    """A service as the agent or the catalog answers it, as far as requests are led by it."""
    return {
        "id": found["ID"],
        "name": found["Service"],
        "address": found.get("Address") or "",
        "port": found.get("Port") or 0,
        "tags": found.get("Tags") or [],
        "meta": found.get("Meta") or {},
        "weight": (found.get("Weights") or {}).get("Passing", 1),
    }


def differences(
    catalog: Iterable[Mapping], declared: Iterable[Mapping], wanted: Iterable[Mapping], kept: Iterable[str] = ()
) -> dict[str, list[str]]:
    """Entries that nothing stands for, entries that differ from what stands for them, and what has no entry.

    :param catalog: of the host's node, as `entry` gives them
    :param declared: services of its agent that no program has registered, likewise
    :param wanted: services of its containers, each with its container, id, name, address and port; what else of an entry
        is not given is not compared
    :param kept: ids of services that stay when their container has failed
    :returns: unknown, differing, missing: texts; none has a value of meta, where people put what others need not see
    """
    here = {one["id"]: one for one in catalog if one["id"] != CONSUL}
    stands = {one["id"]: one for one in [*declared, *wanted] if one["id"] != CONSUL}
    both = ((here[i], stands[i]) for i in sorted(here.keys() & stands.keys()))
    return {
        "unknown": [_shown(here[i]) for i in sorted(here.keys() - stands.keys() - set(kept))],
        "differing": [f"{_shown(one)}{difference}" for one, other in both if (difference := _difference(one, other))],
        "missing": [
            f"{_shown(stands[i])} of {_origin(stands[i])}"
            for i in sorted(stands.keys() - here.keys())
        ],
    }


def _origin(one: Mapping) -> str:
    """What stands for an entry. An agent logs only why it may not register what its files declare."""
    if one.get("container"):
        return f"container {one['container']}"
    return "the agent's configuration; consul_declared_services lists what each host may declare"


def _difference(one: Mapping, other: Mapping) -> str:
    """What an entry has that what stands for it has not; '' for nothing."""
    found = ""
    if any(one[field] != other[field] for field in PLACE):
        found += f", not {_shown(other)}"
    if "tags" in other and list(one["tags"]) != list(other["tags"]):
        found += f", with {_tags(one)}, not {_tags(other)}"
    if "meta" in other and (keys := _keys(one["meta"], other["meta"])):
        found += f", with other meta: {', '.join(keys)}"
    if "weight" in other and one["weight"] != other["weight"]:
        found += f", with weight {one['weight']}, not {other['weight']}"
    return found


def _keys(one: Mapping, other: Mapping) -> list[str]:
    """Keys of meta that two entries do not have in common, or with another value."""
    return sorted(key for key in one.keys() | other.keys() if key != HASH and one.get(key) != other.get(key))


def _tags(one: Mapping) -> str:
    return f"tags {','.join(one['tags'])}" if one["tags"] else "no tags"


def _shown(one: Mapping) -> str:
    place = f"{one['address']}:{one['port']}" if one["address"] else f"port {one['port']}"
    return f"{one['name']} ({one['id']}) at {place}"
