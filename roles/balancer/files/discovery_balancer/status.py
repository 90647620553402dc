"""The status as a page for people."""

from .preview import printable
from .sync import KINDS, SERVED

LONGEST_LINE = 200  # characters
STALE_SECONDS = 60  # the program syncs every 15 s, at most every 30
EMPTY = {
    "state": "failed",
    "reason": "",
    "balancer": "",
    "generation": 0,
    "reloads": 0,
    "time": 0,
    "last_reload": 0,
    "old_workers": 0,
    "restarts": {},
}


def page(status, now) -> tuple:
    """The status as text, and 0 when it is healthy, else 1.

    :param status: as it was written, {} for none
    :param now: seconds since 1970
    """
    if not status:
        return "failed: there was no sync yet", 1
    shown = {**EMPTY, **SERVED, **status}
    age = max(0, now - shown["time"])
    state = f"{shown['state']}: {shown['reason']}" if shown["reason"] else shown["state"]
    if age > STALE_SECONDS:
        state = f"failed: no sync has ended for {age:.0f} s; before that: {state}"
    loaded = f"loaded {_age(now - shown['last_reload'])} ago, " if shown["last_reload"] else ""
    of = f" of {shown['balancer']}" if shown["balancer"] else ""
    lines = [
        printable(state),
        f"generation {shown['generation']}{of}, {loaded}{shown['reloads']} reloads, checked {age:.0f} s ago",
    ]
    if shown["old_workers"]:
        lines.append(f"old workers that finish their connections: {shown['old_workers']}")
    for kind in KINDS:
        lines.append(f"{kind}: " + (", ".join(f"{name} ({count})" for name, count in shown[kind].items()) or "none"))
    for name, shares in shown["traffic"].items():
        versions = ", ".join(f"{version or 'no version'} {percent:g} %" for version, percent in shares.items())
        lines.append(printable(f"traffic: {name}: {versions}"))
    for unit, (count, times) in shown["restarts"].items():
        lines.append(printable(f"restarted because it hung: {unit}: {count} times, {_age(now - times[-1])} ago"))
    for title, entries in (("skipped", shown["skipped"]), ("warning", shown["warnings"])):
        lines += [printable(f"{title}: {entry['name']}: {entry['reason']}") for entry in entries]
    return "\n".join(lines), 0 if state == "ok" else 1


def changed(before, after) -> bool:
    """Whether people want to see the new status in the journal."""
    return any(after.get(key) != before.get(key) for key in ("state", "reason", "generation", "skipped", "warnings"))


def line(status) -> str:
    """The state in one line, which begins with `ok` where nothing is wrong; for systemd, which shows it to everybody."""
    shown = {**EMPTY, **status}
    state = shown["state"] if shown["state"] != "ok" or not shown["reason"] else "degraded"
    return printable(f"{state}: {shown['reason']}" if shown["reason"] else state)[:LONGEST_LINE]


def _age(seconds):
    """About how long: 42 s, 5 min, 3 h, 2 d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
