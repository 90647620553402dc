"""(a) A container starts, is drained, is killed: when do the clients of a balancer notice?

Beside the container stays another instance of the same service, so there is always somebody to answer, and a wrong
answer is the balancer's fault. All times are from one clock: the nodes are containers of this machine.

start   process started (as the engine says) → first answer of the new instance; also → passing in the catalog
drain   maintenance asked for → end of the last answer that was asked for after it and came from the instance
kill    SIGKILL sent → end of the last answer that was none of this service's; 0 when there was none
"""

import random
import time

from tests.support.http_load import Client, Sample, request_once

from benchmarks import figures
from benchmarks.balancers import FOLLOWING, Balancer, only
from benchmarks.site import LINES, TIMEOUT, Bench, all_at_once, eventually

PATIENCE = 60  # seconds until a change counts as never noticed
QUIET = 1.0  # seconds without a wrong answer end an event
DRAINED_LINES = ("none", "pace")  # draining does not depend on how health gets into the catalog


def measure(bench: Bench, events: int, lines=tuple(LINES), who=FOLLOWING, log=print):
    """Every balancer alone, on each line; one entry for each as soon as it is there, with the events as they were.

    :returns: {"balancer", "line", "events": [{"start", "catalog", "engine", "drain", "kill", "failed"}]}, times in s
    """
    for line in lines:
        for balancer in who:
            with only(bench.balancer, balancer):
                found = one(bench, balancer, line, events)
            yield {"balancer": balancer.name, "line": line, "events": found}
            log(f"propagation, {line}, {balancer.title}: {spread(found)}")


def spread(found: list[dict]) -> str:
    """The figures of some events, for people."""
    parts = []
    for key in ("start", "catalog", "drain", "kill"):
        values = [event[key] for event in found if key in event]
        if values:
            summary = figures.summary(values)
            missing = f", {summary['missing']} never" if summary["missing"] else ""
            parts.append(f"{key} p50 {figures.seconds(summary.get('p50'))} p99 {figures.seconds(summary.get('p99'))}{missing}")
    return "; ".join(parts) + f"; {sum(event['failed'] for event in found)} failed requests in {len(found)} events"


def one(bench: Bench, balancer: Balancer, line: str, events: int) -> list[dict]:
    """The events of one balancer on one line, shared out among its slots."""
    slots = min(balancer.slots, events)
    shares = [events // slots + (slot < events % slots) for slot in range(slots)]
    jobs = [lambda slot=slot, share=share: _slot(bench, balancer, line, slot, share) for slot, share in enumerate(shares)]
    try:
        return [event for found in all_at_once(jobs, slots) for event in found]
    finally:
        bench.remove_all()


def _slot(bench, balancer, line, slot, events) -> list[dict]:
    """Events one after the other, of a service of their own."""
    service = f"bench-{line}-{slot}"
    expected = bench.expected(service)
    steady = bench.run(service, f"{service}-steady", line)
    place = (bench.balancer.address, balancer.port)
    eventually(lambda: request_once(*place, expected, TIMEOUT).ok, PATIENCE, every=0.1)
    chance = random.Random(f"{line} {slot}")

    def pause():
        time.sleep(chance.uniform(*(balancer.full_pace if line == "pace" else balancer.pause)))

    found = []
    with Client(*place, expected, balancer.every, timeout=TIMEOUT) as client, bench.watch(service) as watch:
        for number in range(events):
            name = f"{service}-{number}"
            bench.create(service, name, line)
            pause()
            found.append(_event(bench, name, client, watch, pause, drained=line in DRAINED_LINES))
            bench.remove(name)
            _keep_small(client)
    bench.remove(steady.name)
    return found


def _event(bench, name, client, watch, pause, drained) -> dict:
    """Start, drain and lift where wanted, kill."""
    identity = bench.instance_id(name)
    instance = bench.start(name)
    event = {
        "start": _from(instance.started, _when(lambda: client.first(name, instance.started))),
        "catalog": _from(instance.started, next((at for at, passing, _ in watch.history if identity in passing), None)),
        "engine": instance.started - instance.asked,
    }
    if drained and event["start"] is not None:
        pause()
        moment = bench.drain(name, True)
        event["drain"] = _last_wrong(client, lambda s: s.instance == name, moment)
        pause()
        lifted = bench.drain(name, False)
        _when(lambda: client.first(name, lifted))
    pause()
    killed = time.time()
    bench.kill(name)
    event["kill"] = _last_wrong(client, lambda s: not s.ok, killed)
    event["failed"] = sum(not sample.ok for sample in client.sent_since(instance.asked))
    return event


def last(samples: list[Sample], wrong, moment: float) -> float:
    """Seconds from a moment to the end of the last wrong answer; 0 when there was none.

    :param wrong: called with a sample
    """
    return max((s.ended - moment for s in samples if wrong(s)), default=0.0)


def quiet_since(samples: list[Sample], wrong, moment: float) -> float:
    """When the last wrong answer ended, or the moment itself when there was none."""
    return moment + last(samples, wrong, moment)


def _when(probe) -> float | None:
    """Wait for a moment that a probe returns; None when it does not come."""
    try:
        return eventually(probe, PATIENCE, every=0.02)[0]
    except AssertionError:
        return None


def _last_wrong(client, wrong, moment) -> float | None:
    """Seconds from a moment to the last wrong answer, once there has been none for a while; None when they do not end."""
    while time.time() - moment < PATIENCE:
        time.sleep(0.1)
        samples = client.sent_since(moment)
        if samples and samples[-1].ended - quiet_since(samples, wrong, moment) > QUIET:
            return last(samples, wrong, moment)
    return None


def _from(moment, value):
    return None if value is None else value - moment


def _keep_small(client) -> None:
    """Forget the samples of events that are over."""
    del client.samples[:-1]
