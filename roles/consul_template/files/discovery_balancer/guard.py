"""One run of the guard: plan, write, check, swap, reload, make sure.

A run is level-triggered: it compares what should be with what the balancer says it runs, so running it
again is harmless and repairs whatever an earlier run left undone.
"""

import dataclasses
import time

from .nginx import Nginx
from .plan import Plan, plan

BALANCERS = {"nginx": Nginx}
BLIND = "blind: the catalog shows no instance of `consul`; is consul-template's token valid?"
TAKE_OVER_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended. `reason` is empty when all is well; without a plan the last one still serves."""

    reason: str = ""
    plan: Plan = None
    reloaded: bool = False


def apply(store, load_options, balancers=BALANCERS, clock=time, patience=0) -> dict:
    """Run once, under the lock, and record the result. Returns no earlier than the reload interval
    after its own reload: what changes meanwhile is taken together by the next run.

    :param patience: seconds in which a balancer that has just been started may begin to answer
    """
    with store.locked():
        started, interval, tried = clock.monotonic(), 0, False
        try:
            options = load_options()
            interval = options.reload_interval
            balancer = balancers[options.balancer](options)
            _until(balancer.running, patience, clock)
            outcome, tried = _run(store, options, balancer, clock)
        except Exception as error:  # whatever it is: record it, and let the last good generation serve
            outcome = Outcome(str(error) if isinstance(error, (OSError, ValueError)) else repr(error))
        status = _status(store, outcome, clock)
        try:
            store.write_status(status)
        finally:
            if tried:
                clock.sleep(max(0, started + interval - clock.monotonic()))
    return status


def _run(store, options, balancer, clock):
    """The steps; also says whether the balancer was bothered (a check or a reload)."""
    current = store.current()
    catalog, reason = usable(store.catalog())
    if catalog is None and current:
        return Outcome(reason), False
    wanted = plan(catalog or {}, options)

    master, running = balancer.master(), balancer.running()
    held = held_ports(store.generations(), master, running)
    taken = {s.port: balancer.port_taken(s.port) for s in wanted.tcp if s.port not in held}
    wanted = wanted.without_ports({port: why for port, why in taken.items() if why})

    files, marker = balancer.files(wanted)
    changed = not current or current.marker != marker
    if changed:
        new = store.write(files, marker, {s.port for s in wanted.tcp})
        problem = balancer.check(new.path, store.candidate)
        if problem:
            store.drop(new)
            return Outcome(f"the check refused the new configuration: {problem}"), True
        store.point(new)
    if running != marker:
        if not master:
            return Outcome(reason or f"{options.balancer} is not running; the configuration is ready", wanted), changed
        balancer.reload()
        if not _took_over(balancer, marker, clock):
            if changed and current:
                store.point(current)
                store.drop(new)
            return Outcome(f"{options.balancer} did not take over the new configuration: see its log"), True
    store.prune(options.keep_generations)
    return Outcome(reason, wanted, reloaded=running != marker), running != marker


def usable(catalog):
    """The catalog, or None and why it must not be installed. A token that sees nothing gets an empty
    answer, not an error; the service `consul` is always there for one that may read."""
    if catalog is None:
        return None, "consul-template has not written a catalog yet"
    if not catalog.get("consul"):
        return None, BLIND
    return catalog, ""


def held_ports(generations, master, running) -> frozenset:
    """The tcp ports that the balancer itself listens on."""
    if not master:
        return frozenset()
    loaded = [g for g in generations if g.marker == running] or generations
    return frozenset().union(*(g.ports for g in loaded))


def _took_over(balancer, marker, clock):
    """Whether the balancer runs this configuration, in good time; one that has ended never will. One answer is enough:
    while nginx reloads, the next one may come from a worker of before."""
    deadline = clock.monotonic() + TAKE_OVER_SECONDS
    while balancer.running() != marker:
        if not balancer.master() or clock.monotonic() >= deadline:
            return False
        clock.sleep(0.02)
    return True


def _until(probe, seconds, clock):
    """Call the probe until it is true, for at most these seconds."""
    deadline = clock.monotonic() + seconds
    while clock.monotonic() < deadline and not probe():
        clock.sleep(0.02)


def _status(store, outcome, clock) -> dict:
    """The new status; what serves now is kept from before when the run came to nothing."""
    before, current = store.status(), store.current()
    now = round(clock.time(), 3)
    status = {
        "state": "failed" if outcome.reason else "ok",
        "reason": outcome.reason,
        "time": now,
        "generation": current.number if current else 0,
        "reloads": before.get("reloads", 0) + outcome.reloaded,
        "last_reload": now if outcome.reloaded else before.get("last_reload", 0),
    }
    if outcome.plan is None:
        return status | {key: before.get(key, empty) for key, empty in (("http", {}), ("tcp", {}), ("left_out", []))}
    return status | {
        "http": {s.name: len(s.instances) for s in outcome.plan.http},
        "tcp": {s.name: len(s.instances) for s in outcome.plan.tcp},
        "left_out": [{"name": name, "reason": reason} for name, reason in outcome.plan.left_out],
    }
