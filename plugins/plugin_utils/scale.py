"""Scaling: the containers of one service to start, to end and to keep on each docker host."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

from .node_names import NODE_NAME

# Labels of a container that scale_service has started: its service, and a hash of image, env and network.
SERVICE, SPEC = "org.fewnodes.scale.service", "org.fewnodes.scale.spec"
# The role sets SERVICE_NAME; an id is unique to an instance; an ignored instance would never pass.
RESERVED = ("SERVICE_NAME", "SERVICE_ID", "SERVICE_IGNORE")
WHOLE = re.compile(r"[0-9]+")


def scale_request(given: Mapping, docker_hosts: Iterable[str], hosts: Iterable[str]) -> dict:
    """The request that the variables express, and what is wrong with it.

    :param given: scale_service, scale_image, scale_count, and where set scale_hosts (list, or text with commas),
        scale_env (dict, or its JSON), scale_network
    :param docker_hosts: hosts of the inventory that run dockerd
    :param hosts: all hosts of the inventory
    :returns: service, image, count (int), hosts (list), env (dict), network, spec (a hash of image, env and network), and
        problems: one text each, naming variable, value and what to set
    """
    docker_hosts, problems = list(docker_hosts), []
    service, image = str(given.get("scale_service", "")), str(given.get("scale_image", ""))
    if not NODE_NAME.fullmatch(service) or service == "consul":
        problems.append(
            f"scale_service is {service!r}: set it to the name of the service, up to 63 lower-case letters, digits and"
            " hyphens that DNS can carry (-e scale_service=web); the name consul is Consul's own"
        )
    if not image or image.startswith("-") or re.search(r"\s", image):
        problems.append(f"scale_image is {image!r}: set it to the image to run (-e scale_image=web:1.0)")
    count = str(given.get("scale_count", ""))
    if not WHOLE.fullmatch(count):
        problems.append(f"scale_count is {count!r}: set it to the number of containers, 0 or more (-e scale_count=3)")
    chosen = _host_list(given.get("scale_hosts") or []) or docker_hosts
    for name in chosen:
        if name not in docker_hosts:
            known = "is in the inventory but not in docker_hosts" if name in hosts else "is not in the inventory"
            problems.append(f"scale_hosts names {name!r}, which {known}: choose among {', '.join(docker_hosts) or 'none'}")
    env, wrong = _environment(given.get("scale_env") or {})
    network = str(given.get("scale_network") or "")
    return {
        "service": service,
        "image": image,
        "count": int(count) if WHOLE.fullmatch(count) else 0,
        "hosts": sorted(set(chosen)),
        "env": env,
        "network": network,
        "spec": hashlib.sha256(json.dumps([image, env, network], sort_keys=True).encode()).hexdigest()[:16],
        "problems": problems + wrong,
    }


def scale_plan(
    containers: Mapping[str, Iterable[Mapping]], request: Mapping, nodes: Mapping[str, str] | None = None
) -> dict[str, dict[str, list[str]]]:
    """The containers to start and to end, so that `count` of them run, spread evenly over the hosts of the service.

    :param containers: hosts whose dockerd answers, each with its containers as GET /containers/json?all=1 lists them
    :param request: of `scale_request`
    :param nodes: host to what Consul calls it, for those that it calls otherwise
    :returns: for each of these hosts the names of containers to `start`, to `end` and to `keep`, sorted

    Hosts differ by one container at most. A running container stays, unless its host has too many or its spec (image, env,
    network) differs. Started names are `<service>-<node>-<number>`, because an overlay network that is kept in Consul takes each
    name once. A name that another container has is skipped.
    """
    taken: dict[str, set[str]] = {}
    good: dict[str, list[str]] = {}
    bad: dict[str, list[str]] = {}
    for host, listed in containers.items():
        taken[host], good[host], bad[host] = set(), [], []
        for container in listed:
            name, labels = container["Names"][0].lstrip("/"), container.get("Labels") or {}
            taken[host].add(name)
            if labels.get(SERVICE) == request["service"]:
                fits = host in request["hosts"] and labels.get(SPEC) == request["spec"] and container["State"] == "running"
                (good if fits else bad)[host].append(name)
    share = _shares({host: len(good[host]) for host in containers if host in request["hosts"]}, request["count"])
    plan = {}
    for host in containers:
        running = sorted(good[host], key=_number)
        keep = running[: share.get(host, 0)]
        called = f"{request['service']}-{(nodes or {}).get(host, host)}"
        free = (f"{called}-{number}" for number in range(1, len(taken[host]) + request["count"] + 1))
        start = [name for name in free if name not in taken[host]][: share.get(host, 0) - len(keep)]
        plan[host] = {"start": start, "end": sorted(bad[host] + running[len(keep) :], key=_number), "keep": keep}
    return plan


def scale_ids(checks: Iterable[Mapping], names: Iterable[str], tags: Iterable[str] = ()) -> list[str]:
    """Service ids of containers; the second part of an id is the container's name.

    :param checks: checks of a host, as /v1/health/node/<host> returns them
    :param names: names of the containers
    :param tags: only services with one of these; none: all
    """
    names, tags = set(names), set(tags)
    found = {
        check["ServiceID"]
        for check in checks
        if _container(check) in names and (not tags or tags & set(check.get("ServiceTags") or []))
    }
    return sorted(found)


def scale_waiting(checks: Iterable[Mapping], names: Iterable[str]) -> list[str]:
    """Containers whose service is not registered yet or does not pass, each with its state.

    :param checks: checks of a host, as /v1/health/node/<host> returns them
    """
    checks = list(checks)
    waiting = []
    for name in names:
        states = {check["Status"] for check in checks if _container(check) == name}
        if states != {"passing"}:
            waiting.append(f"{name} ({', '.join(sorted(states - {'passing'})) or 'not registered'})")
    return waiting


def _shares(running: Mapping[str, int], count: int) -> dict[str, int]:
    """The number of containers of each host; one more where more run already, then by name."""
    if not running:
        return {}
    each, rest = divmod(count, len(running))
    first = sorted(running, key=lambda host: (-running[host], host))
    return {host: each + (place < rest) for place, host in enumerate(first)}


def _number(name: str) -> tuple[int, str]:
    """Sort key: containers by their numbers, then those without one."""
    end = name.rpartition("-")[2]
    return (int(end) if WHOLE.fullmatch(end) else 10**9, name)


def _container(check: Mapping) -> str:
    return (check["ServiceID"].split(":") + [""])[1]


def _host_list(given: str | Iterable[str]) -> list[str]:
    return [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else list(given)


def _environment(given: str | Mapping) -> tuple[dict[str, str], list[str]]:
    """The environment and the problems in it."""
    example = """such as -e '{"scale_env": {"SERVICE_TAGS": "http"}}'"""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError as error:
            return {}, [f"scale_env is {given!r}, which is no JSON ({error}): set it to names and texts, {example}"]
    if not isinstance(given, Mapping):
        return {}, [f"scale_env is {given!r}: set it to names and texts, {example}"]
    problems = [
        f"scale_env sets {key} to {value!r}, which is no text: put the value in quotation marks"
        for key, value in given.items()
        if not isinstance(value, str)
    ]
    for key in given:
        name = re.sub(r"^SERVICE_[0-9]+_", "SERVICE_", str(key))
        if name in RESERVED:
            problems.append(f"scale_env sets {key}: remove it, each container is registered under the name scale_service")
    return {str(key): str(value) for key, value in given.items()}, problems
