"""Nodes that boot, lose their power, and get it back: their containers are stopped, killed, started."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.support.wait import eventually

if TYPE_CHECKING:
    from tests.support.site import Node


def podman(*arguments: str) -> None:
    subprocess.run(["podman", *arguments], check=True, capture_output=True, timeout=180)


def lab_container(node: Node, name: str = "") -> str:
    """The name of the container that is this node.

    :param name: of another node of the same lab
    """
    return node.variables["lab_container"].replace("{{ inventory_hostname }}", name or node.name)


def boots(nodes: Sequence[Node]) -> list[str]:
    """When init was started: another one after a boot."""
    return [node.run("cat /proc/1/stat").split()[21] for node in nodes]


def reboot(nodes: Sequence[Node]) -> None:
    """Stop and start the nodes, and wait until they take SSH again."""
    before = boots(nodes)
    podman("restart", *map(lab_container, nodes))
    booted(nodes, before)


def shut_down(nodes: Sequence[Node]) -> None:
    podman("stop", *map(lab_container, nodes))


def crash(nodes: Sequence[Node]) -> None:
    """Take their power away: no connection is closed, packets just end."""
    podman("kill", "--signal", "KILL", *map(lab_container, nodes))


def power_on(nodes: Sequence[Node]) -> None:
    """Start nodes that are down; they do not answer yet."""
    podman("start", *map(lab_container, nodes))


def booted(nodes: Sequence[Node], before: list[str]) -> None:
    """Wait until the nodes take SSH after a boot.

    :param before: the result of `boots` before it
    """
    eventually(lambda: set(boots(nodes)).isdisjoint(before), 120)
