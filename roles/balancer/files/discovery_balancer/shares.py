"""Pure: from the shares of a service's versions to the weights of its instances (canary).

A site sets the percentage of requests that a version gets in Consul's KV store, under discovery/traffic/<service>:

    {"shares": {"v2": 10}, "previous": {}}

The version of an instance is its meta `version` (label SERVICE_VERSION). Versions that are not named share the rest
by the weights of their instances. A version with 0 gets no request at all, whatever becomes of the others. The share of a
version without a healthy instance goes to the others; to those that are not named also where nothing is left for them.
"""

import dataclasses
import functools
import json
import math
from fractions import Fraction

MAX_WEIGHT = 65535
SMALL = 1000  # weights up to this are printed as they come out, exact
ROUGH = Fraction(1, 1000)  # of the requests, by which rounded weights may miss a version's share


class Malformed(ValueError):
    """A value in the KV store that is no shares, and why."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """The instances of a service with the weights that its shares make."""

    instances: tuple  # with their new weights, without those that get nothing
    percent: dict = dataclasses.field(default_factory=dict)  # version to what it gets of a hundred; {}: by weights alone
    warning: str = ""  # why it is not what the site has set


def shares_of(value) -> dict:
    """The shares in a value of the KV store: {version: percent}, {} for "by weights alone".

    :param value: the text of the key, or its JSON: {"shares": {version: percent}}, or the inner part alone
    :raises Malformed: it is something else, a percentage is no whole number from 0 to 100, or they exceed 100 together
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Malformed(f"{_short(value)} is not JSON") from None
    if isinstance(value, dict) and "shares" in value:
        value = value["shares"]
    if not isinstance(value, dict):
        raise Malformed(f"{_short(value)} has no shares: it should be like {{\"shares\": {{\"v2\": 10}}}}")
    for version, percent in value.items():
        if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100:
            raise Malformed(f"the share {_short(percent)} of the version {_short(version)} is no number from 0 to 100")
    if sum(value.values()) > 100:
        raise Malformed(f"the shares are {sum(value.values())} % together, more than 100")
    return value


def spread(instances, value, max_weight=MAX_WEIGHT) -> Spread:
    """Give the instances of a service the weights that make the versions' shares.

    :param instances: healthy ones, each a dataclass with `weight` (a whole number from 1) and `version` (text)
    :param value: of the KV store, as for `shares_of`; None where the site has set nothing
    :param max_weight: highest weight that the balancer knows
    :returns: within a version the instances share by their own weights; a malformed value changes nothing and gives a warning
    """
    try:
        shares = {} if value is None else shares_of(value)
    except Malformed as malformed:
        return Spread(tuple(instances), warning=f"its traffic is not shifted: {malformed}")
    if not shares:
        return Spread(tuple(instances))
    parts = _parts(instances, shares)
    if not parts:
        return Spread((), {}, "no version with a share of the traffic has a healthy instance")
    own = {version: sum(i.weight for i in instances if i.version == version) for version in parts}
    chosen = [i for i in instances if i.version in parts]
    weights = _whole([parts[i.version] * i.weight / own[i.version] for i in chosen], [i.version for i in chosen], max_weight)
    missing = sorted(v for v in shares if shares[v] and v not in parts)
    there = {version: _percent(part) for version, part in sorted(parts.items())}
    return Spread(
        tuple(dataclasses.replace(i, weight=weight) for i, weight in zip(chosen, weights)),  # noqa: B905  as long; Python 3.9
        there,
        f"no healthy instance of {', '.join(map(_short, missing))}: its share goes to the others" if missing else "",
    )


def _parts(instances, shares) -> dict:
    """Version to its part of the requests, a Fraction above 0; together 1, or {} where no version is left."""
    own = {}
    for instance in instances:
        own[instance.version] = own.get(instance.version, 0) + instance.weight
    named = {version: Fraction(percent) for version, percent in shares.items() if percent and version in own}
    others = {version: Fraction(weight) for version, weight in own.items() if version not in shares}
    rest = Fraction(100 - sum(shares.values()))
    if others and (rest or not named):
        named.update({v: (rest or 1) * weight / sum(others.values()) for v, weight in others.items()})
    total = sum(named.values())
    return {version: part / total for version, part in named.items()}


def _percent(part) -> float:
    """A part in percent with one decimal place; a smaller part with its first digit, so that 0 always means none."""
    percent = float(part) * 100
    return round(percent, 1) or float(f"{percent:.1g}")


def _whole(targets, versions, max_weight) -> list:
    """Whole numbers from 1 to max_weight in these proportions: the smallest exact ones where they are small, else the smallest
    of a few sizes whose rounding no version notices, else the finest."""
    common = functools.reduce(lambda a, b: a * b // math.gcd(a, b), (t.denominator for t in targets), 1)
    exact = [int(t * common) for t in targets]
    exact = [weight // functools.reduce(math.gcd, exact) for weight in exact]
    if max(exact) <= min(SMALL, max_weight):
        return exact
    for size in sorted({min(size, max_weight) for size in (100, SMALL, 10_000, max_weight)}):
        rounded = [max(1, round(Fraction(weight * size, max(exact)))) for weight in exact]
        if _error(rounded, targets, versions) <= ROUGH:
            break
    return rounded


def _error(weights, targets, versions) -> Fraction:
    """By how much of all requests the weights miss the share of the version they miss most."""
    missed = dict.fromkeys(versions, Fraction(0))
    for weight, target, version in zip(weights, targets, versions):  # noqa: B905  as long; Python 3.9
        missed[version] += Fraction(weight, sum(weights)) - target / sum(targets)
    return max(map(abs, missed.values()))


def _short(value) -> str:
    """A value of the KV store in a message: it may be anything."""
    text = value if isinstance(value, str) else repr(value)
    return repr(text[:60] + ("…" if len(text) > 60 else ""))
