"""Mistakes in an inventory, as a list of messages. Nothing here reads a host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .addresses import address
from .renamed import FIREWALL, INVENTORY

GROUPS = ("consul_servers", "consul_clients", "docker_hosts", "load_balancers")
NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
SERVICES = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}[*]?|[*]")


def site_problems(groups: Mapping[str, Iterable[str]], hostvars: Mapping) -> list[str]:
    """Mistakes that keep an inventory from working, one message each, naming variable, host, value and what to set.

    :param groups: group name to host names, as Ansible's `groups`
    :param hostvars: host name to its inventory variables
    :returns: [] for a valid inventory
    """
    members = {group: list(groups.get(group, [])) for group in GROUPS}
    hosts = sorted(set().union(*members.values()))
    agents = set(members["consul_servers"] + members["consul_clients"])
    problems = []

    if not members["consul_servers"]:
        problems.append("group consul_servers is missing or empty: put one, three or five hosts in it")
    for name in sorted(set(members["consul_servers"]) & set(members["consul_clients"])):
        problems.append(f"host {name} is in consul_servers and in consul_clients: leave it in one of them")
    for group in ("docker_hosts", "load_balancers"):
        for name in members[group]:
            if name not in agents:
                problems.append(
                    f"host {name} is in {group} but runs no Consul agent: add it to consul_servers or consul_clients"
                )

    for name in members["load_balancers"]:
        deployment = hostvars[name].get("discovery_balancer_deployment", "host")
        if deployment == "overlay" and name not in members["docker_hosts"]:
            problems.append(
                f"discovery_balancer_deployment of host {name} is overlay, but it runs no containers: add it to docker_hosts,"
                " or set discovery_balancer_deployment: host"
            )

    problems += renamed_problems(hosts, hostvars)
    problems += name_problems(hosts)
    nameless = [name for name in hosts if not hostvars[name].get("discovery_domain")]
    if nameless:
        problems.append(
            f"discovery_domain is not set for {', '.join(nameless)}: set it for all hosts to the domain of the virtual"
            " hosts, for example hospital.example"
        )
    problems += service_problems(hosts, hostvars)
    return problems + overlay_problems(members["docker_hosts"], hostvars) + address_problems(hosts, hostvars)


def service_problems(names: Iterable[str], hostvars: Mapping) -> list[str]:
    """Lists of who may offer a service that do not mean what they seem to."""
    problems = {}  # without repetition: a site variable is the same on every host
    names = list(names)
    for name in names:
        listed = hostvars[name].get("discovery_service_hosts") or {}
        if not isinstance(listed, Mapping):
            problems[f"discovery_service_hosts is {listed!r}: set it to names, each with a list of hosts"] = True
            continue
        for service, hosts in listed.items():
            unknown = [host for host in hosts if host not in names] if isinstance(hosts, list) else [hosts]
            if unknown or not hosts:
                problems[
                    f"discovery_service_hosts has {service}: {hosts!r}: set it to a list of hosts of the inventory, such as"
                    f" [{names[0]}]"
                ] = True
        prefixes = hostvars[name].get("registrator_service_prefixes") or []
        if not isinstance(prefixes, list) or not all(map(_is_service, prefixes)):
            problems[
                f"registrator_service_prefixes of host {name} is {prefixes!r}: set it to a list of names of services, or of"
                " prefixes that end with *, in letters, digits and hyphens; consul is Consul's own"
            ] = True
    return list(problems)


def _is_service(text: object) -> bool:
    return isinstance(text, str) and bool(SERVICES.fullmatch(text)) and text.lower() != "consul"


def renamed_problems(names: Iterable[str], hostvars: Mapping) -> list[str]:
    """Variables that are set by an old name alone; with both names an inventory serves an older version, too."""
    found: dict[str, list[str]] = {}
    renamed = INVENTORY | FIREWALL
    for name in names:
        for old, new in renamed.items():
            if old in hostvars[name] and new not in hostvars[name]:
                found.setdefault(old, []).append(name)
    return [
        f"{old} is set for {', '.join(hosts)}, but it was renamed to {renamed[old]}: set that instead"
        for old, hosts in sorted(found.items())
    ]


def overlay_problems(docker_hosts: Iterable[str], hostvars: Mapping) -> list[str]:
    """Docker hosts that are to be on different overlay networks."""
    problems = []
    for variable in ("discovery_overlay", "discovery_overlay_network", "discovery_overlay_subnet"):
        values: dict[str, list[str]] = {}
        for name in docker_hosts:
            values.setdefault(str(hostvars[name].get(variable, "not set")), []).append(name)
        if len(values) > 1:
            found = "; ".join(f"{value} for {', '.join(names)}" for value, names in values.items())
            problems.append(f"{variable} differs between docker hosts ({found}): set it once, for all hosts")
    return problems


def name_problems(names: Iterable[str]) -> list[str]:
    """Names that DNS cannot carry as one label, or that Consul, which ignores case, could take for another's."""
    return [
        f"host {name!r} has a name that cannot be a node's name in DNS: use up to 63 lower-case letters, digits and hyphens,"
        " without dots (its address goes into ansible_host)"
        for name in names
        if not NODE_NAME.fullmatch(name)
    ]


def address_problems(names: Iterable[str], hostvars: Mapping) -> list[str]:
    """Hosts without an address of their own."""
    problems = []
    owners: dict[str, str] = {}
    for name in names:
        try:
            found = address(name, hostvars)
        except ValueError as error:
            problems.append(str(error))
            continue
        if found in owners:
            problems.append(
                f"discovery_address of host {name} is {found}, which is also the address of host {owners[found]}:"
                " give each host its own"
            )
        owners.setdefault(found, name)
    return problems
