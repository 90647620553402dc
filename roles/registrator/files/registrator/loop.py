"""The loop, level-triggered: after every event, read dockerd and agent and correct the difference."""

import http.client
import queue
import signal
import threading
import time

from . import actions as do
from .agent import Agent, AgentError, Refused, token_digest
from .alive import Alive
from .dockerd import Dockerd, DockerdError
from .log import log
from .marker import Owner
from .options import Options
from .wanted import Skipped, wanted

FAILURES = (OSError, http.client.HTTPException, ValueError, DockerdError, AgentError)
CONNECTED = "connected"
# How long a container that was sent its stop signal may run on before it is registered again, in seconds. No event and no field
# of dockerd tells `docker stop -t 300` from a container that takes the signal for something else: while it ends it would refuse.
ENDING = 600
TURN = 20  # actions, some 0.3 s, after which a container with hundreds of ports gives way to what has happened meanwhile
GRACE = 2  # seconds that a container may outlive a stop timeout of its own that is longer


class Stopped(BaseException):
    """Raised by the signal, so that it interrupts a read from a dockerd that does not answer."""


class Loop:
    def __init__(self, options: Options, dockerd: Dockerd, agent: Agent, host: str, alive: Alive | None = None):
        self.options, self.dockerd, self.agent, self.host = options, dockerd, agent, host
        self.alive = alive or Alive("")
        self.events: queue.SimpleQueue = queue.SimpleQueue()
        self.dockerd_id: str | None = None
        self.leaving: dict[str, tuple[float, str]] = {}  # container id → when it is registered again, and its start
        self.renamed: dict[str, str] = {}  # container id → its new name, until the catalog has it
        self.skipped: set[Skipped] = set()
        self.refused: dict[str, str] = {}  # service id → reason of the agent's refusal
        self.trouble = ""  # error of the last attempt
        self.failures = 0

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        for work in (self.watch, self.alive.run):
            threading.Thread(target=work, daemon=True).start()
        log("started", host=self.host, uri=self.options.uri, ip=self.options.ip)
        try:
            return self.follow()
        except Stopped:
            log("stopped", reason="by a signal; the services stay registered")
            return 0

    def follow(self) -> int:
        wait: float | None = 0.0
        while True:
            happened = self.wait(wait)
            try:
                for event in self.alive.steps(happened):
                    self.track(event)
                wait = self.reconcile()
                self.recovered()
            except FAILURES as error:
                self.failed(error)
                if 0 <= self.options.retry_attempts < self.failures:
                    log("stopped", reason=f"{self.failures} failed attempts")
                    return 1
                wait = self.options.retry_interval / 1000

    # --- events ---

    def watch(self) -> None:
        """Put events into the queue, for ever; none is lost, because each reconnect compares everything."""
        while True:
            try:
                for event in self.dockerd.events():
                    self.events.put(event or CONNECTED)
            except FAILURES:
                pass  # the next comparison reports it
            time.sleep(self.options.retry_interval / 1000)

    def wait(self, seconds: float | None) -> list:
        """All events so far; waits for the first one, as long as given (None: for ever)."""
        happened = []
        self.alive.idle()
        try:
            happened.append(self.events.get(timeout=seconds))
            while True:
                happened.append(self.events.get_nowait())
        except queue.Empty:
            return happened
        finally:
            self.alive.step()

    def track(self, event: dict | str) -> None:
        """Track the containers that are stopping; everything else is read from dockerd."""
        if event == CONNECTED:
            self.dockerd_id = None
        elif event["Type"] == "container":
            container = event["Actor"]["ID"]
            if event["Action"] == "kill":
                inspected = self.dockerd.container(container)
                if inspected and ends(event["Actor"]["Attributes"].get("signal", ""), inspected["Config"]):
                    patience = (inspected["Config"].get("StopTimeout") or 0) + GRACE
                    self.leaving[container] = time.monotonic() + max(patience, ENDING), started(inspected)
            elif event["Action"] in ("start", "die", "destroy"):
                self.leaving.pop(container, None)
                self.renamed.pop(container, None)  # another process: the status of the one before is not its own
            elif event["Action"] == "rename":
                self.renamed[container] = event["Actor"]["Attributes"].get("name", "").lstrip("/")

    # --- reconcile ---

    def reconcile(self) -> float | None:
        """Compare and correct; returns the seconds until the next comparison."""
        now = time.monotonic()
        self.leaving = {container: kept for container, kept in self.leaving.items() if kept[0] > now}
        if self.dockerd_id is None:
            # Events may have been missed: a container that has another start runs again, as another process.
            self.renamed.clear()
            self.leaving = {
                container: kept
                for container, kept in self.leaving.items()
                if (inspected := self.dockerd.container(container)) and started(inspected) == kept[1]
            }
            self.dockerd_id = self.dockerd.id()
            self.alive.step()
        containers = self.dockerd.containers(stopped=self.options.deregister == "on-success")
        self.alive.step()
        overlays = self.dockerd.overlays() if self.options.internal else frozenset()
        self.alive.step()
        target = wanted(
            self.alive.steps(containers),
            self.options,
            self.host,
            overlays=overlays,
            leaving=frozenset(self.leaving),
        )
        owner = Owner(self.host, self.dockerd_id, token_digest())
        self.alive.step()
        services, checks = self.agent.services(), self.agent.checks()
        todo, conflicts = do.plan(target, services, checks, owner, self.options.cleanup, frozenset(self.renamed.values()))
        self.report(set(target.skipped) | set(conflicts))
        done, forbidden = self.apply(todo)
        if not done:
            return 0.0
        self.renamed.clear()
        return self.due(now, forbidden)

    def apply(self, todo: list[do.Action]) -> tuple[bool, bool]:
        """Perform the actions, whatever the agent refuses. When something happens meanwhile, the rest is left to the next
        comparison, which orders it anew. What is refused comes again there, and so does not count: else it would be all that is
        tried while something happens all the time.

        :returns: whether all are done, and whether one was forbidden (which a new token may repair)
        """
        refused: dict[str, str] = {}
        forbidden = False
        performed = 0
        for action in self.alive.steps(todo):
            if performed >= TURN and not self.events.empty():
                self.refused |= refused
                return False, forbidden
            if action.service in refused:
                continue
            try:
                self.perform(action)
                performed += 1
            except Refused as error:
                refused[action.service] = str(error)
                forbidden |= error.status == 403
                if self.refused.get(action.service) != str(error):
                    log("refused", id=action.service, by="consul", reason=str(error))
        self.refused = refused
        return True, forbidden

    def perform(self, action: do.Action) -> None:
        match action:
            case do.Deregister(service):
                self.agent.deregister(service)
            case do.Register(_, payload, health):
                self.agent.register(payload)
                if health:
                    self.agent.set_health(payload["Check"]["CheckID"], *health)
            case do.DropCheck(_, check):
                self.agent.drop_check(check)
            case do.SetHealth(_, check, status, output):
                self.agent.set_health(check, status, output)
        event, fields = do.line(action)
        log(event, **fields)

    def due(self, now: float, forbidden: bool) -> float | None:
        waits = [until - now for until, _unused in self.leaving.values()]
        if self.options.resync:
            waits.append(self.options.resync)
        if forbidden:
            waits.append(self.options.retry_interval / 1000)
        return min(waits, default=None)

    # --- log, once each ---

    def report(self, skipped: set[Skipped]) -> None:
        for item in sorted(skipped - self.skipped):
            log("skipped", container=item.container, item=item.item, reason=item.reason)
        self.skipped = skipped

    def failed(self, error: Exception) -> None:
        self.failures += 1
        self.dockerd_id = None  # events after the one that failed were lost
        trouble = f"{type(error).__name__}: {error}"
        if trouble != self.trouble:
            log("failed", reason=trouble, retry=f"{self.options.retry_interval}ms")
        self.trouble = trouble

    def recovered(self) -> None:
        if self.trouble:
            log("recovered", failures=self.failures)
        self.trouble, self.failures = "", 0


def stop(*_: object) -> None:
    raise Stopped


def ends(sent: str, config: dict) -> bool:
    """Does this signal end the container: its own stop signal, or SIGKILL?"""
    number = signal_number(sent)
    return number > 0 and number in (signal.SIGKILL, signal_number(config.get("StopSignal") or "SIGTERM"))


def started(inspected: dict) -> str:
    """When a container was started the last time, as dockerd writes it."""
    return inspected["State"].get("StartedAt", "")


def signal_number(text: str) -> int:
    """15, TERM, SIGTERM and SIGRTMIN+3 as a number; 0 when it is none."""
    if text.isdecimal():
        return int(text)
    name, _unused, offset = text.upper().removeprefix("SIG").partition("+")
    if name == "RTMIN":
        return 34 + (int(offset) if offset.isdecimal() else 0)
    return getattr(signal.Signals.__members__.get(f"SIG{name}"), "value", 0)
