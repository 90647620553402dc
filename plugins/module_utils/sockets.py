"""Sockets of a host that listen. Pure."""

from __future__ import annotations

import re

COMMAND = ("ss", "--numeric", "--listening", "--tcp", "--udp", "--processes", "--no-header")
_LISTENER = re.compile(r"^(tcp|udp)\s+\S+\s+\d+\s+\d+\s+(\S+):(\d+)\s+\S+(?:\s+users:\(\(\"([^\"]*)\")?", re.MULTILINE)


def listeners(shown: str) -> list[dict]:
    """Sockets that listen beyond loopback, those of the kernel (tunnels), which have no program, too.

    :param shown: what COMMAND prints
    :returns: dicts with protocol (tcp or udp), address, port and program
    """
    found = []
    for protocol, address, port, program in _LISTENER.findall(shown):
        bare = address.split("%")[0].strip("[]")
        if not bare.startswith("127.") and bare != "::1":
            found.append({"protocol": protocol, "address": bare, "port": int(port), "program": program})
    return found
