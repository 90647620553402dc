"""Shares of a service's traffic by version: the key discovery/traffic/<service> of Consul's KV store.

The value is {"shares": {version: percent}, "previous": {version: percent}}: the shares that apply, and those before the last
shift, for the rollback. {} means "by the weights of the instances". Reader: the program discovery-balancer (its shares.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

KEY = "discovery/traffic/"
TAGS = {"http", "tls", "tcp"}


def versions_of(health: Iterable[Mapping]) -> dict[str, dict[str, int]]:
    """The versions of a service, each with the number of its instances for load balancers, and how many of them pass.

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
    """The valid parts of a value of the KV store; {} where there are none."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    parts = {name: value.get(name) for name in ("shares", "previous")} if isinstance(value, dict) else {}
    return {name: part for name, part in parts.items() if isinstance(part, dict)}


def decide(
    service: str,
    shares: Mapping[str, int] | None,
    versions: Mapping[str, Mapping[str, int]],
    known: Iterable[str],
    text: str | None,
) -> dict:
    """The value to write, or why the shares are refused.

    :param shares: version to percentage; None for the shares before the last shift
    :param versions: of `versions_of`
    :param known: names of the services that load balancers serve
    :param text: the present value of the key, None for none
    :returns: problems (texts); else shares, value (the text to write) and changed
    """
    now = stored(text)
    there = ", ".join(f"{v or 'no version'} ({n['passing']} of {n['instances']} pass)" for v, n in sorted(versions.items()))
    if not versions:
        names = ", ".join(sorted(known)) or "none"
        return {"problems": [f"shift_service is {service!r}, which no load balancer serves: choose among {names}"]}
    problems = []
    if shares is None:
        if "previous" not in now:
            return {"problems": [f"shift_undo: the traffic of {service} was not shifted, so there is nothing to undo"]}
        shares = now["previous"]
    else:
        for version, percent in shares.items():
            if version not in versions:
                problems.append(f"shift_version is {version!r}, which no instance of {service} has: choose among {there}")
            elif percent and not versions[version]["passing"]:
                problems.append(
                    f"shift_version is {version!r}, of which no instance of {service} passes: choose a healthy one among {there}"
                )
    if not problems and not _served(shares, versions):
        problems.append(
            f"no instance of {service} would get requests, because a version with 0 gets none: set more than 0 for a healthy one"
            f" among {there}"
        )
    if problems:
        return {"problems": problems}
    same = shares == now.get("shares", {}) and (text is None or "shares" in now)
    previous = now.get("previous", {}) if same else now.get("shares", {})
    value = json.dumps({"shares": shares, "previous": previous}, sort_keys=True)
    return {"problems": [], "shares": shares, "value": (text or "") if same else value, "changed": not same}


def _served(shares: Mapping, versions: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether an instance that passes gets requests."""
    passing = {version for version, counts in versions.items() if counts["passing"]}
    return any(shares.get(version) != 0 for version in passing)
