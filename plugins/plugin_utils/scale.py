"""Containers of one service over several docker hosts: what is asked for, what runs, what to start and what to end."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

from .site import NODE_NAME

# On a container that scale_service has started: the service it is an instance of, and a hash of what it was made from.
SERVICE, SPEC = "org.fewnodes.scale.service", "org.fewnodes.scale.spec"
# Set by the playbook, or one value for all instances where each needs its own.
RESERVED = ("SERVICE_NAME", "SERVICE_ID", "SERVICE_IGNORE")
WHOLE = re.compile(r"[0-9]+")


def scale_request(given: Mapping, docker_hosts: Iterable[str], hosts: Iterable[str]) -> dict:
    """What the caller's variables ask for, and what is wrong with them.

    :param given: scale_service, scale_image, scale_count, and where set scale_hosts (list, or text with commas),
        scale_env (dict, or its JSON), scale_network
    :param docker_hosts: hosts of the inventory with an engine
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
        problems.append(f"scale_count is {count!r}: set it to how many containers shall run, 0 or more (-e scale_count=3)")
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


def scale_plan(engines: Mapping[str, Iterable[Mapping]], request: Mapping) -> dict[str, dict[str, list[str]]]:
    """What to start and what to end, so that the service runs `count` times, spread evenly over its hosts.

    :param engines: hosts whose engine answers, each with its containers as GET /containers/json?all=1 lists them
    :param request: of `scale_request`
    :returns: for each of these hosts the names of containers to `start`, to `end` and to `keep`, sorted

    Hosts differ by one container at most. What runs stays, unless it is too much for its host, was made from something else
    (image, env, network), or does not run well. Started names are `<service>-<host>-<number>`: an overlay network that is kept
    in Consul takes each name once. Names that others hold are left out.
    """
    taken: dict[str, set[str]] = {}
    good: dict[str, list[str]] = {}
    bad: dict[str, list[str]] = {}
    for host, containers in engines.items():
        taken[host], good[host], bad[host] = set(), [], []
        for container in containers:
            name, labels = container["Names"][0].lstrip("/"), container.get("Labels") or {}
            taken[host].add(name)
            if labels.get(SERVICE) == request["service"]:
                fits = host in request["hosts"] and labels.get(SPEC) == request["spec"] and container["State"] == "running"
                (good if fits else bad)[host].append(name)
    share = _shares({host: len(good[host]) for host in engines if host in request["hosts"]}, request["count"])
    plan = {}
    for host in engines:
        running = sorted(good[host], key=_number)
        keep = running[: share.get(host, 0)]
        free = (f"{request['service']}-{host}-{number}" for number in range(1, len(taken[host]) + request["count"] + 1))
        start = [name for name in free if name not in taken[host]][: share.get(host, 0) - len(keep)]
        plan[host] = {"start": start, "end": sorted(bad[host] + running[len(keep) :], key=_number), "keep": keep}
    return plan


def scale_ids(checks: Iterable[Mapping], names: Iterable[str], tags: Iterable[str] = ()) -> list[str]:
    """Ids of the services that containers have, by the id's second part, which is the container's name.

    :param checks: a host's, as /v1/health/node/<host> gives them
    :param names: the containers'
    :param tags: only of services with one of these; none: of all
    """
    names, tags = set(names), set(tags)
    found = {
        check["ServiceID"]
        for check in checks
        if _container(check) in names and (not tags or tags & set(check.get("ServiceTags") or []))
    }
    return sorted(found)


def scale_waiting(checks: Iterable[Mapping], names: Iterable[str]) -> list[str]:
    """Containers that have no service yet, or one that does not pass; with what each waits for.

    :param checks: a host's, as /v1/health/node/<host> gives them
    """
    checks = list(checks)
    waiting = []
    for name in names:
        states = {check["Status"] for check in checks if _container(check) == name}
        if states != {"passing"}:
            waiting.append(f"{name} ({', '.join(sorted(states - {'passing'})) or 'not registered'})")
    return waiting


def _shares(running: Mapping[str, int], count: int) -> dict[str, int]:
    """How many each host gets; one more where more run already, then by name."""
    if not running:
        return {}
    each, rest = divmod(count, len(running))
    first = sorted(running, key=lambda host: (-running[host], host))
    return {host: each + (place < rest) for place, host in enumerate(first)}


def _number(name: str) -> tuple[int, str]:
    """Containers in the order of their numbers; others after them."""
    end = name.rpartition("-")[2]
    return (int(end) if WHOLE.fullmatch(end) else 10**9, name)


def _container(check: Mapping) -> str:
    return (check["ServiceID"].split(":") + [""])[1]


def _host_list(given: str | Iterable[str]) -> list[str]:
    return [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else list(given)


def _environment(given: str | Mapping) -> tuple[dict[str, str], list[str]]:
    """The environment, and what is wrong with it."""
    example = """such as -e '{"scale_env": {"SERVICE_TAGS": "http"}}'"""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError as error:
            return {}, [f"scale_env is {given!r}, which is no JSON ({error}): set it to names and texts, {example}"]
    if not isinstance(given, Mapping):
        return {}, [f"scale_env is {given!r}: set it to names and texts, {example}"]
    problems = [
        f"scale_env sets {key} to {value!r}, which is no text: put it in quotation marks"
        for key, value in given.items()
        if not isinstance(value, str)
    ]
    for key in given:
        name = re.sub(r"^SERVICE_[0-9]+_", "SERVICE_", str(key))
        if name in RESERVED:
            problems.append(f"scale_env sets {key}: leave it out, each container is registered as scale_service")
    return {str(key): str(value) for key, value in given.items()}, problems
