"""What keeps a role from working on a host, as far as its facts show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .distributions import SUPPORTED, UNTESTED, release_name
from .host_addresses import host_addresses


def host_problems(
    host: str,
    role: str,
    facts: Mapping,
    addresses: Mapping[str, str] | None = None,
    supported: Iterable[str] = SUPPORTED,
    untested: bool = False,
) -> list[str]:
    """Unsupported distribution, or an address that is not on the host; one message each.

    :param host: inventory name
    :param role: the role
    :param facts: `ansible_facts` with the subsets distribution and network
    :param addresses: variable to the IPv4 address that it holds; '' is not checked
    :param supported: distributions with their version, such as "Debian 13"
    :param untested: discovery_untested_distributions: the site takes those of the table that the collection was not tried on
    :returns: [] when nothing is wrong
    """
    problems = []
    distribution = release_name(facts)
    instead = f"install {' or '.join(supported)}, or take the host out of the group that gives it this role"
    if distribution in UNTESTED and distribution not in supported:
        if not untested:
            problems.append(
                f"host {host} runs {distribution}, where the role {role} was not tried by us: set"
                f" discovery_untested_distributions to true to run it there without that; or {instead}"
            )
    elif distribution not in supported:
        problems.append(f"host {host} runs {distribution}, which the role {role} does not support: {instead}")
    for variable, address in (addresses or {}).items():
        if address and address not in facts["all_ipv4_addresses"]:
            problems.append(
                f"{variable} of host {host} is {address}, which is not on the host"
                f" (it has {', '.join(host_addresses(facts)) or 'none'}):"
                " set discovery_address (or ansible_host) of this host to one of them"
            )
    return problems


def server_problems(files: Mapping[str, str], host: str, main: str) -> list[str]:
    """What a host serves by a web server of its own, which the role would end without a copy.

    :param files: main files and sites of web servers, path to `ours`, `package` or `other` (see `host_facts`)
    :param host: inventory name
    :param main: the main file that the role writes; it includes no site of others
    :returns: [] when nothing is lost
    """
    if files.get(main, "ours") == "ours":
        return []
    folder = main.rpartition("/")[0]
    others = sorted(path for path, whose in files.items() if whose == "other" and path.startswith(f"{folder}/"))
    if not others:
        return []
    return [
        f"{host} serves something of its own by {', '.join(others)}, which the load balancer would end: its {main} includes no"
        " other file. Serve it by a container, or on another host, and remove these files (or put the package's back); or take"
        " the host out of load_balancers"
    ]
