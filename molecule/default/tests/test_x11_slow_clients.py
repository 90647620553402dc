"""X11: clients that are slow or idle do not hurt those that are not."""

import statistics
import time

from tests.support.http_load import HttpLoad, http_load
from tests.support.slow_clients import SlowClients
from tests.support.wait import eventually, side_by_side

SLOW, IDLE = 300, 500  # from one address
ROUNDS, SECONDS = 3, 4  # without and with them in turn: a busy machine hurts both
MOST = 9  # rounds; more than ROUNDS where something else hurt one side of them
NOISE = 0.01  # seconds: a p99 that is less than half of it is as good as any


def latencies(load: HttpLoad, address: str, seconds: float) -> list[float]:
    """Seconds that the requests to a balancer took in this time; all were a success."""
    begin = time.time()
    time.sleep(seconds)
    samples = [sample for sample in load.sent_since(begin) if sample.address == address]
    assert len(samples) > 20, f"{len(samples)} requests in {seconds} s"
    failed = [str(sample) for sample in samples if not sample.ok]
    assert failed == []
    return [sample.ended - sample.sent for sample in samples]


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


def within(beside: list[float], without: list[float]) -> bool:
    return p99(beside) <= max(2 * p99(without), NOISE)


def crowded(site, tmp_path, show) -> None:
    """Requests to a balancer without and beside slow and idle clients; the load runs all the time."""
    balancer = site.balancers[0]
    without, beside, closed = [], [], 0
    with http_load(site, site.front, tmp_path, every=0.01) as load:
        for number in range(MOST):
            if number >= ROUNDS and within(beside, without):
                break
            without += latencies(load, balancer.address, SECONDS)
            with SlowClients(balancer.address, 80, site.front.host, SLOW, IDLE) as crowd:
                eventually(lambda c=crowd: c.complete, 30)
                beside += latencies(load, balancer.address, SECONDS)
            closed += crowd.closed
    for when, took in (("without", without), (f"beside {SLOW} slow headers and {IDLE} idle connections", beside)):
        show(f"{when}: p50 {statistics.median(took) * 1000:.1f} ms, p99 {p99(took) * 1000:.1f} ms, of {len(took)} requests")
    show(f"the balancer closed {closed} of these connections")
    assert within(beside, without)


def slow_header(site, show) -> None:
    """A single client that sends a line now and then is closed: the time is for the whole header."""
    balancer = site.balancers[-1]
    with SlowClients(balancer.address, 80, site.front.host, 1, 0) as crowd:
        took = eventually(lambda: crowd.closed > 0, 30)[1]
    show(f"a slow header ended after {took:.1f} s")
    assert took > 10


def test_x11_slow_and_idle_clients_hurt_no_normal_request(site, settled, tmp_path, show):
    """On one balancer; at the same time another one ends a slow header."""
    side_by_side([lambda: crowded(site, tmp_path, show), lambda: slow_header(site, show)])
