"""The IPv4 addresses by which other machines can reach a host."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

# Loopback, and the interfaces of dockerd: these come and go with containers and networks.
_NOT_OF_THE_HOST = re.compile(r"lo|docker0|docker_gwbridge|br-[0-9a-f]{12}|veth.*")


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
