"""Pure: percentiles, and what wrk printed."""

import math
import re
import statistics

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def percentile(values: list[float], share: float) -> float:
    """The smallest value that is not exceeded by this share of all (nearest rank).

    :param values: at least one, in any order
    :param share: 0 to 100
    :raises ValueError: there are no values, or no such share
    """
    if not values or not 0 <= share <= 100:
        raise ValueError(f"there is no {share}th percentile of {len(values)} values")
    return sorted(values)[max(0, math.ceil(share / 100 * len(values)) - 1)]


def summary(values: list[float | None]) -> dict:
    """Count, p50, p99 and maximum of those that came to an end, and how many did not (None)."""
    ended = [value for value in values if value is not None]
    numbers = {"p50": percentile(ended, 50), "p99": percentile(ended, 99), "max": max(ended)} if ended else {}
    return {"count": len(ended), "missing": len(values) - len(ended), **numbers}


def wrk(printed: str) -> dict:
    """What `wrk --latency` measured: requests a second, p50 and p99 in seconds, requests in all, and those that failed.

    :raises ValueError: this is not what wrk prints
    """
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", printed, re.MULTILINE)
    total = re.search(r"^\s+(\d+) requests in", printed, re.MULTILINE)
    spread = {share: _seconds(text) for share, text in re.findall(r"^\s+(50|99)%\s+(\S+)", printed, re.MULTILINE)}
    if not (rate and total and len(spread) == 2):
        raise ValueError(f"this is not what wrk prints: {printed[-500:]!r}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", printed)
    failed = int(refused[1]) if refused else 0
    failed += sum(map(int, errors.groups())) if errors else 0
    return {"rate": float(rate[1]), "p50": spread["50"], "p99": spread["99"], "requests": int(total[1]), "failed": failed}


def _seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * SECONDS[unit]


def middle(rounds: list[dict]) -> dict:
    """Of several results of `wrk` the one with the middle rate, with the failed requests of all of them."""
    rate = statistics.median_low([one["rate"] for one in rounds])
    chosen = next(one for one in rounds if one["rate"] == rate)
    return chosen | {"failed": sum(one["failed"] for one in rounds)}


def share_of(value: float, of: float) -> str:
    """One number beside another, as a factor for people."""
    return f"{value / of:.2f} ×" if of else "–"


def seconds(value: float | None) -> str:
    """A time for people: three digits that count, in ms or s."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value * 1000:.3g} ms" if value else "0"
    return f"{value:.3g} s"
