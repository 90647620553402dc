"""Mistakes in the settings of Consul."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from .site import name_problems

GOSSIP_KEY_BYTES = 32


def key_length(key: str) -> int | None:
    """Bytes of a base64 text, or None when it is not base64."""
    try:
        return len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        return None


def settings_problems(host: str, settings: Mapping) -> list[str]:
    """Mistakes in the settings of one host, one message each.

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
            " called as in the inventory, where no name is there twice: remove it"
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
            length = "no base64 text" if key_length(key) is None else f"{key_length(key)} bytes long"
            problems.append(
                f"the gossip key for host {host} ({source}) is {length}, but must be {GOSSIP_KEY_BYTES}"
                " bytes in base64: make one with `openssl rand -base64 32`"
            )
    if len(set(keys.values())) > 1:
        problems.append(
            f"the gossip keys for host {host} differ ({', '.join(keys)}); a running cluster keeps its own:"
            " unset consul_gossip_key"
        )
    return problems
