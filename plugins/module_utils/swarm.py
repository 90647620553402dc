"""A swarm of the API, as the few facts that the modules use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def swarm(info: Mapping, nodes: Iterable[Mapping]) -> dict:
    """The swarm as one dockerd sees it.

    :param info: its /info
    :param nodes: its /nodes; empty where it is no manager
    """
    entry = info.get("Swarm") or {}
    return {
        "state": entry.get("LocalNodeState") or "inactive",
        "error": entry.get("Error") or "",
        "node": entry.get("NodeID") or "",
        "address": entry.get("NodeAddr") or "",
        "manager": bool(entry.get("ControlAvailable")),
        "cluster": (entry.get("Cluster") or {}).get("ID") or "",
        "managers": sorted(manager["Addr"].rsplit(":", 1)[0] for manager in entry.get("RemoteManagers") or []),
        "nodes": [node(one) for one in nodes],
    }


def node(entry: Mapping) -> dict:
    """One entry of /nodes. A manager's address is taken from its part: the leader does not know its own otherwise."""
    as_manager = (entry.get("ManagerStatus") or {}).get("Addr", "").rsplit(":", 1)[0]
    return {
        "id": entry["ID"],
        "host": (entry.get("Description") or {}).get("Hostname", ""),
        "address": as_manager or (entry.get("Status") or {}).get("Addr", ""),
        "manager": entry["Spec"]["Role"] == "manager",
        "ready": (entry.get("Status") or {}).get("State") == "ready",
    }
