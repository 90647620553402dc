"""The balancer of a node, as its sync program reports it."""

import json

STATE = "/var/lib/discovery-balancer"


def status(node) -> dict:
    """The status of the last sync."""
    return json.loads(node.run(f"cat {STATE}/status.json"))


def skipped(node) -> dict[str, str]:
    """Services that the balancer skips, with the reason."""
    return {entry["name"]: entry["reason"] for entry in status(node)["skipped"]}
