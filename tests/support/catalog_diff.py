"""The catalog compared with the containers that run."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tests.support.wait import eventually


class Entry(NamedTuple):
    """An instance of a service: of which host, under which name, where, and passing or critical."""

    node: str
    name: str
    address: str
    port: int
    status: str


def running(site) -> Counter:
    """An entry for each TCP port that a running container with SERVICE_NAME publishes, as `docker ps` of each host shows it."""
    with ThreadPoolExecutor(len(site.docker_hosts)) as pool:
        return sum(pool.map(_containers, site.docker_hosts), Counter())


def _containers(node) -> Counter:
    listed = node.run('ids=$(docker ps -q); [ -z "$ids" ] || docker inspect $ids')
    found = Counter()
    for container in json.loads(listed or "[]"):
        given = dict(pair.split("=", 1) for pair in container["Config"]["Env"]) | (container["Config"]["Labels"] or {})
        sound = container["State"].get("Health", {}).get("Status", "healthy") == "healthy" and not container["State"]["Paused"]
        published = (container["NetworkSettings"]["Ports"] or {}).values()
        ports = {int(one["HostPort"]) for bindings in published for one in bindings or [] if one["HostIp"] == "0.0.0.0"}
        if "SERVICE_NAME" in given:
            status = "passing" if sound else "critical"
            found.update(Entry(node.name, given["SERVICE_NAME"], node.address, port, status) for port in ports)
    return found


def registered(site, asked=None) -> Counter:
    """The same from the catalog, Consul's own service aside; an entry that is there twice counts twice.

    :param asked: the node whose agent is asked
    """
    api = site.consul(asked)
    sick = {(check["Node"], check["ServiceID"]) for check in api.get("/v1/health/state/critical")}
    found = Counter()
    for name in {one["Node"] for one in api.get("/v1/catalog/nodes")}:
        for one in (api.get(f"/v1/catalog/node-services/{name}") or {"Services": []})["Services"]:
            if one["Service"] != "consul":
                status = "critical" if {(name, one["ID"]), (name, "")} & sick else "passing"
                found[Entry(name, one["Service"], one["Address"], one["Port"], status)] += 1
    return found


def agrees(site, asked=None) -> bool:
    """Whether both are the same; else an AssertionError names wrong and missing entries."""
    truth, catalog = running(site), registered(site, asked)
    assert truth == catalog, f"wrong {sorted((catalog - truth).elements())}, missing {sorted((truth - catalog).elements())}"
    return True


def resync(node) -> int:
    """Seconds between two comparisons of the registrator that runs on a host when nothing happens."""
    words = json.loads(node.run("docker inspect -f '{{json .Args}}' registrator"))
    return int(words[words.index("-resync") + 1])


def catch_up(site, since: float | None = None, asked=None) -> float:
    """Wait until the catalog has the containers that run, within one resync, and stays so.

    :param since: when that time begins (monotonic clock); default: now
    :returns: the seconds it took
    """
    since = since or time.monotonic()
    bound = resync(site.docker_hosts[0])
    eventually(lambda: agrees(site, asked), bound - (time.monotonic() - since))
    took = time.monotonic() - since
    assert took <= bound, f"not within {bound} s, but after {took:.1f} s"
    time.sleep(2)
    assert agrees(site, asked)
    return took
