"""One sync: plan, write, check, swap, reload, verify.

A sync is level-triggered: it compares the wanted generation with the marker that the balancer reports, so it is idempotent and
completes whatever an earlier one left undone.
"""

import dataclasses
import time

from . import backends, owners
from .plan import Plan, plan
from .source import UNREADABLE

LOAD_SECONDS = 10
KINDS = ("http", "tls", "tcp")  # of services in a plan
SERVED = {kind: {} for kind in KINDS} | {"traffic": {}, "skipped": [], "warnings": []}  # the plan in the status


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a sync ended. `reason` is empty when it is healthy; without a plan the last one still serves."""

    reason: str = ""
    plan: Plan = None
    reloaded: bool = False


def sync(store, load_options, make=backends.make, clock=time, patience=0, source=None, refresh=None, record=None) -> dict:
    """Sync once, under the lock, and record the status. A sync that checked or reloaded takes the reload interval at least:
    the next one takes all changes meanwhile together.

    :param make: the balancer for the options
    :param patience: seconds in which a balancer that has just been started may begin to answer
    :param source: why the catalog is not followed at present, "" when it is; None: as in the last status
    :param refresh: called before the catalog is read, under the lock: replaces a stale one
    :param record: called with what changes the register of owners, (text of the register) -> text; why it could not, else ""
    """
    with store.locked():
        started, interval, tried = clock.monotonic(), 0, False
        try:
            options = load_options()
            interval = options.reload_interval
            balancer = make(options)
            _until(balancer.running, patience, clock)
            if refresh:
                refresh()
            outcome, tried = _run(store, options, balancer, clock)
            if record and outcome.plan:
                outcome = _recorded(store, options, outcome, clock, record)
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
    """The steps: (outcome, whether there was a check or a reload)."""
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
            return Outcome(f"the check rejected the new configuration: {problem}"), True
        store.point(new)
    if running != marker:
        if not master:
            store.prune(options.keep_generations)
            return Outcome(reason or f"{options.balancer} is not running; the configuration is ready", wanted), changed
        balancer.reload()
        if not _loaded(balancer, marker, clock):
            if changed and current:
                store.point(current)
                store.drop(new)
            return Outcome(f"{options.balancer} did not load the new configuration: see its log"), True
    store.prune(options.keep_generations)
    return Outcome(reason, wanted, reloaded=running != marker), running != marker


def _recorded(store, options, outcome, clock, record):
    """The outcome after the owners that its plan has added, or missed, are in the register. Nothing is asked of Consul while the
    register that consul-template has read is right."""
    present, now = owners.register_text(store.catalog()), clock.time()
    if not outcome.plan.asking:
        return outcome

    def change(text):
        return owners.updated(text, outcome.plan, now, options.owner_grace)

    problem = record(change) if change(present) != present else ""
    if not problem:
        return outcome
    warning = ("owners", f"owners of names and ports cannot be recorded: {problem}")
    return dataclasses.replace(outcome, plan=dataclasses.replace(outcome.plan, warnings=(*outcome.plan.warnings, warning)))


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
    """The tcp ports that the balancer itself listens on."""
    if not master:
        return frozenset()
    serving = [g for g in generations if g.marker == running] or generations
    return frozenset().union(*(g.ports for g in serving))


def _loaded(balancer, marker, clock):
    """Whether the balancer loads this configuration in good time; one that has ended never will. One answer is enough: during
    a reload the next one may come from an old worker."""
    deadline = clock.monotonic() + LOAD_SECONDS
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
    """The new status; without a plan it keeps the served services of the last one."""
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
        "skipped": _listed(outcome.plan.skipped),
        "warnings": _listed(outcome.plan.warnings),
    }


def _listed(pairs) -> list:
    return [{"name": name, "reason": reason} for name, reason in pairs]
