"""Ask the load balancer of this host four times a second, and write what follows for keepalived."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

from discovery_program.replaced import Program
from discovery_program.systemd import notify

from .judge import PROPERTIES, REQUEST, Doubt, is_answer, is_sick, value

PAUSE = 0.25  # seconds between two questions
PATIENCE = 0.3  # seconds for the beginning of an answer
SYNC_PAUSE = 5  # seconds between two looks at the sync program
SYNC = "discovery-balancer.service"
DRAINED = "/var/lib/discovery-floating-address/drained"


class Question:
    """One request on its way, and what has come back."""

    def __init__(self, address: str, port: int):
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.socket.setblocking(False)
        self.socket.connect_ex((address, port))  # what comes of it is seen at the first step
        self.sent, self.begin = False, b""

    def fileno(self) -> int:
        """For select(2)."""
        return self.socket.fileno()

    def step(self) -> bool | None:
        """Send, or read on. Whether it was answered; None when that is not decided yet."""
        try:
            if not self.sent:
                self.socket.sendall(REQUEST)
                self.sent = True
                return None
            part = self.socket.recv(64)
        except OSError:  # there is no connection
            return False
        self.begin += part
        return is_answer(self.begin) if part else False


def answers(own, peers=(), patience: float = PATIENCE) -> tuple[bool, bool]:
    """Whether the load balancer of this host answers, and whether any of the others does; all are asked at the same time, so that
    balancers that come back together do not each believe that the other one is there.

    :param own: its IP address and port
    :param peers: those of the others
    :param patience: seconds
    """
    mine, answered, other = Question(*own), None, False
    everybody, until = [mine, *(Question(*place) for place in peers)], time.monotonic() + patience
    waiting = list(everybody)
    try:
        while waiting and not (other and answered is not None) and (left := until - time.monotonic()) > 0:
            reading, writing = [one for one in waiting if one.sent], [one for one in waiting if not one.sent]
            readable, writable, _unused = select.select(reading, writing, [], left)
            for one in readable + writable:
                found = one.step()
                if found is None:
                    continue
                waiting.remove(one)
                if one is mine:
                    answered = found
                other = other or (found and one is not mine)
    finally:
        for one in everybody:
            one.socket.close()
    return bool(answered), other


def shown() -> str:
    """What systemd knows of the sync program; '' where it gives no answer."""
    command = ["systemctl", "show", SYNC, *(f"--property={name}" for name in PROPERTIES)]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=1, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def write(path: str, number: int) -> None:
    """Replace the content of keepalived's file in one step."""
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(f"{number}\n")
    os.chmod(f"{path}.new", 0o644)  # keepalived has no right to read what is not its own
    os.replace(f"{path}.new", path)


def written(path: str):
    """The number in keepalived's file; None without one."""
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


class Check:
    """The state between two turns; all of it may be lost."""

    def __init__(self, options, ask=answers, show=shown, drained=lambda: os.path.exists(DRAINED), clock=time):
        self.options, self.ask, self.show, self.drained, self.clock = options, ask, show, drained, clock
        self.doubt, self.sick, self.sync_at = Doubt(), False, 0.0
        self.last = written(options["file"])

    def turn(self) -> None:
        """Ask, and write the number when it is another one."""
        drained, peers = self.drained(), self.options["peers"]
        own, others = self.ask(self.options["ask"], peers if drained or self.doubt.missed else [])
        self.doubt.heard(own)
        if self.doubt.once:
            own, others = self.ask(self.options["ask"], peers)
            self.doubt.heard(own)
        if self.clock.monotonic() >= self.sync_at:
            self.sick = is_sick(self.show(), self.clock.monotonic())
            self.sync_at = self.clock.monotonic() + SYNC_PAUSE
        number = value(self.doubt.dead, drained, self.sick, others)
        if number != self.last:
            write(self.options["file"], number)
            said = {"dead": self.doubt.dead, "drained": drained, "sick": self.sick, "others": others}
            facts = ", ".join(name for name, true in said.items() if true) or "healthy"
            print(f"priority {number:+d}: {facts}", flush=True)
            self.last = number


def main(options_file: str) -> int:
    """Until SIGTERM; always 0."""
    os.umask(0o077)
    asked = {"stop": False}
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_unused: asked.__setitem__("stop", True))
    with open(options_file, encoding="utf-8") as file:
        check, program = Check(json.load(file)), Program()
    check.turn()
    notify("READY=1")
    while not asked["stop"] and not program.replaced(time.monotonic()):
        time.sleep(PAUSE)
        check.turn()
        notify("WATCHDOG=1")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
