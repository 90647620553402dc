"""Shares of a service's versions: what is asked for, what there is, and what is written into Consul's KV store.

The value of discovery/traffic/<service> is {"shares": {version: percent}, "previous": {version: percent}}: what counts now, and
what counted before, for the way back. {} means "by the weights of the instances". Read by the balancer's guard
(roles/consul_template/files/discovery_balancer/traffic.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

KEY = "discovery/traffic/"
TAGS = {"http", "tls", "tcp"}


def request(given: Mapping) -> tuple[dict, list[str]]:
    """What the caller's variables ask for, and what is wrong with them.

    :param given: shift_service, shift_version, shift_percent, shift_shares (a dict), shift_undo, shift_end; what is not set may
        be left out, None or ''
    :returns: {"service", "undo", "shares"}, shares None for the way back; problems, one text each: variable, value, what to set
    """
    service, version, percent = (str(given.get(f"shift_{name}") or "") for name in ("service", "version", "percent"))
    percent = "0" if given.get("shift_percent") in (0, "0") else percent
    shares, undo, end = (given.get(f"shift_{name}") for name in ("shares", "undo", "end"))
    problems = []
    if not service or "/" in service:
        problems.append(f"shift_service is {service!r}: set it to the name of a service (-e shift_service=web)")
    ways = [bool(version or percent), bool(shares), bool(undo), bool(end)]
    if sum(ways) != 1:
        problems.append(
            f"{sum(ways)} of the ways to say what shall be are used: set shift_version and shift_percent, or shift_shares,"
            " or shift_undo=true (back to what was before), or shift_end=true (by the weights of the instances again)"
        )
    elif ways[0] and not (version and percent):
        problems.append(
            f"shift_version is {version!r} and shift_percent is {percent!r}: set both (-e shift_version=v2 -e shift_percent=10)"
        )
    asked = {version: percent} if ways[0] else {str(v): str(p) for v, p in (shares or {}).items()}
    wanted = {}
    for name, value in asked.items():
        if value.isascii() and value.isdigit() and int(value) <= 100:
            wanted[name] = int(value)
        elif not problems:
            variable = "shift_percent" if ways[0] else "shift_shares"
            problems.append(f"{variable} is {value!r} for {name!r}: set a whole number from 0 to 100")
    if sum(wanted.values()) > 100:
        problems.append(f"shift_shares are {sum(wanted.values())} together: set at most 100; the other versions share the rest")
    return {"service": service, "undo": bool(undo), "shares": None if undo else wanted}, problems


def versions_of(health: Iterable[Mapping]) -> dict[str, dict[str, int]]:
    """The versions of a service: each with its instances for balancers, and how many of them pass.

    :param health: answer of /v1/health/service/<name>
    """
    found: dict[str, dict[str, int]] = {}
    for entry in health:
        service = entry["Service"]
        if TAGS & set(service.get("Tags") or []):
            counts = found.setdefault((service.get("Meta") or {}).get("version", ""), {"instances": 0, "passing": 0})
            counts["instances"] += 1
            counts["passing"] += all(check["Status"] == "passing" for check in entry["Checks"])
    return found


def stored(text: str | None) -> dict:
    """What a value of the KV store says; {} where there is none or it makes no sense."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    parts = {name: value.get(name) for name in ("shares", "previous")} if isinstance(value, dict) else {}
    return {name: part for name, part in parts.items() if isinstance(part, dict)}


def decide(asked: Mapping, versions: Mapping[str, Mapping[str, int]], known: Iterable[str], text: str | None) -> dict:
    """What is to be written.

    :param asked: of `request`
    :param versions: of `versions_of`
    :param known: names of the services that balancers serve
    :param text: the present value of the key, None for none
    :returns: problems (texts); else shares, value (the text to write) and changed
    """
    service, now = asked["service"], stored(text)
    there = ", ".join(f"{v or 'no version'} ({n['passing']} of {n['instances']} pass)" for v, n in sorted(versions.items()))
    if not versions:
        names = ", ".join(sorted(known)) or "none"
        return {"problems": [f"shift_service is {service!r}, which no balancer serves ; there are: {names}"]}
    shares = asked["shares"]
    problems = []
    if asked["undo"]:
        if "previous" not in now:
            return {"problems": [f"shift_undo: the traffic of {service} was not shifted, so there is nothing to go back to"]}
        shares = now["previous"]
    else:
        for version, percent in shares.items():
            if version not in versions:
                problems.append(f"shift_version is {version!r}, which no instance of {service} has; there are: {there}")
            elif percent and not versions[version]["passing"]:
                problems.append(f"shift_version is {version!r}, of which no instance of {service} passes: {there}")
    if not problems and not _somebody(shares, versions):
        problems.append(f"nobody would answer for {service}: a version with 0 gets nothing, and there are: {there}")
    if problems:
        return {"problems": problems}
    same = shares == now.get("shares", {}) and (text is None or "shares" in now)
    previous = now.get("previous", {}) if same else now.get("shares", {})
    value = json.dumps({"shares": shares, "previous": previous}, sort_keys=True)
    return {"problems": [], "shares": shares, "value": (text or "") if same else value, "changed": not same}


def _somebody(shares: Mapping, versions: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether an instance that passes gets anything."""
    passing = {version for version, counts in versions.items() if counts["passing"]}
    return any(shares.get(version) != 0 for version in passing)
