"""L4: containers that start and stop all the time cost no more than a reload a second, and nobody else a request."""

import contextlib
import functools
import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.balancer import backend, reloads_for_instances, status
from tests.support.clients import tcp_echo
from tests.support.http_load import await_served, http_load
from tests.support.wait import Repeating, side_by_side

PACE = 50 / 60  # starts and stops a second, of all docker hosts together
INTERVAL = 1.0  # seconds between two reloads, at least
BUSY = ("busy-a", "busy-b", "busy-c")  # one container of each on every docker host


class Reloads(Repeating):
    """The reloads of a balancer while the block runs, from its status: {number: Unix time}."""

    pause = 0.3

    def __init__(self, balancer):
        super().__init__()
        self.balancer, self.observed = balancer, {}
        self.step()

    def step(self) -> None:
        now = status(self.balancer)
        self.observed[now["reloads"]] = now["last_reload"]

    @property
    def count(self) -> int:
        return max(self.observed) - min(self.observed)

    @property
    def closest(self) -> float:
        """The shortest time between two reloads, in seconds. The interval counts from the start of a sync, and a sync
        that was slow reloads late: so two can be closer than the interval, but never more than one a second on the whole."""
        pairs = itertools.pairwise(sorted(self.observed.items()))
        return min(((after[1] - before[1]) / (after[0] - before[0]) for before, after in pairs), default=float("inf"))

    @property
    def too_many(self) -> list[str]:
        """Stretches of time, between any two reloads, with more than one reload a second, and one."""
        pairs = itertools.combinations(sorted(self.observed.items()), 2)
        found = [(b[0] - a[0], b[1] - a[1]) for a, b in pairs if b[0] - a[0] > (b[1] - a[1]) / INTERVAL + 1]
        return [f"{count} reloads in {seconds:.1f} s" for count, seconds in found]


class Echoes(Repeating):
    """New connections to a tcp service through a balancer while the block runs."""

    def __init__(self, balancer):
        super().__init__()
        self.balancer, self.count, self.failed = balancer, 0, []

    def step(self) -> None:
        self.count += 1
        try:
            line = tcp_echo(self.balancer.address, 9999, "churn")
        except OSError as error:
            line = repr(error)
        if "[churn]" not in line:
            self.failed.append(f"{self.balancer.name}: {line}")


def start_and_stop(node, seconds: float, every: float, offset: float) -> int:
    """Start and stop the busy containers of a host in turn at this pace, beginning `offset` seconds from now; how often."""
    begin = time.monotonic() + offset
    for number in range(round(seconds / every)):
        time.sleep(max(0, begin + number * every - time.monotonic()))
        node.run(f"docker {'stop -t 2' if number % 2 else 'start'} {BUSY[number // 2 % len(BUSY)]}")
    return round(seconds / every)


def churn(site, folder, show, seconds: float) -> None:
    hosts, every = site.docker_hosts, len(site.docker_hosts) / PACE
    reloads, echoes = [Reloads(balancer) for balancer in site.balancers], [Echoes(balancer) for balancer in site.balancers]
    with http_load(site, site.front, folder) as requests, ThreadPoolExecutor(len(hosts)) as pool:
        with contextlib.ExitStack() as stack:
            for one in (*reloads, *echoes):
                stack.enter_context(one)
            begin = time.monotonic()
            turns = [pool.submit(start_and_stop, node, seconds, every, number / PACE) for number, node in enumerate(hosts)]
            count = sum(turn.result() for turn in turns)
            took = time.monotonic() - begin
        show(f"{count} starts and stops in {took:.0f} s")
        for one in reloads:
            show(f"{one.balancer.name}: {one.count} reloads, {one.closest:.2f} s apart at least")
        show(f"httpfront: {requests}; tcpfront: {sum(e.count for e in echoes)} new connections")
        requests.assert_served()
    assert [problem for one in echoes for problem in one.failed] == []
    for one in reloads:
        # Without reloads for instances none, because their names are known; with prepared servers perhaps none.
        least = backend(site).calm_from == float("inf")
        assert least <= one.count <= (took / INTERVAL + 1 if reloads_for_instances(site, one.balancer) else 0)
        assert one.too_many == []


@pytest.fixture
def busy(site, settled, start_container):
    """The containers that start and stop; they are there, and stopped."""

    def made(node) -> None:
        for name in BUSY:
            start_container(node, name, "httpbackend:v1.0.0", f"-e SERVICE_NAME={name} -e VERSION={name} -e SERVICE_TAGS=http")
        node.run(f"docker stop -t 2 {' '.join(BUSY)}")

    side_by_side(functools.partial(made, node) for node in site.docker_hosts)
    yield
    side_by_side(functools.partial(node.run, f"docker start {' '.join(BUSY)}") for node in site.docker_hosts)
    for name in BUSY:  # whatever was coalesced: what is there in the end is served
        await_served(site, site.backend(name))


def test_l4_churn(site, busy, tmp_path, show):
    churn(site, tmp_path, show, 20)


@pytest.mark.more
def test_l4_churn_of_a_minute(site, busy, tmp_path, show):
    churn(site, tmp_path, show, 60)
