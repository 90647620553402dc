"""An overlay network over several hosts: what keeps it from working, and the steps that are left.

Pure functions over the states of the hosts, as the module overlay_facts gives them, and the settings:
`name`, `driver` (consul or swarm), `subnet` (CIDR), `options` (of the driver), `peers` (host to address, all docker
hosts), `managers` (hosts), `pools` (networks that dockerd will be configured to take subnets from), and `play` (hosts
that this run may change).

A state comes from its host. About the swarm only managers of the settings count (`trusted`), which are root on every docker host
anyway: another host that lies about its node or its part changes no other node, and no host joins a swarm of it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

from ..module_utils.dockerd import OWN_POOLS

DRIVERS = ("consul", "swarm")
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
RESERVED = ("bridge", "default", "docker_gwbridge", "host", "ingress", "none")
# What dockerd takes subnets from when nothing else is configured.
POOLS = list(OWN_POOLS)
# What it gives to a new swarm's ingress.
INGRESS = "10.0.0.0/24"
# What dockerd adds to the options of an overlay network.
OWN_OPTIONS = ("com.docker.network.driver.overlay.vxlanid_list",)
MTU_OPTION = "com.docker.network.driver.mtu"  # of what carries the network; dockerd takes the tunnel's header off it
USUAL_MTU = 1500  # what dockerd assumes
LEAST_MTU = 1280  # less than IPv6 takes: dockerd takes another 50 bytes off it
HALF = 1  # a route this wide is a default route in two halves


def overlay_problems(states: Mapping[str, Mapping], settings: Mapping) -> list[str]:
    """What keeps the network from being made or used, one message each, with variable, host, value and what to set.

    :param states: host to its state; hosts that are not in it did not answer
    :returns: [] when nothing is wrong
    """
    problems = input_problems(settings)
    if problems:
        return problems
    for host, state in sorted(states.items()):
        if state["problem"]:
            problems.append(
                f"dockerd of host {host} does not report its networks and swarm ({state['problem']}):"
                " see 'docker network ls', 'docker node ls' and 'journalctl -u docker' there"
            )
        problems += subnet_problems(host, state, settings) + network_problems(host, state, settings)
        problems += membership_problems(host, state["swarm"], settings) + mtu_problems(host, state["mtu"], settings)
    if settings["driver"] == "swarm":
        problems += manager_problems(states, settings)
        problems += cluster_problems(states, settings) + other_cluster_problems(states, settings)
    return problems


def input_problems(settings: Mapping) -> list[str]:
    """Settings that are wrong whatever the hosts are."""
    problems = []
    driver, name, subnet = settings["driver"], str(settings["name"]), str(settings["subnet"])
    if driver not in DRIVERS:
        problems.append(f"discovery_overlay is {driver!r}: set it to {', '.join(DRIVERS)} or none")
    if not NAME.fullmatch(name) or name in RESERVED:
        problems.append(
            f"discovery_overlay_network is {name!r}, which is no name for a network: use letters, digits, '_', '.' and '-',"
            f" and none of {', '.join(RESERVED)}"
        )
    try:
        network = ipaddress.IPv4Network(subnet)
        if network.prefixlen > 28 or network.is_loopback or network.is_multicast:
            raise ValueError("it must have 16 addresses or more that hosts can have")
    except ValueError as error:
        problems.append(
            f"discovery_overlay_subnet is {subnet!r}: {error}. Set it to an IPv4 network that nothing else uses,"
            " such as 10.90.0.0/16"
        )
    if driver == "consul" and "encrypted" in settings["options"]:
        problems.append(
            "overlay_network_options has encrypted, and discovery_overlay is consul: only a swarm has keys for that;"
            " remove it, or set discovery_overlay to swarm"
        )
    unknown = sorted(set(settings["managers"]) - set(settings["peers"]))
    if driver == "swarm" and (unknown or not settings["managers"]):
        problems.append(
            f"overlay_network_managers is {list(settings['managers'])}: name docker hosts in it, which are"
            f" {', '.join(sorted(settings['peers']))}"
        )
    return problems


def subnet_problems(host: str, state: Mapping, settings: Mapping) -> list[str]:
    """What of a host the subnet would shadow."""
    subnet = ipaddress.IPv4Network(settings["subnet"])
    pools = state["pools"] or settings["pools"] or POOLS
    taken = [(route["network"], f"a route ({route['device']})") for route in state["routes"]]
    taken += [(n, f"the network {o['name']}") for o in state["networks"] if o["name"] != settings["name"] for n in o["subnets"]]
    taken += [(pool, "a pool that dockerd takes subnets from (default-address-pools)") for pool in pools]
    if settings["driver"] == "swarm" and state["swarm"]["state"] == "inactive":
        taken.append((INGRESS, "the network ingress of a new swarm"))
    problems = []
    for text, what in taken:
        other = ipaddress.ip_network(text)
        if other.version == 4 and other.prefixlen > HALF and other.overlaps(subnet):
            problems.append(
                f"discovery_overlay_subnet is {subnet} and overlaps {other} on host {host}, {what}:"
                " set it to a network that no host knows"
            )
    return problems


def network_problems(host: str, state: Mapping, settings: Mapping) -> list[str]:
    """A network of this name that is another one."""
    name = settings["name"]
    problems = []
    for network in state["networks"]:
        if network["name"] != name:
            continue
        differing = differences(network, settings)
        if differing:
            problems.append(
                f"the network {name} exists on host {host} with {', '.join(differing)}. It is never removed by itself: set the"
                f" variables back, or end its containers, run 'docker network rm {name}' there and run this again"
            )
    if sum(network["name"] == name for network in state["networks"]) > 1:
        problems.append(f"host {host} has several networks {name}: remove all but one by their ids (docker network ls)")
    return problems


def differences(network: Mapping, settings: Mapping) -> list[str]:
    """How a network differs from the wanted one, as texts 'has, not wanted'."""
    # The MTU was found out when the network was made, and is not looked at again, unless it is given.
    ours = OWN_OPTIONS if MTU_OPTION in settings["options"] else (*OWN_OPTIONS, MTU_OPTION)
    options = {key: value for key, value in network["options"].items() if key not in ours}
    pairs = [
        ("driver", network["driver"], "overlay"),
        ("subnet (discovery_overlay_subnet)", ", ".join(network["subnets"]), settings["subnet"]),
        ("options (overlay_network_options)", options, texts(settings["options"])),
    ]
    if settings["driver"] == "swarm":
        pairs += [("scope", network["scope"], "swarm"), ("attachable", network["attachable"], True)]
    else:
        pairs.append(("scope", network["scope"], "global"))
    return [f"{what} {has}, not {wanted}" for what, has, wanted in pairs if has != wanted]


def texts(options: Mapping) -> dict[str, str]:
    """Options as dockerd takes them."""
    return {key: str(value) for key, value in options.items()}


def options_of(states: Mapping[str, Mapping], settings: Mapping) -> dict[str, str]:
    """The options of a new network: those that are given, and the MTU where a host has another than dockerd assumes."""
    smallest = min((state["mtu"] for state in states.values() if state["mtu"]), default=USUAL_MTU)
    found = {} if smallest == USUAL_MTU else {MTU_OPTION: str(smallest)}
    return found | texts(settings["options"])


def membership_problems(host: str, swarm: Mapping, settings: Mapping) -> list[str]:
    """A host whose swarm is not the site's, or that cannot work in it."""
    if swarm["state"] == "inactive":
        return []
    if settings["driver"] != "swarm":
        return [
            f"host {host} is in a swarm, and discovery_overlay is {settings['driver']}, with which dockerd in a swarm does not"
            f" start: run 'docker swarm leave --force' on {host} if nobody needs the swarm, or set discovery_overlay to swarm"
        ]
    peers = settings["peers"]
    foreign = [address for address in swarm["managers"] if address not in peers.values()]
    if foreign:
        return [
            f"host {host} belongs to another swarm: its managers {', '.join(foreign)} are no docker hosts of this site."
            f" Run 'docker swarm leave --force' on {host} if nobody needs it there; a manager that was removed from the site"
            " leaves with 'docker node demote' and 'docker node rm --force'"
        ]
    if swarm["state"] != "active":
        return [
            f"dockerd of host {host} is in a swarm and its state there is {swarm['state']}"
            f" ({swarm['error'] or 'no reason given'}):"
            f" 'docker swarm unlock' for locked; else run 'docker swarm leave --force' on {host} and run this again"
        ]
    if swarm["address"] != peers[host]:
        return [
            f"host {host} is in a swarm with the address {swarm['address']}, and discovery_address is {peers[host]}:"
            f" set discovery_address to the former, or run 'docker swarm leave --force' on {host}"
        ]
    return []


def mtu_problems(host: str, mtu: int, settings: Mapping) -> list[str]:
    """A host with which the network of all hosts would carry next to nothing."""
    if not 0 < mtu < LEAST_MTU or MTU_OPTION in settings["options"]:
        return []
    return [
        f"the device with the address of host {host} has an MTU of {mtu}, and the network takes the smallest of all hosts:"
        f" raise it to {LEAST_MTU} or more there, or set {MTU_OPTION} in overlay_network_options"
    ]


def trusted(states: Mapping[str, Mapping], settings: Mapping) -> list[str]:
    """The hosts whose answers about the swarm count: managers of the settings that are managers."""
    answers = {host: states[host]["swarm"] for host in sorted(settings["managers"]) if host in states}
    return [host for host, swarm in answers.items() if swarm["state"] == "active" and swarm["manager"]]


def members(states: Mapping[str, Mapping], settings: Mapping) -> list[tuple[str, str, bool]]:
    """The nodes that all of the `trusted` list alike: id, address and whether it is a manager."""
    answers = [states[host]["swarm"]["nodes"] for host in trusted(states, settings)]
    alike = [{(node["id"], node["address"], node["manager"]) for node in nodes} for nodes in answers]
    return sorted(set.intersection(*alike)) if alike else []


def manager_problems(states: Mapping[str, Mapping], settings: Mapping) -> list[str]:
    """A swarm whose managers are none of the settings'."""
    others = [host for host, state in sorted(states.items()) if state["swarm"]["state"] == "active" and state["swarm"]["manager"]]
    if not others or trusted(states, settings):
        return []
    return [
        f"overlay_network_managers is {sorted(settings['managers'])}, of which no host answers as a manager of the swarm;"
        f" {', '.join(others)} does, which is not in it and so is not trusted: start a manager of the list, or set"
        f" overlay_network_managers to a list that has {' or '.join(others)} as well, and take that out after this run"
    ]


def cluster_problems(states: Mapping[str, Mapping], settings: Mapping) -> list[str]:
    """Managers of different swarms. The swarm of most managers of the settings counts as the site's, then that of most hosts, of
    equals that of the first host."""
    clusters: dict[str, list[str]] = {}
    for host, state in sorted(states.items()):
        if state["swarm"]["state"] == "active" and state["swarm"]["cluster"]:
            clusters.setdefault(state["swarm"]["cluster"], []).append(host)
    if len(clusters) < 2:
        return []
    managing = set(settings["managers"])
    ours = max(clusters, key=lambda cluster: (len(managing.intersection(clusters[cluster])), len(clusters[cluster])))
    return [
        f"host {host} belongs to another swarm ({cluster}) than {', '.join(clusters[ours])} ({ours}):"
        f" run 'docker swarm leave --force' on {host} if nobody needs it there"
        for cluster, hosts in clusters.items()
        if cluster != ours
        for host in hosts
    ]


def other_cluster_problems(states: Mapping[str, Mapping], settings: Mapping) -> list[str]:
    """Workers that the managers at the addresses they know do not know (any more)."""
    known = {node["id"] for host in trusted(states, settings) for node in states[host]["swarm"]["nodes"]}
    return [
        f"host {host} belongs to another swarm: the managers of this site's do not know its node {state['swarm']['node']}."
        f" Run 'docker swarm leave --force' on {host} if nobody needs it there"
        for host, state in sorted(states.items())
        if known and state["swarm"]["state"] == "active" and not state["swarm"]["cluster"] and state["swarm"]["node"] not in known
    ]


def overlay_steps(states: Mapping[str, Mapping], settings: Mapping) -> dict:
    """The steps that are left. The states have no problems.

    :returns: `problem` (text, why the run cannot go on; '' when it can), `init` (the host that makes the swarm, or ''),
        `manager` (the manager that answers, or ''), `join` (host to manager or worker), `roles` (node id to manager or worker,
        for members whose part changes), `remove` (addresses of hosts that join anew, of which the swarm still has the
        former member), `create` (the host that makes the network, or ''), `options` (of the driver, when it is made)
    """
    play = sorted(host for host in settings["play"] if host in states)
    asked = trusted(states, settings) if settings["driver"] == "swarm" else states
    there = any(network["name"] == settings["name"] for host in asked for network in states[host]["networks"])
    steps = {"problem": "", "init": "", "manager": "", "join": {}, "roles": {}, "remove": [], "create": "" if there else play[0]}
    steps["options"] = options_of(states, settings)
    without = [host for host in play if not states[host]["dockerd"]]
    if without:
        return steps | {"problem": f"no dockerd answers on {', '.join(without)}: run the playbook docker.yml first", "create": ""}
    return _swarm_steps(states, settings, play, steps) if settings["driver"] == "swarm" else steps


def _swarm_steps(states: Mapping[str, Mapping], settings: Mapping, play: list[str], steps: dict) -> dict:
    managers = sorted(settings["managers"])
    active = [host for host in sorted(states) if states[host]["swarm"]["state"] == "active"]
    ready = trusted(states, settings)
    new = [host for host in play if host not in active]
    if ready:
        steps["manager"] = ready[0]
    elif new:
        first = next((host for host in managers if host in new), "")
        silent = [host for host in managers if host not in states]
        if not first or silent or active:
            return steps | {"problem": _no_manager(managers, silent, active), "create": ""}
        steps["init"] = steps["manager"] = first
    part = {host: "manager" if host in managers else "worker" for host in settings["peers"]}
    steps["join"] = {host: part[host] for host in new if host != steps["init"]}
    nodes = members(states, settings)
    for host in play:
        if host in active:
            steps["roles"] |= _roles(host, part[host], states[host]["swarm"]["node"], nodes, settings)
    known = {address for _unused, address, _unused in nodes}
    steps["remove"] = sorted(known & {settings["peers"][host] for host in steps["join"]})
    steps["create"] = steps["create"] and steps["manager"]
    return steps


def _roles(host: str, part: str, own: str, nodes: Iterable[tuple[str, str, bool]], settings: Mapping) -> dict[str, str]:
    """Node id to part, where that of a host changes.

    :param own: id of its node, as the host returns it
    :param nodes: of `members`; the address of a worker is the one that it came from, and may be another one of its host

    A host loses the part of a manager by its address, whatever it returns. It becomes one by its own id, of a node that no other
    docker host has the address of.
    """
    address = settings["peers"][host]
    if part == "worker":
        return {key: part for key, where, managing in nodes if managing and where == address}
    others = set(settings["peers"].values()) - {address}
    return {key: part for key, where, managing in nodes if not managing and key == own and where not in others}


def _no_manager(managers: Iterable[str], silent: Iterable[str], active: Iterable[str]) -> str:
    text = f"a host is to join the swarm, and none of its managers ({', '.join(managers)}) answered"
    if active:
        return f"{text}: {', '.join(active)} are in it as workers; start a manager"
    if silent:
        return f"{text}: {', '.join(silent)} did not answer; start them, or run this without --limit"
    return f"{text}: there is no swarm yet; run this without --limit"
