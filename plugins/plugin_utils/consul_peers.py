"""The file raft/peers.json, which makes the servers that are left the only peers after a lost quorum."""

from __future__ import annotations

import ipaddress
import json
import uuid
from collections.abc import Iterable, Mapping

RAFT_PORT = 8300


def peers_json(servers: Iterable[Mapping]) -> str:
    """The content of raft/peers.json for Raft protocol 3.

    :param servers: dicts with name (for messages), id (content of /var/lib/consul/node-id), address (IPv4)
    :returns: JSON, sorted by address, so that every server gets the same bytes
    :raises ValueError: no servers, an id or address that is none, or one that two servers have
    """
    peers = {}
    ids = set()
    for server in servers:
        name = server["name"]
        try:
            node = str(uuid.UUID(str(server["id"]).strip()))
            address = ipaddress.IPv4Address(server["address"])
        except ValueError as error:
            raise ValueError(
                f"host {name} cannot be a peer (id {server['id']!r}, address {server['address']!r}): {error}"
            ) from None
        if node in ids or address in peers:
            raise ValueError(f"host {name} has the id ({node}) or the address ({address}) of another one")
        ids.add(node)
        peers[address] = {"id": node, "address": f"{address}:{RAFT_PORT}", "non_voter": False}
    if not peers:
        raise ValueError("there is no server to be a peer")
    return json.dumps([peers[address] for address in sorted(peers)], indent=2) + "\n"
