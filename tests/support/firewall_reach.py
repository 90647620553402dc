"""The ports of a host that answer (F1) external hosts, other hosts of the site and containers, probed from each of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.support.overlay_reach import IMAGE, python
from tests.support.wait import eventually

if TYPE_CHECKING:
    from tests.support.site import Node, Site

TABLE = "inet discovery"
UNDECLARED = 4444  # a program of the host that nobody has declared listens here while a test wants it
FREE = 4445  # nobody ever listens here
# Connects to all ports of an address at once; prints the result of each one as JSON: open, refused or silence.
KNOCK = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def knock(port):
    try:
        socket.create_connection((sys.argv[1], port), 1).close()
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "silence"
    return "open"
ports = list(map(int, sys.argv[2:]))
print(json.dumps(dict(zip(ports, ThreadPoolExecutor(64).map(knock, ports)))))
"""
LISTENING = re.compile(r"^\S+\s+\d+\s+\d+\s+(\S+):(\d+)\s", re.MULTILINE)


def listening(node: Node) -> set[int]:
    """TCP ports of a host that a program listens on for others than the host itself."""
    shown = LISTENING.findall(node.run("ss --no-header --numeric --listening --tcp"))
    return {int(port) for address, port in shown if not address.startswith(("127.", "[::1]"))}


def published(node: Node) -> set[int]:
    """TCP ports that containers of a host publish."""
    ranges = re.findall(r"0\.0\.0\.0:(\d+)(?:-(\d+))?->[\d-]+/tcp", node.run("docker ps --format '{{.Ports}}'"))
    return {port for low, high in ranges for port in range(int(low), int(high or low) + 1)}


def answers(asker: Node, address: str, ports: Iterable[int], container: str = "") -> dict[str, set[int]]:
    """What a machine, or a container on it, gets from ports of an address: {"open": ports, "refused": …, "silence": …}."""
    command = python(KNOCK, address, *map(str, sorted(ports)))
    results = json.loads(asker.run(f"docker exec {container} {command}" if container else command))
    return {word: {int(port) for port, result in results.items() if result == word} for word in ("open", "refused", "silence")}


def start_probe(node: Node, network: str = "bridge") -> str:
    """A container that does nothing; its name."""
    name = f"probe-{network}-{node.name}"  # an overlay network of Consul's store has each name once
    node.tries(f"docker rm -f {name}")
    sleep = "import time; time.sleep(100000)"
    node.run(f"docker run -d --name {name} --network {network} -e SERVICE_IGNORE=1 --entrypoint '' {IMAGE} {python(sleep)}")
    return name


def start_undeclared(node: Node) -> None:
    """A program of the host that listens where nothing is declared; it does when this returns."""
    node.tries("systemctl stop undeclared.service")
    node.run(f"systemd-run --quiet --collect --unit undeclared python3 -m http.server {UNDECLARED} --directory /run/lock")
    eventually(lambda: UNDECLARED in listening(node), 20)


def declared_to_all(site: Site, node: Node) -> set[int]:
    """The ports that any external host reaches, by the table in the role's README."""
    return {22} | ({80, 443, *range(9990, 10000)} if node in site.balancers else set())


def declared_to_members(site: Site, node: Node) -> set[int]:
    """What the other hosts of the site reach beside that, but for published ports."""
    ports = {53, 8301, 8501}
    ports |= {8300} if node in site.servers else set()
    if node in site.docker_hosts:
        ports |= {2376}
        overlay = node.variables.get("discovery_overlay", "none")
        ports |= {"none": set(), "consul": {7946}, "swarm": {7946, 2377}}[overlay]
    return ports


DECLARED_TO_CONTAINERS = {53, 8501}


def ports_of(node: Node) -> set[int]:
    """TCP ports of a host that somebody may reach, and one that nobody listens on."""
    return listening(node) | (published(node) if "docker_hosts" in node.variables["group_names"] else set()) | {FREE}


def expected(site: Site, node: Node) -> dict[str, set[int]]:
    """The ports of a host that each kind of client should reach."""
    there = ports_of(node)
    anyone = declared_to_all(site, node) & there
    own = published(node) if node in site.docker_hosts else set()
    hidden = (declared_to_members(site, node) | {UNDECLARED, FREE}) - DECLARED_TO_CONTAINERS - own
    return {
        "external host": anyone,
        "member": anyone | (declared_to_members(site, node) & there) | own,
        "container here": there - (declared_to_members(site, node) - DECLARED_TO_CONTAINERS),
        "container elsewhere": (anyone | (declared_to_members(site, node) & there) | own) - hidden,
    }


def observed(site: Site, external_host: Node, probes: dict[str, str], node: Node) -> dict[str, dict]:
    """What each of them gets from a host's ports."""
    ports = ports_of(node)
    member = next(one for one in site.docker_hosts if one is not node)
    places = [
        {"external host": (external_host, "")},
        {"member": (member, ""), "container elsewhere": (member, probes[member.name])},
    ]
    if node.name in probes:
        places.append({"container here": (node, probes[node.name])})

    def ask(place: dict) -> dict[str, dict]:
        return {who: answers(asker, node.address, ports, container) for who, (asker, container) in place.items()}

    with ThreadPoolExecutor(len(places)) as pool:  # the machines at the same time: where nothing answers each takes a second
        return {who: found for part in pool.map(ask, places) for who, found in part.items()}


def check(site: Site, external_host: Node, probes: dict[str, str]) -> list[str]:
    """Each kind of client reaches the declared ports and no others; the result, a line a host."""
    lines = []
    nodes = list(site.nodes.values())
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda node: (expected(site, node), observed(site, external_host, probes, node)), nodes))
    for node, (wanted, results) in zip(nodes, found, strict=True):
        # Refused is reached as well: a published port behind which nothing listens, or one that only containers may ask for.
        reached = {who: found["open"] | found["refused"] for who, found in results.items()}
        assert reached == {who: wanted[who] for who in results}, f"{node.name}: {reached}, not {wanted}"
        counts = ", ".join(f"{who} {len(found['open'])}" for who, found in results.items())
        lines.append(f"{node.name}: {len(ports_of(node))} ports; open: {counts}")
    return lines


def await_check(site: Site, external_host: Node, probes: dict[str, str], *nodes: Node) -> None:
    """Wait until `check` passes after an event on hosts, which may have ended the containers that ask there."""

    def as_before() -> list[str]:
        for node in nodes:
            node.run(f"docker start {probes[node.name]}")  # dockerd may end it only now
        return check(site, external_host, probes)

    eventually(as_before, 120, every=1)
