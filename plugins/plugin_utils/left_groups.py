"""What a host has of a group of the inventory that it has left. Nothing here reads a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Part of the platform (as host_facts names it) to the group whose hosts have it, and how people call it.
PARTS = {"balancer": ("load_balancers", "a load balancer"), "registrator": ("docker_hosts", "a registrator")}


def left_parts(parts: Iterable[str], host: str, groups: Mapping[str, Iterable[str]]) -> list[str]:
    """Parts that a host has and whose group it is not in: balancer, registrator.

    :param parts: what the host has
    :param groups: group name to host names, as Ansible's `groups`
    """
    found = set(parts)
    return [part for part, (group, _unused) in PARTS.items() if part in found and host not in groups.get(group, ())]


def left_problems(
    parts: Iterable[str], host: str, groups: Mapping[str, Iterable[str]], overlay: str = "none", last: bool = False
) -> list[str]:
    """Why nothing may be removed from a host that has left a group, one message each with the way.

    A group that is empty is more often a mistake in the inventory than the end of all load balancers. A dockerd that is in the
    overlay network would take the network away from its containers.

    :param parts: what the host has
    :param groups: as `left_parts` takes it
    :param overlay: discovery_overlay
    :param last: whether the last host may leave a group
    """
    parts = list(parts)
    problems = []
    for part in left_parts(parts, host, groups):
        group, name = PARTS[part]
        if not list(groups.get(group, ())) and not last:
            problems.append(
                f"no host is in the group {group}, but {host} has {name}: put it back if the group is missing by mistake. To"
                f" remove it from {host} all the same, run this with -e leave_last=true"
            )
    # A host that never was a docker host of the site may have a swarm of its own.
    was = {"dockerd", "registrator"} & set(parts)
    if overlay != "none" and was and "overlay" in parts and host not in groups.get("docker_hosts", ()):
        problems.append(
            f"host {host} is not in docker_hosts, but its dockerd is in the overlay network (discovery_overlay: {overlay}): put"
            f" it back there, run playbooks/remove_node.yml -e remove_host={host}, and then take it out of docker_hosts"
        )
    return problems
