"""Draining: which services leave service DNS and the load balancers on each host, or come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

VARIABLES = ("drain_service", "drain_container", "drain_host")


def drain_request(given: Mapping, docker_hosts: Iterable[str], servers: Iterable[str]) -> dict:
    """The request that the variables express, and what is wrong with it.

    :param given: drain_service, drain_container, drain_host; an unset one may be absent or ''
    :param docker_hosts: hosts of the inventory that run dockerd
    :param servers: Consul servers of the inventory
    :returns: service, container, host ('' for any), node (whether the whole host is drained, with services that start there
        later), and problems: one text each, naming variable, value and what to set
    """
    docker_hosts, servers = list(docker_hosts), list(servers)
    service, container, host = (str(given.get(name) or "") for name in VARIABLES)
    problems = []
    if not (service or container or host):
        problems.append(
            "drain_service, drain_container and drain_host are empty: set one of them (-e drain_container=web-1); drain_host"
            " beside one of the others limits it to that host"
        )
    if service and container:
        problems.append(f"drain_service is {service!r} and drain_container {container!r}: set one of them")
    if service == "consul":
        problems.append("drain_service is 'consul', which is Consul's own: set drain_host to drain a whole host")
    if host and host not in docker_hosts:
        problems.append(f"drain_host is {host!r}, which is not in docker_hosts: choose among {', '.join(docker_hosts) or 'none'}")
    node = bool(host) and not service and not container
    if node and servers == [host]:
        problems.append(
            f"drain_host is {host!r}, the only Consul server: load balancers do not trust a catalog without a healthy server."
            " Set drain_service or drain_container instead"
        )
    return {"service": service, "container": container, "host": host, "node": node, "problems": problems}


def drain_plan(
    states: Mapping[str, Iterable[Mapping]],
    request: Mapping,
    last: bool = False,
    undrain: bool = False,
    nodes: Mapping[str, str] | None = None,
) -> dict:
    """The services to drain, or to undrain, on each host.

    :param states: the docker hosts that answer, each with its services as the module `consul_maintenance` returns them
    :param request: of `drain_request`
    :param last: whether the last healthy instance of a service may be drained
    :param undrain: whether the services come back, so that no service loses an instance
    :param nodes: host to what Consul calls it, for those that it calls otherwise
    :returns: hosts (each with node, and ids and containers of its services), instances ("<node> <id>" of all of them) and
        problems (texts)
    """
    hosts: dict[str, dict] = {}
    for host, services in states.items():
        if request["host"] in ("", host):
            chosen = [one for one in services if _requested(one, request)]
            if chosen or request["node"]:
                hosts[host] = {
                    "node": request["node"],
                    "ids": sorted(one["id"] for one in chosen),
                    "containers": sorted({one["container"] for one in chosen} - {""}),
                }
    problems = []
    if request["host"] and request["host"] not in states:
        problems.append(
            f"drain_host is {request['host']!r}, whose agent does not answer: a dead host is out of service already; set"
            " drain_host to a host that answers"
        )
    elif not hosts:
        problems.append(_not_registered(states, request))
    if not undrain and not last and (lost := _lost(states, hosts)):
        problems.append(
            f"no healthy instance would be left of {', '.join(lost)}: start more instances first (playbooks/scale_service.yml),"
            " or set drain_last=true to drain the last one, too"
        )
    instances = [f"{(nodes or {}).get(host, host)} {one}" for host, chosen in hosts.items() for one in chosen["ids"]]
    return {"hosts": hosts, "instances": instances, "problems": problems}


def _requested(service: Mapping, request: Mapping) -> bool:
    if request["service"]:
        return service["name"] == request["service"]
    return request["node"] or service["container"] == request["container"]


def _not_registered(states: Mapping[str, Iterable[Mapping]], request: Mapping) -> str:
    """The problem that no service matches the request, with those that are registered."""
    variable, field = ("drain_service", "name") if request["service"] else ("drain_container", "container")
    value = request["service"] or request["container"]
    nobody = f"{request['host']} has not registered" if request["host"] else "no docker host has registered"
    registered = {one[field] for host, services in states.items() if request["host"] in ("", host) for one in services}
    known = ", ".join(sorted(registered - {""})) or "nothing"
    return f"{variable} is {value!r}, which {nobody}: choose among {known}"


def _lost(states: Mapping[str, Iterable[Mapping]], hosts: Mapping[str, Mapping]) -> list[str]:
    """Names of services that have a healthy instance before the change, and none afterwards."""
    before, after = set(), set()
    for host, services in states.items():
        going = hosts.get(host, {"ids": []})["ids"]
        for one in services:
            if one["passing"]:
                before.add(one["name"])
                if one["id"] not in going:
                    after.add(one["name"])
    return sorted(before - after)
