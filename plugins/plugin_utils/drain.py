"""Taking services out of names and balancers, and back: what is asked for, and what that means on each host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

VARIABLES = ("drain_service", "drain_container", "drain_host")


def drain_request(given: Mapping, docker_hosts: Iterable[str], servers: Iterable[str]) -> dict:
    """What the caller's variables ask for, and what is wrong with them.

    :param given: drain_service, drain_container, drain_host; what is not set may be left out or ''
    :param docker_hosts: hosts of the inventory with an engine
    :param servers: Consul servers of the inventory
    :returns: service, container, host ('' for any), node (whether a whole host goes, with what will start there), and
        problems: one text each, naming variable, value and what to set
    """
    docker_hosts, servers = list(docker_hosts), list(servers)
    service, container, host = (str(given.get(name) or "") for name in VARIABLES)
    problems = []
    if not (service or container or host):
        problems.append(
            "nothing says what to drain: set drain_service, drain_container or drain_host (-e drain_container=web-1); a host"
            " beside one of the others means only there"
        )
    if service and container:
        problems.append(f"drain_service is {service!r} and drain_container {container!r}: set one of them")
    if service == "consul":
        problems.append("drain_service is 'consul', which is Consul's own: set drain_host to take a whole host out")
    if host and host not in docker_hosts:
        problems.append(f"drain_host is {host!r}, which is not in docker_hosts: choose among {', '.join(docker_hosts) or 'none'}")
    node = bool(host) and not service and not container
    if node and servers == [host]:
        problems.append(
            f"drain_host is {host!r}, the only Consul server: a balancer that sees no server believes nothing any more. Set"
            " drain_service or drain_container instead"
        )
    return {"service": service, "container": container, "host": host, "node": node, "problems": problems}


def drain_plan(states: Mapping[str, Iterable[Mapping]], request: Mapping, last: bool = False, back: bool = False) -> dict:
    """What goes on which host, or comes back.

    :param states: the docker hosts that answer, each with its services as the module `maintenance` gives them
    :param request: of `drain_request`
    :param last: whether a service may lose its last instance
    :param back: for the way back, where no service loses anything
    :returns: hosts (each with ids and containers of its services, and node), places ("<host> <id>" of all of them) and
        problems (texts)
    """
    hosts: dict[str, dict] = {}
    for host, services in states.items():
        if request["host"] in ("", host):
            chosen = [one for one in services if _meant(one, request)]
            if chosen or request["node"]:
                hosts[host] = {
                    "node": request["node"],
                    "ids": sorted(one["id"] for one in chosen),
                    "containers": sorted({one["container"] for one in chosen} - {""}),
                }
    problems = []
    if request["host"] and request["host"] not in states:
        problems.append(f"drain_host is {request['host']!r}, whose agent does not answer: what is dead is out already")
    elif not hosts:
        problems.append(_nothing(states, request))
    if not back and not last and (gone := _lost(states, hosts)):
        problems.append(
            f"nothing would be left of {', '.join(gone)}: start more of it first (playbooks/scale_service.yml), or set"
            " drain_last=true to take it out all the same"
        )
    places = [f"{host} {service_id}" for host, chosen in hosts.items() for service_id in chosen["ids"]]
    return {"hosts": hosts, "places": places, "problems": problems}


def _meant(service: Mapping, request: Mapping) -> bool:
    if request["service"]:
        return service["name"] == request["service"]
    return request["node"] or service["container"] == request["container"]


def _nothing(states: Mapping[str, Iterable[Mapping]], request: Mapping) -> str:
    """Nothing that is registered is meant; what there is instead."""
    variable, field = ("drain_service", "name") if request["service"] else ("drain_container", "container")
    where = request["host"] or "any docker host"
    there = {one[field] for host, services in states.items() if request["host"] in ("", host) for one in services}
    known = ", ".join(sorted(there - {""})) or "nothing"
    return f"{variable} is {request['service'] or request['container']!r}, which {where} has not registered; there is {known}"


def _lost(states: Mapping[str, Iterable[Mapping]], hosts: Mapping[str, Mapping]) -> list[str]:
    """Names of services that pass somewhere now, and nowhere afterwards."""
    before, after = set(), set()
    for host, services in states.items():
        going = hosts.get(host, {"ids": []})["ids"]
        for one in services:
            if one["passing"]:
                before.add(one["name"])
                if one["id"] not in going:
                    after.add(one["name"])
    return sorted(before - after)
