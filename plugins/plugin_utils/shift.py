"""Traffic shifting: the shares that the versions of a service shall get."""

from __future__ import annotations

import json
from collections.abc import Mapping


def shift_request(given: Mapping) -> dict:
    """The request that the variables express, and what is wrong with it.

    :param given: shift_service, shift_version, shift_percent, shift_shares (a dict, or its JSON), shift_undo, shift_end (bools);
        an unset one may be absent, None or ''
    :returns: service, undo (whether the shares before the last shift come back), shares (version to percentage, empty with undo)
        and problems: one text each, naming variable, value and what to set
    """
    service, version, percent = (str(given.get(f"shift_{name}") or "") for name in ("service", "version", "percent"))
    percent = "0" if given.get("shift_percent") in (0, "0") else percent
    shares, undo, end = (given.get(f"shift_{name}") for name in ("shares", "undo", "end"))
    problems = []
    if isinstance(shares, str):
        shares, problems = _parsed(shares)
    several = bool(shares or problems)
    if not service or "/" in service:
        problems.append(f"shift_service is {service!r}: set it to the name of a service (-e shift_service=web)")
    ways = [bool(version or percent), several, bool(undo), bool(end)]
    if sum(ways) != 1:
        problems.append(
            f"{sum(ways)} of four requests are set: set shift_version and shift_percent, or shift_shares, or shift_undo=true"
            " (back to the shares before the last shift), or shift_end=true (by the weights of the instances again)"
        )
    elif ways[0] and not (version and percent):
        problems.append(
            f"shift_version is {version!r} and shift_percent is {percent!r}: set both (-e shift_version=v2 -e shift_percent=10)"
        )
    requested = {version: percent} if ways[0] else {str(v): str(p) for v, p in (shares or {}).items()}
    wanted = {}
    for name, value in requested.items():
        if value.isascii() and value.isdigit() and int(value) <= 100:
            wanted[name] = int(value)
        elif not problems:
            variable = "shift_percent" if ways[0] else "shift_shares"
            problems.append(f"{variable} is {value!r} for {name!r}: set a whole number from 0 to 100")
    if sum(wanted.values()) > 100:
        problems.append(f"shift_shares are {sum(wanted.values())} together: set at most 100; the other versions share the rest")
    return {"service": service, "undo": bool(undo), "shares": {} if undo else wanted, "problems": problems}


def _parsed(text: str) -> tuple[dict, list[str]]:
    """Shares given as JSON, and what is wrong with them."""
    try:
        shares = json.loads(text or "{}")
    except ValueError:
        shares = None
    if isinstance(shares, dict):
        return shares, []
    return {}, [f'shift_shares is {text!r}: set it to versions and percentages, such as -e \'{{"shift_shares": {{"v2": 10}}}}\'']
