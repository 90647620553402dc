"""Pure: what answers of the load balancers, and the state of the sync program, mean for the priority of a host."""

from __future__ import annotations

HEALTHY = 0
SICK = -100  # more than the priorities of any two balancers differ, so that a healthy one goes first
GIVE_UP = -254  # keepalived's fault state: the address goes at once
TRIES = 2  # questions in a row without an answer before a balancer counts as dead
SILENT = 20  # seconds without a sign of life of a sync program that runs
# Of the questions, which no access log has. No service can have this name, so none can answer, or fail to, in the place of
# the balancer itself.
HOST = "_floating-address"
REQUEST = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
PROPERTIES = ("ActiveState", "StatusText", "WatchdogTimestampMonotonic")


def is_answer(begin: bytes) -> bool | None:
    """Whether the beginning of what a server sent is an answer, whatever its status; None when that is not decided yet. A
    balancer that refuses a request, because it has too many, is not dead."""
    wanted = b"HTTP/1."
    if begin.startswith(wanted):
        return True
    return None if wanted.startswith(begin) else False


class Doubt:
    """A balancer is dead when it did not answer several times in a row."""

    def __init__(self, tries: int = TRIES):
        self.tries, self.missed = tries, 0

    def heard(self, answered: bool) -> None:
        """It was asked once more."""
        self.missed = 0 if answered else self.missed + 1

    @property
    def once(self) -> bool:
        """Whether it did not answer the last time, and is to be asked again at once."""
        return 0 < self.missed < self.tries

    @property
    def dead(self) -> bool:
        return self.missed >= self.tries


def is_sick(shown: str, now: float) -> bool:
    """Whether the sync program is unhealthy: it does not run, gives no sign of life, or says that something is wrong.

    :param shown: PROPERTIES of its unit, as `systemctl show` prints them; '' where systemd gives no answer, which says nothing
    :param now: seconds since boot
    """
    found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if not found:
        return False
    if found.get("ActiveState") not in ("active", "reloading"):
        return True
    sign = found.get("WatchdogTimestampMonotonic", "")
    if sign.isdecimal() and int(sign) and now - int(sign) / 1e6 > SILENT:
        return True
    # A program of an earlier version says nothing.
    return bool(found.get("StatusText")) and not found["StatusText"].startswith("ok")


def value(dead: bool, drained: bool, sick: bool, others: bool) -> int:
    """What is added to the priorities of this host.

    :param dead: its balancer does not answer
    :param drained: somebody is going to work on the host
    :param sick: its sync program is unhealthy; so are all while Consul is down, and the address stays then
    :param others: another balancer answers. Where none does, an address that goes nowhere would help nobody
    """
    if (dead or drained) and others:
        return GIVE_UP
    return SICK if sick or dead else HEALTHY
