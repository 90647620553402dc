"""Lookups of names beside a test: on hosts, over a reboot too, and in containers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from tests.support.clients import lost_lookups
from tests.support.cluster import answers_itself
from tests.support.overlay_reach import python
from tests.support.wait import eventually, side_by_side

IMAGE = "python:3.13-slim"
PATIENT = "--dns-opt timeout:5 --dns-opt attempts:2"  # of a container that waits for dockerd's own DNS to ask its second server
GLIBC = "getent ahostsv4"
MUSL = "resolver-musl:v1.0.0"
# Prints the seconds that one lookup took, or why it failed.
LOOKUP = """
import socket, sys, time
start = time.monotonic()
try:
    socket.getaddrinfo(sys.argv[1], 80)
except OSError as error:
    print(error)
else:
    print(round(time.monotonic() - start, 3))
"""
LOG = "/var/log/lookups"
LEAST = 10  # lookups of each name on each host, or they prove nothing

# Asks for one name as long as it runs, and from the next boot on; a line each.
UNIT = f"""[Unit]
Description=Lookups of a test: %i
After=network.target
StartLimitIntervalSec=0

[Service]
KillMode=mixed
ExecStart=/bin/sh -c 'while :; do getent hosts %i >/dev/null && echo ok || echo lost $$(date +%%T); sleep 0.1; done >>{LOG}.%i'

[Install]
WantedBy=multi-user.target
"""


class Lookups:
    """What the lookups of a test have found so far.

    :ivar made: (host, name) to the number of lookups; :ivar lost: those of them that failed, with their time
    """

    def __init__(self, nodes: Iterable, names: Iterable[str]):
        self.nodes, self.names = list(nodes), list(names)
        self.made: dict[tuple[str, str], int] = {}
        self.lost: dict[tuple[str, str], list[str]] = {}

    def start(self) -> None:
        side_by_side(functools.partial(self._start, node) for node in self.nodes)

    def stop(self) -> None:
        side_by_side(functools.partial(self._stop, node) for node in self.nodes)

    @property
    def _units(self) -> str:
        return " ".join(f"'discovery-lookups@{name}'" for name in self.names)

    def _start(self, node) -> None:
        node.run(
            f"cat >/etc/systemd/system/discovery-lookups@.service <<'END'\n{UNIT}END\n"
            f"rm -f {LOG}.*; systemctl daemon-reload; systemctl enable --now --quiet {self._units}"
        )

    def _stop(self, node) -> None:
        eventually(lambda: self._asked(node), 60)
        node.run(f"systemctl disable --now --quiet {self._units}")
        for name in self.names:
            answers = node.run(f"cat {LOG}.{name}").splitlines()
            lost = [answer for answer in answers if answer.startswith("lost")]
            self.made[node.name, name], self.lost[node.name, name] = len(answers), lost
        node.run(f"rm -f {LOG}.* /etc/systemd/system/discovery-lookups@.service; systemctl daemon-reload")

    def _asked(self, node) -> bool:
        return all(int(node.run(f"wc -l <{LOG}.{name}")) >= LEAST for name in self.names)

    def __str__(self) -> str:
        made, lost = sum(self.made.values()), {key: times for key, times in self.lost.items() if times}
        count = sum(map(len, lost.values()))
        return f"{count} of {made} lookups lost on {len(self.nodes)} hosts {lost or ''}".strip()

    def check(self) -> None:
        """Every host asked for every name, and nothing was lost."""
        assert all(made >= LEAST for made in self.made.values()), self.made
        assert not any(self.lost.values()), str(self)


@contextlib.contextmanager
def looking_up(nodes: Iterable, names: Iterable[str]) -> Iterator[Lookups]:
    """Names are looked up all the time on hosts while the block runs, also over a reboot of them."""
    lookups = Lookups(nodes, names)
    lookups.start()
    try:
        yield lookups
    finally:
        lookups.stop()


def unresolved(node, containers: Iterable[str], names: Iterable[str]) -> list[str]:
    """The output of programs of glibc and of musl images that cannot resolve all of these names.

    :param containers: that run on the node; a program asks in each of them, or in its network
    """
    failed = []
    for container in containers:
        for program in (f"docker exec {container} {GLIBC}", f"docker run --rm --network container:{container} {MUSL}"):
            asked = node.tries(f"{program} {' '.join(names)}")
            if asked.rc != 0:
                failed.append(f"{node.name}: {program}: {asked.stdout} {asked.stderr}")
    return failed


@contextlib.contextmanager
def asking(node, networks: Iterable[str], options: str = "") -> Iterator[list[str]]:
    """A container in each of these networks of a host while the block runs, with further options of `docker run`; their names."""
    names = {f"test-names-{network}-{node.name}": network for network in networks}
    try:
        for name, network in names.items():
            node.run(f"docker run -d --name {name} --network {network} {options} {IMAGE} sleep 3600")
        yield list(names)
    finally:
        node.tries(f"docker rm -f {' '.join(names)}")


@contextlib.contextmanager
def network(node, name: str) -> Iterator[str]:
    """A user-defined network of a host while the block runs; its name."""
    node.run(f"docker network create {name}")
    try:
        yield name
    finally:
        node.tries(f"docker network rm {name}")


@contextlib.contextmanager
def frozen_agent(node) -> Iterator[None]:
    """The Consul agent of a host hangs while the block runs: its sockets take packets, and nothing answers."""
    node.run("systemctl kill --signal=SIGSTOP consul")
    try:
        yield
    finally:
        node.run("systemctl kill --signal=SIGCONT consul")


def lookup_times(node, containers: Iterable[str], names: Iterable[str]) -> dict[str, float | str]:
    """How long one lookup of each name takes in each container, by a program of glibc and one of musl, all at the same time.

    :returns: program, container and name to seconds, or to why the lookup failed
    """
    places = [(program, container, name) for container in containers for name in names for program in (_by_glibc, _by_musl)]
    with ThreadPoolExecutor(len(places)) as pool:
        found = pool.map(lambda place: place[0](node, *place[1:]), places)
        return {f"{one.__name__[4:]} {container} {name}": got for (one, container, name), got in zip(places, found, strict=True)}


def _by_glibc(node, container: str, name: str) -> float | str:
    said = node.run(f"docker exec {container} {python(LOOKUP, name)}").strip()
    return float(said) if said.replace(".", "", 1).isdigit() else said


def _by_musl(node, container: str, name: str) -> float | str:
    """By dockerd's clock of the program: its container's own start and end take time as well."""
    one = f"{container}-{name}"
    try:
        asked = node.tries(f"docker run --name {one} --network container:{container} {MUSL} {name}")
        if asked.rc != 0:
            return asked.stderr.strip()
        times = node.run(f"docker inspect -f '{{{{.State.StartedAt}}}} {{{{.State.FinishedAt}}}}' {one}").split()
        start, end = map(datetime.fromisoformat, times)
        return (end - start).total_seconds()
    finally:
        node.tries(f"docker rm -f {one}")


def resolves(node, names: Iterable[str]) -> bool:
    return not any(lost_lookups(node, name, 3) for name in names)


def lost_of_each(nodes: Iterable, names: Iterable[str]) -> dict[tuple[str, str], int]:
    """How many of 100 lookups of each name fail on each host: the hosts at the same time, one name after the other.

    :returns: (host, name) to the number
    """
    asked = list(names)

    def of_host(node) -> dict[tuple[str, str], int]:
        return {(node.name, name): lost_lookups(node, name) for name in asked}

    found = side_by_side(functools.partial(of_host, node) for node in nodes)
    return {place: lost for one in found for place, lost in one.items()}


def settle(site, names: list[str]) -> None:
    """Wait until there is a leader, each server answers by itself, and each host resolves all names."""
    eventually(site.leader, 120, every=1)
    for server in site.servers:
        eventually(lambda server=server: answers_itself(site, server), 120, every=1)
    resolved = [functools.partial(resolves, node, names) for node in site.nodes.values()]
    side_by_side(functools.partial(eventually, probe, 120, every=1) for probe in resolved)
