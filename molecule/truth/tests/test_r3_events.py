"""R3: how soon the catalog follows dockerd, and that nothing is written while nothing changes."""

import contextlib
import functools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.catalog_watch import SETTLED, Watch, unwritten
from tests.support.site import SAMPLE_SERVICES
from tests.support.stalls import Stalls, assert_within
from tests.support.wait import eventually, side_by_side

SERVICE = "test-r3"
EVENTS = 100
ON_ONE_HOST = 5  # containers that start and stop in turn
WITHIN = 1.0  # seconds from event to catalog, for 99 of 100 events
STALL_CEILING = 2.0  # seconds of one stall of the machine
RESTARTS = 5
# The events that add and remove an instance: dockerd reports the signal that ends a container before its end.
COMES, GOES = "start", "kill"


@pytest.fixture
def made(site, settled):
    """Containers of one service on every docker host that do not run yet: their names."""
    names = [f"{SERVICE}-{n}" for n in range(ON_ONE_HOST)]
    run = f"docker create --name $name -P -e SERVICE_NAME={SERVICE} httpbackend:v1.0.0"
    try:
        make = f"for name in {' '.join(names)}; do {run} || exit 1; done"
        side_by_side(functools.partial(node.run, make) for node in site.docker_hosts)
        yield names
    finally:
        side_by_side(functools.partial(node.run, f"docker rm -f {' '.join(names)}") for node in site.docker_hosts)


def events(node, since: int) -> list[tuple[float, str, str]]:
    """Events of the containers since a moment, from dockerd: Unix time, action, container; the first of its kind each."""
    chosen = f"--filter event={COMES} --filter event={GOES}"
    printed = node.run(
        f"docker events --since {since} --until $(($(date +%s) + 1)) {chosen}"
        " --format '{{.TimeNano}} {{.Action}} {{.Actor.Attributes.name}}'"
    )
    lines = (line.split() for line in printed.splitlines())
    return [(int(at) / 1e9, action, name) for at, action, name in lines if name.startswith(SERVICE)]


def start_and_stop(node, names: list[str]) -> list[tuple[float, str, str]]:
    """One round on a host; each container rests while the others change, so nothing hides anything."""
    since = int(node.run("sleep 1.1; date +%s"))
    for command in ("start", "stop"):
        node.run(f"for name in {' '.join(names)}; do docker {command} $name || exit 1; done")
    return events(node, since)


def test_r3_the_catalog_follows_within_a_second(site, made, show):
    hosts = site.docker_hosts
    rounds = -(-EVENTS // (2 * len(made) * len(hosts)))
    took = {COMES: [], GOES: []}
    with Stalls() as stalls, Watch(site, SERVICE) as watch, ThreadPoolExecutor(len(hosts)) as pool:
        for _ in range(rounds):
            for node, listed in zip(hosts, pool.map(lambda node: start_and_stop(node, made), hosts), strict=True):
                eventually(lambda: not watch.passing, 10)
                for at, action, name in listed:
                    ended = at + WITHIN * 30
                    took[action].append(found(watch, node, name, at, ended, there=action == COMES) - at)
    both = took[COMES] + took[GOES]
    p99 = statistics.quantiles(both, n=100)[98]
    for what, times in (("starts", took[COMES]), ("stops", took[GOES]), ("events", both)):
        show(f"{len(times)} {what}: p50 {statistics.median(times):.3f} s, max {max(times):.3f} s after dockerd's event")
    show(f"p99 {p99:.3f} s; the machine stood for {stalls.longest:.3f} s")
    assert len(both) >= EVENTS
    assert_within("p99", p99, WITHIN, stalls.longest, STALL_CEILING)


def found(watch, node, name: str, after: float, before: float, there: bool) -> float:
    """When a container's instance was first in the catalog, or missing from it, after a moment (Unix time)."""
    for at, passing, _ in watch.history:
        if after <= at <= before and any(host == node.name and f":{name}:" in one for host, one in passing) == there:
            return at
    raise AssertionError(f"{name} on {node.name}: not {'there' if there else 'gone'} after {after}")


@pytest.mark.more  # H13's run of the whole site shows it for as long as that takes
@pytest.mark.parametrize("seconds", [30, 600])
def test_r3_nothing_changes_and_nothing_is_written(site, settled, show, seconds):
    time.sleep(SETTLED)
    with unwritten(site, show):
        time.sleep(seconds)


def test_r3_restarts_of_one_container_leave_the_others_alone(site, settled, start_container, show):
    node, name = site.docker_hosts[-1], "test-storm"
    start_container(node, name, "httpbackend:v1.0.0", f"-e SERVICE_NAME={name} -e SERVICE_TAGS=http")
    eventually(lambda: len(site.passing(name)) == 1, 30)
    time.sleep(SETTLED)
    others = [service["name"] for service in SAMPLE_SERVICES]
    with contextlib.ExitStack() as stack:
        watches = {other: stack.enter_context(Watch(site, other)) for other in others}
        one = stack.enter_context(Watch(site, name))
        node.run(f"for n in $(seq {RESTARTS}); do docker restart -t 1 {name}; done")
        eventually(lambda: site.passing(name) == site.places(node, f"name=^{name}$"), 10)
        written = len(one.changes) - 1
    show(f"{RESTARTS} restarts: {written} changes of {name}, none of {', '.join(others)}")
    assert written >= RESTARTS
    assert {other: watch.changes for other, watch in watches.items() if len(watch.changes) != 1} == {}
