"""The resident program: it syncs at every change of the catalog, and looks after the source and the balancer.

One thread does one thing after the other, a change of the catalog first. Nothing that is found or that fails ends it; it holds no
state that the next start would miss, so it may be killed at any point.
"""

import contextlib
import pathlib
import signal
import sys
import time
import traceback

from discovery_program import restarts
from discovery_program.replaced import Program
from discovery_program.systemd import notify, order

from . import backends, options, owners, preview, status, sync
from .duties import AGAIN, BALANCER_SECONDS, ECHO_SECONDS, GRACE, TRIES, Doubt, Echo, Timetable
from .source import CA, Refused, Source, echo_of, refresh_from_leader
from .store import Store
from .times import seconds
from .watch import Watch

TOKEN = pathlib.Path("/etc/consul-template/token")
LEADER_SECONDS = 10  # for the leader's catalog
LOOK_SECONDS = 0.5  # between two looks while an echo has not come back, or while the catalog may be of the past
BREATH = 0.05  # seconds between two syncs, also of a catalog that changes all the time
AFTER_ERROR = 5  # seconds before the next attempt of a duty that has failed
RECOVERY = 12  # seconds that a restarted balancer has to come back: 5 for its connections, and its own sync
DUTIES = ("source", "echo", "balancer")
ECHO = "echo"  # consul-template's file of it
NOBODY = {"source": None, "echo": "", "state": "", "balancer": ""}  # problems by who has found them; None: not looked yet


def main(options_file, state, spare) -> int:
    """Serve until SIGTERM; always 0."""
    store, asked = Store(state, spare), {"stop": False, "sync": False}
    sys.stdout.reconfigure(errors="backslashreplace")  # names come from the catalog; a locale may lack their letters
    watch = Watch(state)
    for name, key in ((signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, "sync")):
        signal.signal(name, lambda *_unused, key=key: asked.__setitem__(key, True))
    resident, program = Resident(store, lambda: options.load(options_file)), Program()
    resident.turn()
    notify("READY=1")
    while not asked["stop"] and not program.replaced(time.monotonic()):
        watch.wait(resident.idle_seconds())
        if asked["sync"]:
            asked["sync"] = False
            resident.everything_is_due()
        notify("WATCHDOG=1")
        resident.turn()
    notify("STOPPING=1")
    return 0


def source_of(chosen, token_file=TOKEN, ca=CA) -> Source:
    """The source that the options describe."""
    return Source(chosen.agent, token_file, chosen.node, ca)


def refresh(store, source) -> str:
    """Take the catalog of the leader while a server of Consul may still answer with the past; see refresh_from_leader. One on
    another host does when consul-template brings back an echo that is older than one of before: a server that has just started
    applies its log in order, so it shows at least what was there with the echo that it shows."""
    if 0 < heard(store.root / ECHO) < echoed(store.status()):
        store.distrust_catalog()
    return refresh_from_leader(
        store, source.settled, lambda: preview.rendered([*preview.TEMPLATE, "-max-stale=0s"], LEADER_SECONDS)
    )


class Resident:
    """The state between two turns; all of it may be lost."""

    def __init__(self, store, load_options, make=backends.make, find_source=source_of, restart=None, clock=time):
        """
        :param load_options: the options as they are now
        :param make: the balancer for the options
        :param find_source: the source for the options
        :param restart: called with a unit that hangs
        """
        self.store, self.load_options, self.make, self.clock = store, load_options, make, clock
        self.find_source, self.restart_unit = find_source, restart or (lambda unit: order("try-restart", unit))
        self.echo_file = store.root / ECHO
        self.timetable = Timetable("sync", *DUTIES)
        self.doubts = {"source": Doubt(), "state": Doubt(), "balancer": Doubt()}
        self.problems, self.reported = dict(NOBODY), None
        self.echo = Echo()
        self.restarts = restarts.known(store.status().get("restarts"))
        self.seen, self.free_at = None, 0.0  # the catalog file of the last sync; when the next sync may begin
        self.source, self._source_key = None, None

    def turn(self):
        """Sync when there is a reason, and do one duty that is due. Never raises."""
        now = self.clock.monotonic()
        try:
            if now >= self.free_at and (self._changed() or self.timetable.at("sync") <= now):
                self._sync()
            self._duty()
        except Exception as error:  # whatever it is: the next turn tries again
            traceback.print_exc()
            self.free_at = self.clock.monotonic() + AFTER_ERROR
            with contextlib.suppress(OSError):
                sync.note(self.store, f"discovery-balancer: {error!r}", {"time": round(self.clock.time(), 3)})

    def idle_seconds(self) -> float:
        """How long nothing is to be done, as far as is known."""
        sync_at = self.free_at if self._changed() else max(self.free_at, self.timetable.at("sync"))
        return max(0.0, min(sync_at, *map(self.timetable.at, DUTIES)) - self.clock.monotonic())

    def everything_is_due(self):
        """Do everything at once, as after a start."""
        for duty in ("sync", *DUTIES):
            self.timetable.again(duty, 0.0)

    def _changed(self) -> bool:
        """Whether the catalog file is another one than at the last sync."""
        return self.store.catalog_identity() != self.seen

    def _sync(self):
        chosen = None

        def load():
            nonlocal chosen
            chosen = self.load_options()
            return chosen

        before = self.store.status()
        further = {"restarts": self.restarts, "echo": max(heard(self.echo_file), echoed(before))}
        source = self._text() if self.problems["source"] is not None else None
        with self.store.locked():
            self.seen = self.store.catalog_identity()
            done = sync.once(
                self.store, load, self.make, self.clock, source=source, further=further,
                refresh=lambda given: refresh(self.store, self._source(given)),
                record=lambda change: self._source(chosen).change(owners.KEY, change),
            )  # fmt: skip
        now = self.clock.monotonic()
        self.free_at = now + max(done.pause, BREATH)
        self.timetable.again("sync", now + (chosen.sync_interval if chosen else AFTER_ERROR))
        if source is not None:
            self.reported = source
        if done.waiting:
            self.timetable.again("sync", now + LOOK_SECONDS)
        if done.unloaded:  # it refused, or it hangs: that it did not answer a sync counts as a look
            self.timetable.again("sync", now + AFTER_ERROR)
            self._look_at_balancer(chosen, weight=TRIES - 1)
        notify(f"STATUS={status.line(done.status)}")
        if status.changed(before, done.status):
            print(status.page(done.status, self.clock.time())[0], flush=True)

    def _duty(self):
        """The duty that is due and has waited longest."""
        now = self.clock.monotonic()
        duty = min(DUTIES, key=self.timetable.at)
        if self.timetable.at(duty) > now:
            return
        self.timetable.again(duty, now + AFTER_ERROR)
        try:
            chosen = self.load_options()
        except (OSError, ValueError, TypeError):  # the next sync records it
            return
        {"source": self._verify, "echo": self._listen, "balancer": self._look_at_balancer}[duty](chosen)
        text = self._text()
        if self.problems["source"] is not None and text != self.reported:
            self.reported = text
            if text:
                print(status.printable(f"failed: {text}"), flush=True)
                sync.note(self.store, text, {"restarts": self.restarts})
                notify(f"STATUS={status.line({'state': 'failed', 'reason': text})}")
            self.timetable.again("sync", max(self.free_at, now))

    def _verify(self, chosen):
        """Ask units and Consul whether the catalog is followed; have it queried again where it would not be."""
        source, doubt = self._source(chosen), self.doubts["source"]
        problem = source.problem()
        known = doubt.found(problem)
        if known or not problem:
            self.problems["source"] = known
            source.refresh(unusable=sync.is_unusable(self.store))
        self.timetable.again("source", self.clock.monotonic() + (AGAIN if problem and not known else chosen.sync_interval))

    def _listen(self, chosen):
        """Write an echo, and look whether it has come back."""
        source, echo, now = self._source(chosen), self.echo, self.clock.monotonic()
        self.timetable.again("echo", now + ECHO_SECONDS)
        if not chosen.node:
            return
        if not echo.waiting:
            number = max(echo.next(self.clock.time()), heard(self.echo_file) + 1, echoed(self.store.status()) + 1)
            refusal = ""
            try:
                written = source.report(self.store.status(), number)
            except Refused as refused:
                written, refusal = False, str(refused)
            self.problems["state"] = self.doubts["state"].found(refusal)
            if written:
                echo.sent(number, now)
                self.timetable.again("echo", now + LOOK_SECONDS)
            return
        if echo.back(heard(self.echo_file)):
            self.problems["echo"] = ""
            self.timetable.again("echo", echo.sent_at + ECHO_SECONDS)
            return
        echo.shown(source.stored(), self.clock.monotonic())
        if not echo.overdue(now, seconds(chosen.max_backoff) + GRACE):
            self.timetable.again("echo", now + LOOK_SECONDS)
            return
        echo.forget()
        self.problems["echo"] = source.hangs()
        if self.problems["echo"]:
            self._restart("consul-template.service", source.restart)

    def _look_at_balancer(self, chosen, weight=1):
        """Restart a balancer that hangs. Meanwhile its own start syncs."""
        balancer, doubt = self.make(chosen), self.doubts["balancer"]
        problem = balancer.hangs()
        known = doubt.found(problem, weight)
        now = self.clock.monotonic()
        self.timetable.again("balancer", now + (AGAIN if problem and not known else BALANCER_SECONDS))
        if known or not problem:
            self.problems["balancer"] = known
        if known and self._restart(balancer.unit, lambda: self.restart_unit(balancer.unit)):
            doubt.found("")
            self.timetable.again("balancer", now + RECOVERY)
            self.free_at = max(self.free_at, now + RECOVERY)

    def _restart(self, unit, how) -> bool:
        counted = restarts.once_more(self.restarts.get(unit, restarts.NONE), self.clock.time())
        if counted is None:
            return False
        self.restarts[unit] = counted
        print(f"{unit} hangs and is restarted", flush=True)
        how()
        return True

    def _source(self, chosen):
        """The source, with the connection of before as long as the options are the same."""
        key = chosen.agent, chosen.node
        if key != self._source_key:
            if self.source is not None:
                self.source.close()
            self.source, self._source_key = self.find_source(chosen), key
        return self.source

    def _text(self) -> str:
        """All problems that were found, for the status."""
        return "; ".join(filter(None, self.problems.values()))


def echoed(status) -> int:
    """The highest number that consul-template has brought back, of the last status; 0 for none."""
    number = status.get("echo", 0)
    return number if isinstance(number, int) else 0


def heard(file) -> int:
    """The number that consul-template has brought back, 0 for none."""
    try:
        return echo_of(file.read_text(errors="replace"))
    except OSError:
        return 0
