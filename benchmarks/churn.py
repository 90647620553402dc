"""(c) Containers come and go under load: how often a balancer reloads, and which requests fail.

Two services are asked all the time, each on new and on kept connections: one to which nothing happens, and the one whose
other instances come and go.
"""

import contextlib
import time

from tests.support.http_load import Client, request_once

from benchmarks.balancers import FOLLOWING, Balancer, only
from benchmarks.site import TIMEOUT, Bench, all_at_once, eventually

EVERY = 0.01  # seconds between two requests of one client
AT_ONCE = 4  # containers that start or stop at the same time
STEADY, BUSY = "bench-calm", "bench-busy"


def measure(bench: Bench, events: int, seconds: float, who=FOLLOWING, log=print):
    """One entry for each balancer, as soon as it is there: {"balancer", "events", "seconds", "reloads", "asked": {service: n},
    "failed": {service: n}, "sent_again": n}.

    :param events: containers that start and stop
    :param seconds: in which they do
    """
    for balancer in who:
        with only(bench.balancer, balancer):
            found = {"balancer": balancer.name} | one(bench, balancer, events, seconds)
        yield found
        log(f"churn, {balancer.title}: {found}")


def one(bench: Bench, balancer: Balancer, events: int, seconds: float) -> dict:
    """The churn of one balancer."""
    place = (bench.balancer.address, balancer.port)
    try:
        for service in (STEADY, BUSY):
            bench.run(service, f"{service}-steady")
        for service in (STEADY, BUSY):
            eventually(lambda s=service: request_once(*place, bench.expected(s), TIMEOUT).ok, 60, every=0.1)
        names = [f"{BUSY}-{number}" for number in range(events)]
        all_at_once([lambda name=name: bench.create(BUSY, name) for name in names], AT_ONCE)
        before = bench.reloads(balancer)
        with contextlib.ExitStack() as stack:
            clients = {
                (service, keep): stack.enter_context(Client(*place, bench.expected(service), EVERY, keep, TIMEOUT))
                for service in (STEADY, BUSY)
                for keep in (False, True)
            }
            time.sleep(1)
            begin = time.monotonic()
            jobs = [lambda number=number, name=name: _life(bench, name, begin, number, events, seconds)
                    for number, name in enumerate(names)]  # fmt: skip
            all_at_once(jobs, events)
            took = time.monotonic() - begin
            time.sleep(3)
        after = bench.reloads(balancer)
    finally:
        bench.remove_all()
    return {
        "events": 2 * events,
        "seconds": round(took, 1),
        "reloads": None if before is None else after - before,
        "asked": {s: sum(len(client.samples) for (of, _), client in clients.items() if of == s) for s in (STEADY, BUSY)},
        "failed": {
            s: sum(not sample.ok for (of, _), client in clients.items() if of == s for sample in client.samples)
            for s in (STEADY, BUSY)
        },
        "sent_again": sum(sample.resent for client in clients.values() for sample in client.samples),
    }  # fmt: skip


def _life(bench, name, begin, number, events, seconds) -> None:
    """One container: it starts at its turn and is stopped a fifth of the whole time later, at the latest at the end."""
    lasts = seconds / 5
    _at(begin + number * (seconds - lasts) / max(1, events - 1))
    bench.start(name)
    _at(begin + number * (seconds - lasts) / max(1, events - 1) + lasts)
    bench.kill(name)


def _at(moment: float) -> None:
    time.sleep(max(0, moment - time.monotonic()))
