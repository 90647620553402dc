"""One sync: plan, write, check, swap, reload, verify.

A sync is level-triggered: it compares the wanted generation with the marker that the balancer reports, so it is idempotent and
completes whatever an earlier one left undone.
"""

import dataclasses
import time

from . import backends, owners
from .plan import Plan, plan
from .settings import cut
from .source import UNREADABLE

LOAD_SECONDS, LOAD_PAUSE = 10, 0.002  # for a reload; between two questions whether it is done
REPEAT_SECONDS = 15  # in which the same status is not written again while a catalog is waited for
ENDED_SECONDS = 3600  # for which the status warns of connections that the bound on old workers has ended
KINDS = ("http", "tls", "tcp", "udp")  # of services in a plan
SERVED = {kind: {} for kind in KINDS} | {"traffic": {}, "skipped": [], "warnings": []}  # the plan in the status


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a sync ended. `reason` is empty when it is healthy; without a plan the last one still serves."""

    reason: str = ""
    plan: Plan = None
    reloaded: bool = False
    unloaded: bool = False  # the balancer hangs, or was asked to load a checked generation and did not
    asked: str = ""  # the marker of the generation that it was asked to load
    waiting: bool = False  # for a catalog that is not of the past


@dataclasses.dataclass(frozen=True)
class Done:
    """What a sync has left."""

    status: dict
    pause: float = 0  # seconds before which no further sync may begin
    unloaded: bool = False  # as in Outcome
    waiting: bool = False  # as in Outcome


def sync(store, load_options, make=backends.make, clock=time, **given) -> dict:
    """Sync once, and return when the next one may begin; the status. See `once`."""
    with store.locked():
        done = once(store, load_options, make, clock, **given)
        clock.sleep(done.pause)
    return done.status


def once(
    store, load_options, make=backends.make, clock=time, patience=0, source=None, refresh=None, record=None, further=None
) -> Done:
    """Sync once, and record the status; the caller holds the lock. A sync that checked or reloaded is followed by another one
    after the reload interval at the earliest, counted from its start: that one takes all changes meanwhile together.

    :param make: the balancer for the options
    :param patience: seconds in which a balancer that has just been started may begin to answer
    :param source: why the catalog is not followed at present, "" when it is; None: as in the last status
    :param refresh: called with the options before the catalog is read: replaces a stale one; why it is still stale, else ""
    :param record: called with what changes the register of owners, (text of the register) -> text; why it could not, else ""
    :param further: more of the status
    """
    started, interval, tried, trimmed = clock.monotonic(), 0, False, (0, 0)
    options = None
    try:
        options = load_options()
        interval = options.reload_interval
        balancer = make(options)
        _until(balancer.running, patience, clock)
        stale = refresh(options) if refresh else ""
        trimmed = balancer.trim()
        if stale and store.current():
            outcome = Outcome(stale, waiting=True)
        else:
            outcome, tried = _run(store, options, balancer, clock, trimmed[0])
        if record and outcome.plan:
            outcome = _recorded(store, options, outcome, clock, record)
    except Exception as error:  # whatever it is: record it, and let the last good generation serve
        outcome = Outcome(str(error) if isinstance(error, (OSError, ValueError)) else repr(error))
    status = {}
    try:
        with store.status_held():
            status = _status(store, outcome, clock, source, trimmed, options) | (further or {})
            if not (outcome.waiting and _repeats(store.status(), status)):
                store.write_status(status)
    except OSError as error:  # not even the status could be written; `status` reports its age
        status = status or _status(store, outcome, clock, source, trimmed, options) | (further or {})
        status |= {"state": "failed", "reason": str(error)}
        print(f"failed: {error}")
    return Done(status, max(0, started + interval - clock.monotonic()) if tried else 0, outcome.unloaded, outcome.waiting)


def note(store, source, further):
    """Record a problem of the source, the balancer or the program at once, without a sync, and whoever has the lock of one: it
    records what it finds after that.

    :param source: as for `once`; not ""
    :param further: more of the status
    :raises OSError: it cannot be written
    """
    with store.status_held():
        store.write_status(store.status() | {"state": "failed", "reason": source, "source": source} | further)


def _run(store, options, balancer, clock, finishing):
    """The steps: (outcome, whether there was a check or a reload).

    :param finishing: number of processes of earlier generations
    """
    current = store.current()
    catalog, reason = usable(store.catalog())
    if catalog is None and current:
        return Outcome(reason), False
    wanted = plan(catalog or {}, options, balancer.addresses())

    master, running = balancer.master(), balancer.running()
    if master and not running and (problem := balancer.hangs()):  # a reload would wait for it in vain, longer than it may hang
        return Outcome(problem, unloaded=True), False
    held = held_ports(store.generations(), master, running)
    taken = {port: balancer.port_taken(port) for port in sorted(wanted.ports, key=str) if port not in held}
    wanted = wanted.without_ports({port: why for port, why in taken.items() if why})

    files, marker = balancer.files(wanted)
    changed = not current or current.marker != marker
    # One more reload would add old workers at each sync, until the bound on them ends the oldest with their connections.
    if master and not running and finishing and store.status().get("asked") == marker:
        problem = f"{options.balancer} works, but answers nobody who asks what it serves: perhaps it has no connection left"
        again = f"at a change, or when its {finishing} old workers have finished"
        return Outcome(f"{problem}. It is loaded again {again}", None if changed else wanted), False
    if changed:
        new = store.write(files, marker, wanted.ports, options.balancer)
        problem = balancer.check(new.path, store.candidate)
        if problem:
            store.drop(new)
            return Outcome(f"the check rejected the new configuration: {problem}"), True
        store.point(new)
    reloaded = False
    if running != marker:
        if not master:
            store.prune(options.keep_generations, options.balancer)
            return Outcome(reason or f"{options.balancer} is not running; the configuration is ready", wanted), changed
        before = balancer.reload()
        if not _loaded(balancer, marker, clock):
            if changed and current:
                store.point(current)
                store.drop(new)
            problem = f"{options.balancer} did not load the new configuration: see its log"
            return Outcome(problem, unloaded=True, asked=marker), True
        if before is not None:
            balancer.retire(before)
            reloaded = True
    store.prune(options.keep_generations, options.balancer)
    return Outcome(reason, wanted, reloaded=reloaded, asked=marker), reloaded


def _recorded(store, options, outcome, clock, record):
    """The outcome after the owners that its plan has added, or missed, are in the register. Nothing is asked of Consul while the
    register that consul-template has read is right."""
    present, now = owners.register_text(store.catalog()), clock.time()
    if not outcome.plan.asking:
        return outcome

    def change(text):
        return owners.updated(text, outcome.plan, now, options.owner_grace)

    text = change(present)
    problem = record(change) if text != present else ""
    reasons = [f"owners of names and ports cannot be recorded: {problem}"] if problem else []
    if left := owners.without_owner(text, outcome.plan):
        listed = ", ".join(map(cut, left[:5])) + (f" and {len(left) - 5} more" if left[5:] else "")
        reasons.append(f"the register is full ({owners.MOST_BYTES} bytes), so names or ports of {listed} have no owner")
    if not reasons:
        return outcome
    warnings = (*outcome.plan.warnings, *(("owners", reason) for reason in reasons))
    return dataclasses.replace(outcome, plan=dataclasses.replace(outcome.plan, warnings=warnings))


def usable(catalog):
    """The catalog, or None and why it must not be used. A token without rights gets an empty answer, not an error; with the
    right to read, the service `consul` is always there."""
    if catalog is None:
        return None, "consul-template has not written a catalog yet"
    if not catalog.get("consul"):
        return None, UNREADABLE
    return catalog, ""


def is_unusable(store) -> bool:
    """Whether there is no catalog that could be served."""
    try:
        return usable(store.catalog())[0] is None
    except (OSError, ValueError):
        return True


def held_ports(generations, master, running) -> frozenset:
    """The ports that the balancer itself listens on, as in `Plan.ports`."""
    if not master:
        return frozenset()
    serving = [g for g in generations if g.marker == running] or generations
    return frozenset().union(*(g.ports for g in serving))


def _loaded(balancer, marker, clock):
    """Whether the balancer loads this configuration in good time; one that has ended never will. One answer is enough: during
    a reload the next one may come from an old worker."""
    deadline = clock.monotonic() + LOAD_SECONDS
    while not balancer.answers(marker):
        if not balancer.master() or clock.monotonic() >= deadline:
            return False
        clock.sleep(LOAD_PAUSE)
    return True


def _until(probe, seconds, clock):
    """Call the probe until it is true, for at most these seconds."""
    deadline = clock.monotonic() + seconds
    while clock.monotonic() < deadline and not probe():
        clock.sleep(0.02)


def _status(store, outcome, clock, source, trimmed, options) -> dict:
    """The new status; without a plan it keeps the served services of the last one.

    :param trimmed: (processes that finish connections, those that were ended now)
    """
    before, current = store.status(), store.current()
    now = round(clock.time(), 3)
    source = before.get("source", "") if source is None else source
    reason = "; ".join(dict.fromkeys(filter(None, (outcome.reason, source))))
    status = {
        "state": "failed" if reason else "ok",
        "reason": reason,
        "source": source,
        "time": now,
        "balancer": options.balancer if options else before.get("balancer", ""),
        "generation": current.number if current else 0,
        "reloads": before.get("reloads", 0) + outcome.reloaded,
        "last_reload": now if outcome.reloaded else before.get("last_reload", 0),
        "old_workers": trimmed[0],
        "ended_workers": before.get("ended_workers", 0) + trimmed[1],
        "last_ended": now if trimmed[1] else before.get("last_ended", 0),
        "restarts": before.get("restarts", {}),
        "echo": before.get("echo", 0),
        "asked": outcome.asked or before.get("asked", ""),
    }
    if outcome.plan is None:
        return status | {key: before.get(key, empty) for key, empty in SERVED.items()}
    served = {kind: {s.name: len(s.instances) for s in getattr(outcome.plan, kind)} for kind in KINDS}
    return (
        status
        | served
        | {
            "traffic": outcome.plan.traffic,
            "skipped": _listed(outcome.plan.skipped),
            "warnings": _listed((*outcome.plan.warnings, *_of_ended(status, now, options))),
        }
    )


def _repeats(before, status) -> bool:
    """Whether a status has nothing that the last one, of a moment ago, has not; its numbers go up in any case."""
    at = before.get("time", 0)
    return before == status | {"time": at, "echo": before.get("echo")} and 0 <= status["time"] - at < REPEAT_SECONDS


def _of_ended(status, now, options) -> list:
    """A warning while the bound on old workers has ended connections of late."""
    if not status["last_ended"] or not 0 <= now - status["last_ended"] < ENDED_SECONDS:
        return []
    bound = f"{options.balancer}_old_workers"
    reason = f"{status['ended_workers']} workers of earlier configurations were ended with their connections, beyond {bound}"
    return [(options.balancer, reason)]


def _listed(pairs) -> list:
    return [{"name": name, "reason": reason} for name, reason in pairs]
