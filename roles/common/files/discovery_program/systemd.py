"""What a program tells systemd, and asks it."""

from __future__ import annotations

import contextlib
import os
import socket
import sys

SECONDS = 3  # for an answer, which takes milliseconds: who asks does nothing else meanwhile


def notify(text: str) -> None:
    """Tell systemd (sd_notify(3)); without it nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    with contextlib.suppress(OSError):
        if address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to_systemd:
                to_systemd.connect("\0" + address[1:] if address.startswith("@") else address)
                to_systemd.sendall(text.encode())


def ask(*command: str):
    """The ended process of a command that asks systemd or its journal.

    :raises OSError: it gives no answer in time, or cannot be asked
    """
    import subprocess  # here: registrator-watch hardly ever asks, and does without its memory

    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} gives no answer within {SECONDS} s") from None


def order(verb: str, unit: str) -> None:
    """Have systemd do something with a unit and wait for nothing. What comes of it is seen later; a failure is in the journal."""
    try:
        problem = ask("systemctl", "--no-block", verb, unit).stderr.strip()
    except OSError as error:
        problem = str(error)
    if problem:
        print(f"systemctl {verb} {unit}: {problem}", file=sys.stderr, flush=True)


def dockerd_runs() -> bool:
    """Whether dockerd of this host runs. To be asked before dockerd is: docker.socket stays active beside one that stops or was
    stopped, and any request to it starts it with all its containers.

    :raises OSError: systemd gives no answer
    """
    return ask("systemctl", "is-active", "--quiet", "docker.service").returncode == 0
