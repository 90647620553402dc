"""Restart a registrator that hangs, or that has mounted what is not there any more: python3 -m registrator.watch

For the host, as a service of systemd. Nothing but a sign of life proves that a registrator works (alive.py): a frozen one looks
well to dockerd, and so does one that waits for ever. dockerd is asked only when no sign has come. A registrator that was stopped,
or paused, by somebody stays so; so does every one while dockerd does not answer. A restart drops no registration: the services
stay at the agent, and the next start compares.

A socket that is made anew, as docker.socket does at its start, is not the one that a running container has mounted. With
live-restore the registrator outlives that, and is blind from then on; so with a directory of the CA that is made anew. Its sign
names what it has. Python 3.9.
"""

from __future__ import annotations

import calendar
import json
import os
import sys
import time

from discovery_program import restarts
from discovery_program.replaced import Program
from discovery_program.systemd import dockerd_runs, notify

from .alive import DIRECTORIES, VARIABLE, inode
from .log import log

NAME = "registrator"
SIGN = "/run/registrator/alive"
STATE = "/run/registrator-watch/state.json"
SOCKET = "/run/docker.sock"
DOCKERD = f"unix://{SOCKET}"
LOOK = 2  # seconds between two looks at the sign
SILENT = 12  # seconds without a sign, which is given every 2, before dockerd is asked
LEAST_LOOKS = 5  # in this time: a machine that stood still proves nothing
ASK = 4  # seconds between two questions to dockerd while there is no sign
START = 60  # seconds that a container has for its first sign, on a host that boots, and in which each look at a new socket asks
END = 1  # second that a registrator has to end by itself


class Silence:
    """For how long no sign has come."""

    def __init__(self):
        self._sign: object = self  # nobody has looked yet
        self._since, self._looks = 0.0, 0
        self.broken = False  # a new sign has come, as far as the last look knows

    def found(self, sign: object, now: float) -> float:
        """Seconds without a sign when that means something, else 0.

        :param sign: what was seen, which differs from sign to sign; None for none
        :param now: seconds
        """
        self.broken = self._sign is not self and sign not in (self._sign, None)
        if sign != self._sign:
            self._sign, self._since, self._looks = sign, now, 0
            return 0
        self._looks += 1
        silent = now - self._since
        return silent if silent >= SILENT and self._looks >= LEAST_LOOKS else 0

    def begin(self, now: float) -> None:
        """Count from here."""
        self._since, self._looks = now, 0


def state_of(container: dict | None, signed_at: float | None) -> str:
    """What silence says of a container: it `hangs`, when it has signed since its start, it `starts`, or nothing ("").

    :param container: dockerd's inspection, None for none
    :param signed_at: seconds since 1970 of the last sign, None for none; an earlier container may have given it
    """
    state = (container or {}).get("State") or {}
    if not state.get("Running") or state.get("Paused") or state.get("Restarting"):
        return ""
    environment = ((container or {}).get("Config") or {}).get("Env") or []
    if f"{VARIABLE}={SIGN}" not in environment:  # of an earlier version, or another implementation
        return ""
    return "hangs" if signed_at is not None and signed_at >= seconds(state.get("StartedAt")) else "starts"


def seconds(text: object) -> float:
    """A time of dockerd (2026-11-30T09:57:00.123456789Z) in seconds since 1970.

    :raises ValueError: it is none
    """
    whole, _unused, fraction = str(text).rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")


class Watch:
    def __init__(self, connect, sign: str = SIGN, state: str = STATE, clock=time, mounts=(SOCKET, *DIRECTORIES)):
        """
        :param connect: gives dockerd's API, None where dockerd does not run; not called before it is needed
        :param mounts: paths of what the registrator names in its sign
        """
        self.connect, self.sign, self.state, self.clock, self.mounts = connect, sign, state, clock, mounts
        self.new: tuple[list[str], float] = ([], 0.0)  # mounts that the registrator does not have, and when they were seen first
        self.look_at = 0.0  # when dockerd is asked for that
        self.mended: list[str] = []  # the mounts for which the registrator was restarted: once is enough
        self.silence = Silence()
        self.ask_at = 0.0
        self.start: tuple[object, float] = (None, 0.0)  # a container that has not given a sign yet, and when it was seen first
        self.trouble = ""  # why dockerd cannot be asked
        self.counted = read(state)

    def turn(self) -> None:
        """Look once, and do what follows. Never raises."""
        now, signed_at = self.clock.monotonic(), mtime(self.sign)
        silent = self.silence.found(signed_at, now)
        try:
            if self.silence.broken:
                self._count(problem="")
            if self._blind(now) and self._open_eyes(now, signed_at):
                self.trouble = ""
            elif silent and now >= self.ask_at:
                self.ask_at = now + ASK
                self._judge(silent, now, signed_at)
                self.trouble = ""
        except Exception as error:  # whatever it is: the next look is as good
            if self.trouble != f"{type(error).__name__}: {error}":
                self.trouble = f"{type(error).__name__}: {error}"
                log("failed", reason=self.trouble)

    def _judge(self, silent: float, now: float, signed_at: float | None) -> None:
        api = self.connect()
        container = api.container(NAME) if api else None
        found = state_of(container, signed_at)
        if found == "starts":
            one = (container or {}).get("Id"), (container or {})["State"]["StartedAt"]
            if self.start[0] != one:
                self.start = one, now
            if now - self.start[1] < START:
                return
        if found:
            self._restart(api, silent, now)
        else:
            self._count(problem="")

    def _blind(self, now: float) -> bool:
        """Does the sign name another socket or directory than is there, and is dockerd to be asked now?"""
        has, there = content(self.sign), [inode(path) for path in self.mounts]
        anew = any(one and other and one != other for one, other in zip(has, there))  # noqa: B905  (Python 3.9)
        if not anew or there == self.mended:
            return False
        if self.new[0] != there:
            self.new, self.look_at = (there, now), now
        if now < self.look_at:
            return False
        self.look_at = now + (LOOK if now - self.new[1] < START else SILENT)
        return True

    def _open_eyes(self, now: float, signed_at: float | None) -> bool:
        """Restart a registrator that runs and has signed since its start, so that the sign is its own; whether it was."""
        api = self.connect()
        blind = bool(api) and state_of(api.container(NAME), signed_at) == "hangs"
        if blind:
            api.restart(NAME, END)
            self.mended = self.new[0]
            self.silence.begin(now)
            log("restarted", container=NAME, reason="what is mounted into it was made anew after its start")
        return blind

    def _restart(self, api, silent: float, now: float) -> None:
        counted = restarts.once_more((self.counted["restarts"], self.counted["times"]), self.clock.time())
        if counted is None:
            often = f"{restarts.MOST} times within {restarts.WINDOW // 60} min"
            self._count(problem=f"it hangs, and is not restarted: it was {often}")
            return
        # Counted first: where /run takes nothing, a missing sign proves little.
        self._count(restarts=counted[0], times=counted[1])
        log("restarted", container=NAME, reason=f"no sign of life for {silent:.0f} s", number=self.counted["restarts"])
        self.silence.begin(now)
        api.restart(NAME, END)

    def _count(self, **changes) -> None:
        """Write what the site's status shows."""
        counted = {**self.counted, **changes}
        if counted == self.counted:
            return
        new = f"{self.state}.new"
        with open(new, "w", encoding="utf-8") as file:
            json.dump(counted, file)
        os.replace(new, self.state)
        if counted["problem"] != self.counted["problem"]:
            log("failed" if counted["problem"] else "recovered", reason=counted["problem"])
        self.counted = counted


def read(path: str) -> dict:
    """What an earlier process has counted; nothing where that cannot be read."""
    empty = {"restarts": 0, "times": [], "problem": ""}
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return empty
    fits = isinstance(found, dict) and restarts.whole((found.get("restarts"), found.get("times")))
    return found if fits and isinstance(found.get("problem"), str) else empty


def mtime(path: str) -> float | None:
    """When a file was changed last, in seconds since 1970; None without it."""
    try:
        return os.stat(path).st_mtime_ns / 1e9
    except OSError:
        return None


def content(path: str) -> list[str]:
    """The numbers of the mounts that a sign names, each '' for unknown; [] for none."""
    try:  # in a directory that the container may write: a pipe there would hold the watch
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            text = os.read(file, 99).decode("ascii")
        finally:
            os.close(file)
    except (OSError, ValueError):
        return []
    numbers = text.split(",")
    return numbers if all(one == "" or one.isdecimal() for one in numbers) else []


def dockerd():
    """dockerd's API, None where it does not run. These modules are half of the memory of this program, and hosts do without them
    until something hangs."""
    from .dockerd import Dockerd

    return Dockerd(DOCKERD) if dockerd_runs() else None


def main(clock=time) -> int:
    """Watch until other files of this program are there; always 0, and systemd starts them."""
    os.umask(0o077)
    watch, program = Watch(dockerd, SIGN, STATE, clock), Program()
    log("started", sign=SIGN)
    watch.turn()
    notify("READY=1")
    while not program.replaced(clock.monotonic()):
        clock.sleep(LOOK)
        notify("WATCHDOG=1")
        watch.turn()
    notify("STOPPING=1")
    return 0


if __name__ == "__main__":
    sys.exit(main())
