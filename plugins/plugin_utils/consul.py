"""Consul: what is wrong with its settings, and which tokens the cluster should have."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Iterable, Mapping

from .site import name_problems

GOSSIP_KEY_BYTES = 32


def key_length(key: str) -> int | None:
    """Bytes of a base64 text, or None when it is not base64."""
    try:
        return len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        return None


def settings_problems(host: str, settings: Mapping) -> list[str]:
    """What keeps the role consul from working on a host, one message each.

    :param settings: servers (names), bootstrap_expect, allow_even_servers, extra_config (of the agent),
        gossip_keys (where it was found to key, '' for none)
    :returns: [] when nothing is wrong; never shows a key
    """
    servers = list(settings["servers"])
    expected = int(settings["bootstrap_expect"])
    listed = ", ".join(servers)
    problems = name_problems([host])
    for name in sorted({name for name in servers if servers.count(name) > 1}):
        problems.append(f"consul_servers lists {name} {servers.count(name)} times on host {host} ({listed}): list it once")
    if "node_name" in settings["extra_config"]:
        problems.append(
            f"consul_extra_config of host {host} sets node_name to {settings['extra_config']['node_name']!r}, but a node is"
            " called as in the inventory, where no name is there twice: take it out"
        )
    if not servers:
        problems.append(f"consul_servers is empty on host {host}: list the hosts that run a Consul server")
    if expected != len(servers):
        problems.append(
            f"consul_bootstrap_expect is {expected} on host {host}, but consul_servers lists {len(servers)} ({listed}):"
            f" set it to {len(servers)} or leave it unset"
        )
    if servers and len(servers) % 2 == 0 and not settings["allow_even_servers"]:
        problems.append(
            f"consul_servers lists {len(servers)} servers on host {host} ({listed}); an even number survives no more"
            " failures than one server less: use an odd number, or set consul_allow_even_servers: true"
        )
    keys = {source: key for source, key in settings["gossip_keys"].items() if key}
    for source, key in keys.items():
        if key_length(key) != GOSSIP_KEY_BYTES:
            seen = "no base64 text" if key_length(key) is None else f"{key_length(key)} bytes long"
            problems.append(
                f"the gossip key for host {host} ({source}) is {seen}, but must be {GOSSIP_KEY_BYTES}"
                " bytes in base64: make one with `openssl rand -base64 32`"
            )
    if len(set(keys.values())) > 1:
        problems.append(
            f"the gossip keys for host {host} differ ({', '.join(keys)}); a running cluster keeps its own:"
            " unset consul_gossip_key"
        )
    return problems


def wanted_tokens(hosts_of: Mapping[str, Iterable[str]], datacenter: str) -> list[dict]:
    """One token for each component on each host, under an id that every run finds again.

    :param hosts_of: component (agent, dns, registrator, consul_template) to host names
    :param datacenter: Consul's, part of the ids
    :returns: dicts with name (of the secret), accessor_id (RFC 4122, version 5), description, policies, node_identities

    The agent's rights are those of its node; every other component has the policy of its name.
    """
    return [
        {
            "name": f"tokens/{component}-{host}",
            "accessor_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"fewnodes.discovery/{datacenter}/{component}/{host}")),
            "description": f"{component} on {host}",
            "policies": [] if component == "agent" else [{"name": component}],
            "node_identities": [{"node_name": host, "datacenter": datacenter}] if component == "agent" else [],
        }
        for component, hosts in hosts_of.items()
        for host in hosts
    ]


def token_changes(wanted: Iterable[Mapping], listed: Iterable[Mapping]) -> list[dict]:
    """Those of the wanted tokens that the cluster lacks or holds with other rights. `listed`: /v1/acl/tokens."""
    present = {token["AccessorID"]: token for token in listed}
    return [dict(token) for token in wanted if _rights(token) != _listed_rights(present.get(token["accessor_id"]))]


def token_conflicts(wanted: Iterable[Mapping], listed: Iterable[Mapping], secrets: Mapping[str, str]) -> list[str]:
    """Names of the tokens whose secret in the cluster is another one than the controller's."""
    present = {token["AccessorID"]: token.get("SecretID") for token in listed}
    return [
        token["name"]
        for token in wanted
        if present.get(token["accessor_id"]) not in (None, "", secrets[token["name"]])
    ]


def _rights(token: Mapping) -> tuple:
    return (
        sorted(policy["name"] for policy in token["policies"]),
        sorted((identity["node_name"], identity["datacenter"]) for identity in token["node_identities"]),
        token["description"],
    )


def _listed_rights(token: Mapping | None) -> tuple | None:
    if token is None:
        return None
    return (
        sorted(policy["Name"] for policy in token.get("Policies") or []),
        sorted((identity["NodeName"], identity["Datacenter"]) for identity in token.get("NodeIdentities") or []),
        token.get("Description", ""),
    )
