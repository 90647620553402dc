"""A master process and its workers, of which some serve and others finish what they have. Read from /proc, decided without it."""

import contextlib
import os
import pathlib
import typing
from signal import SIGTERM

PROC = pathlib.Path("/proc")
ENDED = set()  # workers that this process has ended, as long as they are there: a backend is made anew for each sync


class Worker(typing.NamedTuple):
    """A worker process. The process id alone may be another process's a moment later; with its start it is not."""

    started: int  # clock ticks since the boot
    pid: int
    finishing: bool  # it takes no connection any more


def children(master, proc=PROC) -> list:
    """(started, process id, command line) of the children of a process; [] where the kernel does not list them.

    :param master: its process id on this host, also of one in a container; 0 for none
    """
    try:
        found = (proc / str(master) / "task" / str(master) / "children").read_text().split() if master else []
    except OSError:
        return []
    listed = []
    for pid in map(int, found):
        with contextlib.suppress(OSError, ValueError, IndexError):
            title = (proc / str(pid) / "cmdline").read_bytes()
            listed.append((_stat(pid, proc)[1], pid, title))
    return sorted(listed)


def serving(found) -> list:
    """Those that take connections."""
    return [worker for worker in found if not worker.finishing]


def excess(found, most) -> list:
    """Those that finish connections and are more than a site wants, oldest first.

    :param most: number of them that may be left
    """
    old = sorted(worker for worker in found if worker.finishing)
    return old[: max(0, len(old) - most)]


def send(worker, master, signal, proc=PROC) -> bool:
    """Send a signal to a worker, when it still is that process and a child of that master; whether it was sent."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        if _stat(worker.pid, proc) == (master, worker.started):
            os.kill(worker.pid, signal)
            return True
    return False


def end_oldest(found, most, master, proc=PROC) -> tuple:
    """End the oldest workers that finish connections and are more than a site wants, with SIGTERM, which closes them. A worker
    that has it already counts no more, however long it takes to end.

    :param most: as for `excess`
    :returns: (those that go on, those that were ended now)
    """
    ENDED.intersection_update(found)
    going = [worker for worker in found if worker.finishing and worker not in ENDED]
    over = [worker for worker in excess(found, most) if worker not in ENDED]
    now = [worker for worker in over if send(worker, master, SIGTERM, proc)]
    ENDED.update(now)
    return len(going) - len(over), len(now)


def spent(found, proc=PROC) -> int:
    """Processor time that workers have used, in clock ticks (proc(5): fields 14 and 15 of stat)."""
    total = 0
    for worker in found:
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = _stat_fields(worker.pid, proc)
            total += int(fields[11]) + int(fields[12])
    return total


def deaf(master, signal, proc=PROC) -> bool:
    """Whether a process is stopped, or a signal has been waiting for it (proc(5): State, SigPnd and ShdPnd of status)."""
    try:
        lines = _status(master, proc)
        pending = int(lines["SigPnd"], 16) | int(lines["ShdPnd"], 16)
    except (OSError, ValueError, KeyError):
        return False
    return lines["State"].strip().startswith("T") or bool(pending >> (signal - 1) & 1)


def catches(pid, signal, proc=PROC) -> bool:
    """Whether a process has a handler for a signal, and does not block it (proc(5): SigCgt and SigBlk of status); also True where
    that cannot be read."""
    try:
        lines = _status(pid, proc)
        return bool((int(lines["SigCgt"], 16) & ~int(lines["SigBlk"], 16)) >> (signal - 1) & 1)
    except (OSError, ValueError, KeyError):
        return True


def _stat(pid, proc):
    """(parent, start in clock ticks) of a process (proc(5): fields 4 and 22 of stat)."""
    fields = _stat_fields(pid, proc)
    return int(fields[1]), int(fields[19])


def _stat_fields(pid, proc) -> list:
    """The fields of stat from the third on: the name before may have any character."""
    return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _status(pid, proc) -> dict:
    """The lines of status by their names."""
    return dict(line.split(":", 1) for line in (proc / str(pid) / "status").read_text().splitlines() if ":" in line)
