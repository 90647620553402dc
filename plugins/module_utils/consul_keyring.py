"""The rotation of Consul's gossip key, as a pure function from the cluster's state to the next step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Status of a member, as in /v1/agent/members (serf.MemberStatus).
ALIVE, LEFT, FAILED = 1, 3, 4


@dataclass(frozen=True)
class Step:
    """The next step.

    :ivar kind: install, use or remove (a key), wait, done or refuse
    :ivar key: the key to install, use or remove, base64; '' for the others
    :ivar reason: why to wait or to refuse, without any key
    """

    kind: str
    key: str = ""
    reason: str = ""


def next_step(
    rings: Iterable[Mapping], members: Iterable[Mapping], current: str, new: str = "", expected: Iterable[str] = ()
) -> Step:
    """The next step of a rotation, whatever an earlier run has done of it.

    A key is used only when every member has it, and removed only when every member uses the new one. A member that is
    away would come back with the old key alone and could not join, so nothing is done while one is.

    :param rings: /v1/operator/keyring, a list of dicts: Keys and PrimaryKeys (key to number of members), NumNodes,
        Messages, Error, WAN, Segment
    :param members: /v1/agent/members, a list of dicts with Name and Status
    :param current: the controller's gossip key
    :param new: the key to rotate to; '' only checks whether the key can be rotated (then `done` means yes)
    :param expected: names of the nodes that must be members and alive
    """
    rings, status = list(rings), {member["Name"]: member["Status"] for member in members}
    if problem := _problem(rings, status, current, new, expected):
        return Step("refuse", reason=problem)
    alive = sum(1 for value in status.values() if value == ALIVE)
    for ring in rings:
        # The WAN has the servers only, of every datacenter.
        if not ring.get("WAN") and not ring.get("Segment") and ring["NumNodes"] != alive:
            return Step("wait", reason=f"{_name(ring)} has {ring['NumNodes']} members, of whom {alive} are alive")
    if not new:
        return Step("done")
    if any(_count(ring, "Keys", new) < ring["NumNodes"] for ring in rings):
        return Step("install", new)
    if any(_count(ring, "PrimaryKeys", new) < ring["NumNodes"] for ring in rings):
        return Step("use", new)
    old = sorted({key for ring in rings for key in ring["Keys"]} - {new})
    return Step("remove", old[0]) if old else Step("done")


def _problem(rings: list[Mapping], status: Mapping[str, int], current: str, new: str, expected: Iterable[str]) -> str:
    """Why nothing may be done, '' when something may."""
    if not rings or any(not ring.get("Keys") for ring in rings):
        return "the cluster has no gossip keys: it does not encrypt its gossip"
    for ring in rings:
        if ring.get("Error") or ring.get("Messages"):
            messages = "; ".join(f"{node}: {text}" for node, text in sorted((ring.get("Messages") or {}).items()))
            return f"{_name(ring)} reports {ring.get('Error') or 'a problem'} ({messages or 'no details'})"
    away = sorted(name for name, value in status.items() if value not in (ALIVE, LEFT))
    away += sorted(name for name in expected if name not in status or status[name] == LEFT)
    if away:
        return (
            f"{', '.join(away)} is not alive in the cluster and would not know the new key when it comes back. Bring it"
            " back, or take it out of the cluster (playbooks/remove_node.yml) and of the inventory"
        )
    used = {key for ring in rings for key in ring["PrimaryKeys"]}
    if used - {current, new}:
        return "the cluster uses another gossip key than the controller's secrets hold: put these back from their backup"
    return ""


def _count(ring: Mapping, kind: str, key: str) -> int:
    return (ring.get(kind) or {}).get(key, 0)


def _name(ring: Mapping) -> str:
    if ring.get("WAN"):
        return "the WAN ring"
    return f"the ring of segment {ring['Segment']}" if ring.get("Segment") else "the LAN ring"
