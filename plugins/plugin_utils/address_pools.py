"""Networks that dockerd takes for containers, against those that its host has to reach.

dockerd itself avoids the networks that its host has routes for. What lies behind a router it does not know: from the first
Compose project that takes such a network on, answers to it end in a bridge of the host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from ..module_utils.dockerd import OWN_POOLS
from ..module_utils.dockerd_config import DAEMON_JSON

POOLS = "default-address-pools"


def avoided_networks(networks: Iterable[str], facts: Mapping, address: str) -> list[str]:
    """Of the networks and addresses that a host has to reach those that dockerd does not avoid by itself, sorted.

    :param networks: IPv4 networks or addresses; others are left out
    :param facts: `ansible_facts` with the subset network
    :param address: the host's own address; whatever lies in its network has a route
    """
    own = _network_of(facts, address)
    found = {network for text in networks if (network := _network(text))}
    return [str(network) for network in sorted(found) if not (own and network.subnet_of(own))]


def address_pools(avoided: Iterable[str], dockerd: Mapping) -> list[dict]:
    """dockerd's own pools without what must be reached, as default-address-pools of daemon.json.

    :param avoided: of `avoided_networks`
    :param dockerd: `dockerd` of the module dockerd_facts
    :returns: [] where dockerd's own pools will do, and where somebody else has chosen pools in daemon.json. A network as wide
        as a pool counts as long as another network is left.
    """
    if dockerd["config"] is None or dockerd["config"].get(POOLS) not in (None, dockerd["written"].get(POOLS)):
        return []
    networks = [ipaddress.IPv4Network(text) for text in avoided]
    narrow = [one for one in networks if not any(ipaddress.IPv4Network(base).subnet_of(one) for base in OWN_POOLS)]
    found = _pools_without(networks) or _pools_without(narrow)
    return [] if found == _pools_without([]) else found


def _pools_without(networks: Iterable[ipaddress.IPv4Network]) -> list[dict]:
    networks = list(networks)
    found = []
    for base, size in OWN_POOLS.items():
        left = [
            subnet
            for subnet in ipaddress.IPv4Network(base).subnets(new_prefix=size)
            if not any(subnet.overlaps(network) for network in networks)
        ]
        found += [{"base": str(network), "size": size} for network in ipaddress.collapse_addresses(left)]
    return found


def pool_problems(host: str, avoided: Iterable[str], after: Mapping, extra: Mapping) -> list[str]:
    """Networks in daemon.json that hide what must be reached, chosen by the site or by somebody else on the host.

    A pool that is part of a network is no problem: it was cut out of it.

    :param after: daemon.json as it would be
    :param extra: dockerd_extra_config
    """
    chosen = [(POOLS, pool.get("base")) for pool in after.get(POOLS) or [] if isinstance(pool, Mapping)]
    chosen += [(key, after.get(key)) for key in ("bip", "fixed-cidr")]
    return [
        f"{'dockerd_extra_config' if key in extra else DAEMON_JSON} sets {key} on {host} to {text}, which would"
        f" hide {network} of dockerd_avoided_networks (discovery_management_networks, discovery_resolvers, docker hosts): set it"
        " to a network that nothing else uses, such as 10.200.0.0/16"
        for key, text in chosen
        if (pool := _network(text))
        for network in avoided
        if ipaddress.IPv4Network(network).subnet_of(pool)
    ]


def hiding_networks(avoided: Iterable[str], dockerd: Mapping) -> list[tuple[str, str, str]]:
    """Networks of containers that hide what must be reached, as (name, subnet, what it hides).

    :param dockerd: `dockerd` of the module dockerd_facts
    """
    return [
        (bridge["name"], text, network)
        for bridge in dockerd["bridges"]
        for text in bridge["subnets"]
        if (subnet := _network(text))
        for network in avoided
        if ipaddress.IPv4Network(network).subnet_of(subnet)
    ]


def _network(text: object) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(str(text), strict=False)
    except ValueError:
        return None


def _network_of(facts: Mapping, address: str) -> ipaddress.IPv4Network | None:
    for fact in facts.values():
        if not isinstance(fact, Mapping) or "device" not in fact:
            continue
        for entry in [fact.get("ipv4", {}), *fact.get("ipv4_secondaries", [])]:
            if entry.get("address") == address and entry.get("netmask"):
                return _network(f"{address}/{entry['netmask']}")
    return None
