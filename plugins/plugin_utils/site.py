"""Mistakes in an inventory, as a list of messages. Nothing here reads a host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .addresses import address
from .cluster_secrets import shared_secrets_problems
from .node_names import node_name_problems
from .renamed import FIREWALL, INVENTORY
from .variables import as_list

GROUPS = ("consul_servers", "consul_clients", "docker_hosts", "load_balancers")
# What makes one network of all docker hosts, and one site of all load balancers.
OF_DOCKER_HOSTS = ("discovery_overlay", "discovery_overlay_network", "discovery_overlay_subnet")
OF_BALANCERS = ("discovery_floating_addresses", "floating_address_router_id", "floating_address_advertise_interval")
DATACENTER = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)([.](?!-)[a-z0-9-]{1,63}(?<!-))*")
# Top-level domains that programs do not ask DNS for, and why (RFC 6761, 6762 and 7686).
NOT_IN_DNS = {
    "invalid": "which never exists",
    "local": "which belongs to multicast DNS (RFC 6762): systemd-resolved, Avahi and macOS do not ask a name server for it",
    "localhost": "which is every machine itself",
    "onion": "which belongs to Tor",
}
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
    problems += node_name_problems(hosts, hostvars)
    problems += datacenter_problems(hosts, hostvars)
    nameless = [name for name in hosts if not hostvars[name].get("discovery_domain")]
    if nameless:
        problems.append(
            f"discovery_domain is not set for {', '.join(nameless)}: set it for all hosts to the domain of the virtual"
            " hosts, for example hospital.example"
        )
    problems += service_problems(hosts, hostvars)
    problems += differing_problems(OF_DOCKER_HOSTS, members["docker_hosts"], "docker hosts", hostvars)
    problems += differing_problems(OF_BALANCERS, members["load_balancers"], "load balancers", hostvars)
    problems += shared_secrets_problems(groups, hostvars)
    return problems + address_problems(hosts, hostvars)


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
        prefixes = as_list(hostvars[name].get("registrator_service_prefixes") or [])
        if not isinstance(prefixes, list) or not all(map(is_service, prefixes)):
            problems[
                f"registrator_service_prefixes of host {name} is {prefixes!r}: set it to a list of names of services, or of"
                " prefixes that end with *, in letters, digits and hyphens; consul is Consul's own"
            ] = True
    return list(problems)


def is_service(text: object) -> bool:
    """Is it the name of a service, or a prefix that ends with `*`, and not Consul's own?"""
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


def datacenter_problems(names: Iterable[str], hostvars: Mapping) -> list[str]:
    """Datacenters that Consul would call otherwise or not take, and several of them in one site."""
    values: dict[str, list[str]] = {}
    problems = {}
    for name in names:
        value = hostvars[name].get("discovery_datacenter", "dc1")
        values.setdefault(str(value), []).append(name)
        if problem := datacenter_problem(value):
            problems[f"discovery_datacenter of the site {problem}"] = True
    if len(values) > 1:
        found = "; ".join(f"{value} for {', '.join(names)}" for value, names in values.items())
        problems[f"discovery_datacenter differs between hosts ({found}): set it once, for all hosts"] = True
    return list(problems)


def datacenter_problem(value: object) -> str:
    """Why a name of a datacenter cannot be used, with the value and what to set; '' for a good one.

    Consul writes it in lower case, and takes letters, digits, hyphens and underscores. It is one label of every name in DNS.
    """
    if isinstance(value, str) and DATACENTER.fullmatch(value):
        return ""
    suggested = re.sub(r"[^a-z0-9_-]+", "-", str(value).lower()).strip("-_")[:63].strip("-_") or "dc1"
    if not isinstance(value, str):
        return f"is {value!r}, which YAML reads as no text: put the name between quotes, such as '{suggested}'"
    why = "which Consul would write in lower case" if DATACENTER.fullmatch(value.lower()) else "which Consul does not take"
    return f"is {value!r}, {why}: set it to up to 63 lower-case letters, digits, hyphens and underscores, such as {suggested}"


def even_servers_problem(servers: int, switch: str) -> str:
    """Why so many Consul servers are refused, and what to set; '' for an odd number of them, and for none.

    :param switch: the variable that allows them
    """
    if not servers or servers % 2:
        return ""
    return f"an even number survives no more failures than one server less: use an odd number, or set {switch}: true"


def domain_problem(value: object) -> str:
    """Why the domain of Consul's names cannot be used, with the value and what to set; '' for a good one.

    Names in certificates and settings of resolvers have it as it stands, where Consul writes it in lower case and without dots
    around it.
    """
    if isinstance(value, str) and DOMAIN.fullmatch(value):
        return f"is {value!r}, {why}: set it to consul or to a part of a domain of yours" if (why := _not_in_dns(value)) else ""
    suggested = str(value).lower().strip(". ")
    if not isinstance(value, str) or not DOMAIN.fullmatch(suggested):
        suggested = "consul"
    return f"is {value!r}: set it to a DNS name in lower case without a dot at either end, such as {suggested}"


def _not_in_dns(domain: str) -> str:
    return NOT_IN_DNS.get(domain.rpartition(".")[2].lower(), "")


def site_warnings(groups: Mapping[str, Iterable[str]], hostvars: Mapping) -> list[str]:
    """What an inventory says and somebody should know; it keeps nothing from working.

    Clients of a site may find such a domain all the same, as those of an Active Directory do, so it is not refused.

    :param groups: group name to host names, as Ansible's `groups`
    :param hostvars: host name to its inventory variables
    """
    hosts = sorted({name for group in GROUPS for name in groups.get(group, [])})
    domains = {str(hostvars[name].get("discovery_domain") or "") for name in hosts}
    return [
        f"discovery_domain is {domain!r}, {why}. Clients that do so find no service by its name; another domain reaches all"
        for domain in sorted(domains)
        if (why := _not_in_dns(domain))
    ]


def differing_problems(variables: Iterable[str], names: Iterable[str], kind: str, hostvars: Mapping) -> list[str]:
    """Variables that hosts of one kind have to agree on, and do not.

    :param names: of the hosts
    :param kind: how people call them
    """
    names, problems = list(names), []
    for variable in variables:
        values: dict[str, list[str]] = {}
        for name in names:
            values.setdefault(str(hostvars[name].get(variable, "not set")), []).append(name)
        if len(values) > 1:
            found = "; ".join(f"{value} for {', '.join(hosts)}" for value, hosts in values.items())
            problems.append(f"{variable} differs between {kind} ({found}): set it once, for all hosts")
    return problems


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
