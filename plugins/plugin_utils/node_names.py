"""Names of nodes: what Consul, certificates, tokens and containers call a host. The inventory may call it otherwise."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

VARIABLE = "discovery_node_name"
NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def node_name(name: str, variables: Mapping) -> str:
    """The node's name of one host: discovery_node_name, else the first label of its inventory name, in lower case, underscores as
    hyphens.

    An address has no label that names a host; it stays as it is, and `node_name_problems` refuses it.

    :param name: inventory name
    :param variables: of the host
    """
    given = variables.get(VARIABLE)
    if given not in (None, ""):
        return str(given)
    return str(name) if _is_address(name) else str(name).partition(".")[0].lower().replace("_", "-")


def node_names(names: Iterable[str], hostvars: Mapping) -> list[str]:
    """The node's name of each host, in order. A host that the inventory does not have is called by the same rule.

    :param hostvars: Ansible's, or host name to its variables
    """
    return [node_name(name, _variables(name, hostvars)) for name in names]


def node_name_problems(names: Iterable[str], hostvars: Mapping) -> list[str]:
    """Hosts whose node's name DNS cannot carry as one label, or that several hosts would have; one message each.

    :param names: of all hosts of the site
    """
    problems = []
    owners: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        variables = _variables(name, hostvars)
        found = node_name(name, variables)
        if NODE_NAME.fullmatch(found):
            owners.setdefault(found, []).append(name)
        elif variables.get(VARIABLE) not in (None, ""):
            problems.append(
                f"{VARIABLE} of host {name} is {variables[VARIABLE]!r}: set it to up to 63 lower-case letters, digits and"
                " hyphens, without dots"
            )
        else:
            why = "which is an address" if _is_address(name) else f"from which no node's name can be made ({found!r})"
            problems.append(
                f"host {name} is called {name!r} in the inventory, {why}: set {VARIABLE} of this host to up to 63 lower-case"
                " letters, digits and hyphens, such as web-1"
            )
    for found, hosts in owners.items():
        if len(hosts) > 1:
            problems.append(
                f"hosts {', '.join(hosts)} would all be the node {found}: set {VARIABLE} of {hosts[-1]} to another name, such as"
                f" {found[:61]}-{len(hosts)}"
            )
    return problems


def rename_problems(old: str, host: str, agents: Iterable[str], hostvars: Mapping) -> list[str]:
    """Why a host cannot be renamed, one message each: the inventory has its new name, and nobody has its old one any more.

    :param old: what the cluster calls it (rename_from)
    :param host: inventory name of the host (rename_host)
    :param agents: inventory names of all hosts with an agent
    """
    agents = list(agents)
    if host not in agents:
        return [
            f"rename_host is {host!r}, which is no host with a Consul agent in this inventory: give the host its new name there"
            f" first, and set rename_host to that (one of {', '.join(agents)})"
        ]
    if not NODE_NAME.fullmatch(old):
        return [f"rename_from is {old!r}: set it to the name that the running cluster has for {host}"]
    return [
        f"rename_from is {old!r}, which is the node of host {owner} in this inventory: give {owner} another name first"
        for owner, name in zip(agents, node_names(agents, hostvars), strict=True)
        if name == old
    ]


def dead_name_problems(name: str, agents: Iterable[str], hostvars: Mapping) -> list[str]:
    """Why a name that no host of the inventory has cannot be removed from the cluster, one message each.

    :param name: of a node (remove_host)
    :param agents: inventory names of all hosts with an agent
    """
    agents = list(agents)
    if not NODE_NAME.fullmatch(name):
        return [
            f"{name!r} is no host with a Consul agent in this inventory, and no name of a node: set it to one of"
            f" {', '.join(agents)}"
        ]
    return [
        f"{name!r} is the node of host {owner}: set it to {owner}"
        for owner, found in zip(agents, node_names(agents, hostvars), strict=True)
        if found == name
    ]


def _variables(name: str, hostvars: Mapping) -> Mapping:
    if name in hostvars:
        return hostvars[name]
    return {}


def _is_address(name: object) -> bool:
    try:
        ipaddress.ip_address(str(name))
    except ValueError:
        return False
    return True
