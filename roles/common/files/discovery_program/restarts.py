"""Pure: the bound on restarts of what hangs, so that they never become a loop."""

from __future__ import annotations

MOST, WINDOW = 3, 900  # of one unit, in as many seconds; then it is reported only
NONE = (0, ())


def once_more(entry, now: float) -> list | None:
    """The entry with one more restart; None when there were too many.

    :param entry: (number of restarts, times of the last ones in seconds since 1970)
    :param now: seconds since 1970
    """
    number, times = entry
    recent = [time for time in times if 0 <= now - time < WINDOW]
    return None if len(recent) >= MOST else [number + 1, [*recent, round(now, 3)]]


def known(entries) -> dict:
    """The entries of an earlier process by their unit, so that the bound holds over a restart of the program itself.

    :param entries: of its status; whatever is no entry is left out
    """
    entries = entries if isinstance(entries, dict) else {}
    return {unit: entry for unit, entry in entries.items() if whole(entry) and entry[1]}


def whole(entry) -> bool:
    """Whether what was read from a file is an entry."""
    pair = isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[1], list)
    return pair and all(isinstance(value, (int, float)) for value in (entry[0], *entry[1]))
