"""A swarm as its API tells it, in the few words that the modules use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def swarm(info: Mapping, nodes: Iterable[Mapping]) -> dict:
    """The swarm as one dockerd sees it.

    :param info: its /info
    :param nodes: its /nodes; empty where it is no manager
    """
    told = info.get("Swarm") or {}
    return {
        "state": told.get("LocalNodeState") or "inactive",
        "error": told.get("Error") or "",
        "node": told.get("NodeID") or "",
        "address": told.get("NodeAddr") or "",
        "manager": bool(told.get("ControlAvailable")),
        "cluster": (told.get("Cluster") or {}).get("ID") or "",
        "managers": sorted(manager["Addr"].rsplit(":", 1)[0] for manager in told.get("RemoteManagers") or []),
        "nodes": [node(one) for one in nodes],
    }


def node(told: Mapping) -> dict:
    """One entry of /nodes. A manager's address is taken from its part: the leader does not know its own otherwise."""
    as_manager = (told.get("ManagerStatus") or {}).get("Addr", "").rsplit(":", 1)[0]
    return {
        "id": told["ID"],
        "host": (told.get("Description") or {}).get("Hostname", ""),
        "address": as_manager or (told.get("Status") or {}).get("Addr", ""),
        "manager": told["Spec"]["Role"] == "manager",
        "ready": (told.get("Status") or {}).get("State") == "ready",
    }
