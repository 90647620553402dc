"""One run of the guard: plan, write, check, swap, reload, make sure.

A run is level-triggered: it compares what should be with what the balancer says it runs, so running it
again is harmless and repairs whatever an earlier run left undone.
"""

import dataclasses
import pathlib
import time
import typing

from .nginx import Nginx
from .plan import Plan, plan
from .source import BLIND

TAKE_OVER_SECONDS = 10
KINDS = ("http", "tls", "tcp")  # of services in a plan
SERVED = {kind: {} for kind in KINDS} | {"traffic": {}, "left_out": [], "remarks": []}  # what the status says of a plan


class Balancer(typing.Protocol):
    """All that the guard asks of a balancer. One is made for each run, from the site's options.

    A generation is a directory of files that the balancer reads through the link `current`; its marker is a short text
    that the running balancer can be asked for, so that nothing else has to be believed.
    """

    def files(self, plan: Plan) -> tuple:
        """({file name: text} of a generation, its marker); another marker whenever anything would be served otherwise.
        Pure but for reading the main configuration, which the role writes."""

    def check(self, generation: pathlib.Path, candidate: pathlib.Path) -> str:
        """Test the complete configuration with this generation in it, with `candidate` as a directory of one's own; "" or why
        not. What runs is not touched."""

    def master(self) -> int:
        """The process that can be reloaded, 0 while there is none. Then the configuration is left ready for its start."""

    def running(self) -> str:
        """The marker of the generation that serves now, "" when nothing answers."""

    def port_taken(self, port: int) -> str:
        """Why the balancer could not listen on a port that it does not hold; "" when it could."""

    def reload(self) -> None:
        """Ask it to take what the link points to, without dropping anybody. Returns at once."""


BALANCERS: dict[str, typing.Callable[..., Balancer]] = {"nginx": Nginx}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended. `reason` is empty when all is well; without a plan the last one still serves."""

    reason: str = ""
    plan: Plan = None
    reloaded: bool = False


def apply(store, load_options, balancers=BALANCERS, clock=time, patience=0, source=None, settle=None) -> dict:
    """Run once, under the lock, and record the result. A run that bothered the balancer takes the reload interval
    at least: what changes meanwhile is taken together by the next run.

    :param patience: seconds in which a balancer that has just been started may begin to answer
    :param source: why the catalog is not followed at present, "" when it is; None: as the last run knew it
    :param settle: called before the catalog is read, under the lock: makes sure that it is of the present
    """
    with store.locked():
        started, interval, tried = clock.monotonic(), 0, False
        try:
            options = load_options()
            interval = options.reload_interval
            if options.balancer not in balancers:
                raise ValueError(f"balancer: {options.balancer!r} is not one of {', '.join(sorted(balancers))}")
            balancer = balancers[options.balancer](options)
            _until(balancer.running, patience, clock)
            if settle:
                settle()
            outcome, tried = _run(store, options, balancer, clock)
        except Exception as error:  # whatever it is: record it, and let the last good generation serve
            outcome = Outcome(str(error) if isinstance(error, (OSError, ValueError)) else repr(error))
        status = _status(store, outcome, clock, source)
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
    taken = {port: balancer.port_taken(port) for port in sorted(wanted.ports) if port not in held}
    wanted = wanted.without_ports({port: why for port, why in taken.items() if why})

    files, marker = balancer.files(wanted)
    changed = not current or current.marker != marker
    if changed:
        new = store.write(files, marker, wanted.ports)
        problem = balancer.check(new.path, store.candidate)
        if problem:
            store.drop(new)
            return Outcome(f"the check refused the new configuration: {problem}"), True
        store.point(new)
    if running != marker:
        if not master:
            store.prune(options.keep_generations)
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


def is_unusable(store) -> bool:
    """Whether there is no catalog that could be served."""
    try:
        return usable(store.catalog())[0] is None
    except (OSError, ValueError):
        return True


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


def _status(store, outcome, clock, source) -> dict:
    """The new status; what serves now is kept from before when the run came to nothing."""
    before, current = store.status(), store.current()
    now = round(clock.time(), 3)
    source = before.get("source", "") if source is None else source
    reason = "; ".join(dict.fromkeys(filter(None, (outcome.reason, source))))
    status = {
        "state": "failed" if reason else "ok",
        "reason": reason,
        "source": source,
        "time": now,
        "generation": current.number if current else 0,
        "reloads": before.get("reloads", 0) + outcome.reloaded,
        "last_reload": now if outcome.reloaded else before.get("last_reload", 0),
    }
    if outcome.plan is None:
        return status | {key: before.get(key, empty) for key, empty in SERVED.items()}
    served = {kind: {s.name: len(s.instances) for s in getattr(outcome.plan, kind)} for kind in KINDS}
    return status | served | {
        "traffic": outcome.plan.traffic,
        "left_out": _told(outcome.plan.left_out),
        "remarks": _told(outcome.plan.remarks),
    }


def _told(pairs) -> list:
    return [{"name": name, "reason": reason} for name, reason in pairs]
