"""Secrets that a Kubernetes cluster would share with hosts or another cluster of the inventory. Nothing here reads a host."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from .secrets import SecretError, location

CLUSTERS = "kubernetes_clusters"
SERVERS = "consul_servers"


def shared_secrets_problems(groups: Mapping[str, Iterable[str]], hostvars: Mapping) -> list[str]:
    """Clusters of the inventory that would have the secrets of others, one message each.

    :param groups: group name to host names, as Ansible's `groups`
    :param hostvars: Ansible's, or host name to its variables
    :returns: [] when each cluster has a directory of its own
    """
    return [problem for name in groups.get(CLUSTERS, ()) for problem in cluster_secrets_problems(name, groups, hostvars)]


def cluster_secrets_problems(
    host: str, groups: Mapping[str, Iterable[str]], hostvars: Mapping, directory: str | None = None
) -> list[str]:
    """What makes a cluster share gossip key, CA and tokens: whoever has those of one cluster would have the others.

    :param host: inventory name that stands for the cluster
    :param groups: as `shared_secrets_problems` takes it
    :param hostvars: as `shared_secrets_problems` takes it
    :param directory: of the secrets as a play has it; by default as the inventory has it
    :returns: [] when the directory is the cluster's own, or nobody else is in the inventory
    """
    servers = list(groups.get(SERVERS, ()))
    if host in servers:
        return [f"host {host} is in {SERVERS} and in {CLUSTERS}: give the cluster an inventory name of its own"]
    others = [name for name in dict.fromkeys([*servers, *groups.get(CLUSTERS, ())]) if name != host]
    if not others:
        return []
    try:
        own, theirs = _directory(hostvars[host]), {name: _directory(hostvars[name]) for name in others}
    except SecretError as error:
        return [str(error)]
    # Of other hosts only the inventory's value is known: one that a play gives to all would look like the cluster's own.
    if directory is not None and _real(directory) != _real(own):
        return [
            f"discovery_secrets_dir of host {host} is {directory} by a play, but {own} by the inventory, which has"
            f" {_named(others)}, too: set it in the inventory, for host {host} alone"
        ]
    same = [name for name in others if _real(theirs[name]) == _real(own)]
    if not same:
        return []
    return [
        f"discovery_secrets_dir of host {host} is {own}, and that of {_named(same)} as well: they would share gossip key, CA and"
        f" tokens. Set it in the inventory, for host {host} alone, to another directory, such as {own.rstrip('/')}-{host}"
    ]


def _directory(variables: Mapping) -> str:
    return location(variables.get("discovery_secrets_dir"), variables.get("inventory_dir"))


def _real(directory: str) -> str:
    return os.path.realpath(os.path.expanduser(directory))


def _named(names: list[str]) -> str:
    return f"{'host' if len(names) == 1 else 'hosts'} {', '.join(names)}"
