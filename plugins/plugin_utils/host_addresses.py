"""The IPv4 addresses by which other machines can reach a host."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

# Loopback, and the interfaces of dockerd: these come and go with containers and networks.
_NOT_OF_THE_HOST = re.compile(r"lo|docker0|docker_gwbridge|br-[0-9a-f]{12}|veth.*")
LARGEST_MTU = 65536  # of Linux's loopback


def host_addresses(facts: Mapping[str, Any]) -> list[str]:
    """The host's own IPv4 addresses, sorted. An interface that only a cache of facts still knows is none of it.

    :param facts: `ansible_facts` with the subset network
    """
    interfaces = facts.get("interfaces")
    found = {
        entry["address"]
        for fact in facts.values()
        if isinstance(fact, Mapping)
        and "device" in fact
        and (interfaces is None or fact["device"] in interfaces)
        and not _NOT_OF_THE_HOST.fullmatch(fact["device"])
        for entry in [fact.get("ipv4", {}), *fact.get("ipv4_secondaries", [])]
        if "address" in entry
    }
    return sorted(found, key=ipaddress.ip_address)


def mtu_of(facts: Any, address: str) -> int:
    """The bytes of the largest packet of the interface that has an address; 0 where none has it, or none that is plausible.

    :param facts: `ansible_facts` with the subset network, of a host that may lie in them
    """
    for fact in facts.values() if isinstance(facts, Mapping) else ():
        mtu = fact.get("mtu") if isinstance(fact, Mapping) else None
        if not isinstance(mtu, int) or isinstance(mtu, bool) or not 0 < mtu <= LARGEST_MTU:
            continue
        secondaries = fact.get("ipv4_secondaries")
        entries = [fact.get("ipv4"), *(secondaries if isinstance(secondaries, list) else [])]
        if any(isinstance(entry, Mapping) and entry.get("address") == address for entry in entries):
            return mtu
    return 0
