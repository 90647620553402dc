"""Nodes that boot: their containers are started again."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING

from helpers import eventually

if TYPE_CHECKING:
    from conftest import Node


def podman(*arguments: str) -> None:
    subprocess.run(["podman", *arguments], check=True, capture_output=True, timeout=120)


def lab_container(node: Node) -> str:
    """The name of the container that is this node."""
    return node.variables["lab_container"].replace("{{ inventory_hostname }}", node.name)


def boots(nodes: Sequence[Node]) -> list[str]:
    """When init was started: another one after a boot."""
    return [node.run("cat /proc/1/stat").split()[21] for node in nodes]


def reboot(nodes: Sequence[Node]) -> None:
    """Stop and start the nodes, and wait until they take SSH again."""
    before = boots(nodes)
    podman("restart", *map(lab_container, nodes))
    eventually(lambda: set(boots(nodes)).isdisjoint(before), 120)
