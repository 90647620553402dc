"""Mistakes in the settings of Consul."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterable, Mapping

from .site import datacenter_problem, domain_problem, even_servers_problem, is_service

GOSSIP_KEY_BYTES = 32


def key_length(key: str) -> int | None:
    """Bytes of a base64 text, or None when it is not base64."""
    try:
        return len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        return None


def settings_problems(host: str, settings: Mapping) -> list[str]:
    """Mistakes in the settings of one host, one message each.

    :param settings: servers (names), bootstrap_expect, allow_even_servers, deployment, extra_config (of the agent),
        write_networks, declared_services (host to names and prefixes), declared_by_host (that variable of each host in the
        inventory, {} where it has none), agents (hosts), datacenter, domain, name_problems (of
        `node_name_problems`), gossip_keys (where it was found to key, '' for none)
    :returns: [] when nothing is wrong; never shows a key
    """
    servers = list(settings["servers"])
    expected = int(settings["bootstrap_expect"])
    listed = ", ".join(servers)
    problems = list(settings["name_problems"])
    for name in sorted({name for name in servers if servers.count(name) > 1}):
        problems.append(f"consul_servers lists {name} {servers.count(name)} times on host {host} ({listed}): list it once")
    if "node_name" in settings["extra_config"]:
        problems.append(
            f"consul_extra_config of host {host} sets node_name to {settings['extra_config']['node_name']!r}, but certificates"
            " and tokens have the name of discovery_node_name: remove it, and set that instead"
        )
    if problem := datacenter_problem(settings["datacenter"]):
        problems.append(f"consul_datacenter (discovery_datacenter) of host {host} {problem}")
    if problem := domain_problem(settings["domain"]):
        problems.append(f"consul_domain of host {host} {problem}")
    for variable in ("datacenter", "domain"):
        given = settings["extra_config"].get(variable, settings[variable])
        if given != settings[variable]:
            problems.append(
                f"consul_extra_config of host {host} sets {variable} to {given!r}, but certificates and names of the site have"
                f" {settings[variable]!r}: remove it, and set consul_{variable} instead"
            )
    problems += _container_problems(host, settings)
    problems += _api_problems(host, settings["extra_config"]) + _network_problems(host, settings["write_networks"])
    problems += _declared_problems(settings["declared_services"], list(settings["agents"]))
    problems += _differing_problems(host, settings["declared_by_host"])
    if not servers:
        problems.append(f"consul_servers is empty on host {host}: list the hosts that run a Consul server")
    if expected != len(servers):
        problems.append(
            f"consul_bootstrap_expect is {expected} on host {host}, but consul_servers lists {len(servers)} ({listed}):"
            f" set it to {len(servers)} or leave it unset"
        )
    even = even_servers_problem(len(servers), "consul_allow_even_servers")
    if even and not settings["allow_even_servers"]:
        problems.append(f"consul_servers lists {len(servers)} servers on host {host} ({listed}); {even}")
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


def servers_warning(servers: Iterable[str]) -> str:
    """What an even number of servers costs, for a site that has asked for it (`allow_even_servers`); "" for an odd one."""
    names = list(servers)
    if not names or len(names) % 2:
        return ""
    fail = (len(names) - 1) // 2
    return (
        f"{len(names)} Consul servers ({', '.join(names)}) survive no more failures than {len(names) - 1}: {fail or 'none'} may"
        f" fail. When {fail + 1} of them {'are' if fail else 'is'} away, names and load balancers go on with what they have, but"
        " nothing can be written until one is back, or until playbooks/recover_quorum.yml"
    )


def _container_problems(host: str, settings: Mapping) -> list[str]:
    """Settings that need what an agent in a container does not have: the host's programs."""
    extra = settings["extra_config"]
    scripts = [name for name in ("enable_script_checks", "enable_local_script_checks") if extra.get(name)]
    if settings["deployment"] != "container" or not scripts:
        return []
    return [
        f"consul_extra_config of host {host} sets {scripts[0]}, but a container (consul_deployment) has no programs for checks to"
        " run: remove it, or set consul_deployment: host"
    ]


def _api_problems(host: str, extra: Mapping) -> list[str]:
    """Settings of the agent that would keep the platform's programs from its HTTPS API."""
    ports, https, http = (_section(extra, *path) for path in (("ports",), ("tls", "https"), ("http_config",)))
    problems = []
    if ports.get("https", 8501) != 8501:
        problems.append(
            f"consul_extra_config of host {host} sets ports.https to {ports['https']!r}, but the platform's programs use"
            " the agent on 8501: remove it"
        )
    if https.get("verify_incoming"):
        problems.append(
            f"consul_extra_config of host {host} sets tls.https.verify_incoming, but the platform's programs have a token and no"
            " client certificate: remove it"
        )
    if "allow_write_http_from" in http:
        problems.append(
            f"consul_extra_config of host {host} sets http_config.allow_write_http_from to {http['allow_write_http_from']!r},"
            " which would replace the host's own addresses: set consul_write_networks instead"
        )
    return problems


def _declared_problems(declared: Mapping, agents: list[str]) -> list[str]:
    """Entries of consul_declared_services that give no right, or another one than is meant."""
    unknown = sorted(str(host) for host in declared if host not in agents)
    wrong = [host for host in declared if not isinstance(declared[host], list) or not all(map(is_service, declared[host]))]
    problems = [
        f"consul_declared_services names {host!r}, which has no Consul agent: choose among {', '.join(agents)}"
        for host in unknown
    ]
    problems += [
        f"consul_declared_services of host {host} is {declared[host]!r}: set it to a list of names of services, or of prefixes"
        " that end with *, in letters, digits and hyphens; consul is Consul's own"
        for host in wrong
    ]
    return problems


def _differing_problems(host: str, given: Mapping[str, object]) -> list[str]:
    """Whether the inventory gives another consul_declared_services to another host: one host writes the policies of all, and each
    host its own token."""
    own = given.get(host, {})
    others = sorted(other for other in given if given[other] != own)
    return [
        f"consul_declared_services of host {host} is {own!r}, but of host {other} {given[other]!r}: it lists the services of"
        " every host, so set it once, for all hosts, such as in group_vars/all"
        for other in others[:1]
    ]


def _section(config: Mapping, *keys: str) -> Mapping:
    for key in keys:
        config = config.get(key) or {}
    return config


def _network_problems(host: str, networks: Iterable) -> list[str]:
    wrong = []
    for network in networks:
        try:
            ipaddress.ip_network(str(network), strict=False)
        except ValueError:
            wrong.append(str(network))
    return [
        f"consul_write_networks has {network!r} on host {host}: set IP addresses, or networks such as 10.1.0.0/16"
        for network in wrong
    ]
