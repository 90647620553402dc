"""The schema of what one host reports for the status of a site: the host cuts its answer to it, the controller refuses another.

A host may be anybody's: whatever it answers is read here or is not used at all, so that it is about that host only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# A truth value is a number for Python, so it comes first.
KINDS = {bool: "true or false", str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
LONGEST_KEY = 40  # characters of a key in a reason


class Malformed(ValueError):
    """An answer that does not fit; the argument is a sentence that begins with the place."""


def kind(value) -> str:
    """What a value is, in the words of JSON."""
    return "null" if value is None else next((text for one, text in KINDS.items() if isinstance(value, one)), "something else")


def _refuse(where: str, value, expected: str):
    raise Malformed(f"{where} is {kind(value)}, not {expected}")


@dataclass(frozen=True)
class Text:
    most: int = 300  # characters

    def read(self, value, where: str) -> str:
        """The value, if it fits, without what the schema does not know.

        :param where: its place in the answer, for the reason
        :raises Malformed: it does not fit
        """
        if not isinstance(value, str):
            _refuse(where, value, "a text")
        if len(value) > self.most:
            raise Malformed(f"{where} is longer than {self.most} characters")
        return str(value)

    def cut(self, value):
        """The value, as far as its length fits. What does not fit otherwise stays."""
        return value[: self.most - 3] + "..." if isinstance(value, str) and len(value) > self.most else value


@dataclass(frozen=True)
class Number:
    most: int
    whole: bool = True

    def read(self, value, where: str) -> int | float:
        good = (int,) if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, good):
            _refuse(where, value, "a whole number" if self.whole else "a number")
        if (isinstance(value, float) and not math.isfinite(value)) or abs(value) > self.most:
            raise Malformed(f"{where} is beyond {self.most}")
        return value

    def cut(self, value):
        return value


class Flag:
    def read(self, value, where: str) -> bool:
        if not isinstance(value, bool):
            _refuse(where, value, "true or false")
        return value

    def cut(self, value):
        return value


@dataclass(frozen=True)
class List:
    item: object
    most: int
    more: Callable[[int], object] | None = None  # the last item instead of so many that are too many

    def read(self, value, where: str) -> list:
        if not isinstance(value, list):
            _refuse(where, value, "a list")
        if len(value) > self.most:
            raise Malformed(f"{where} has more than {self.most} items")
        return [self.item.read(one, f"{where}[{number}]") for number, one in enumerate(value)]

    def cut(self, value):
        if not isinstance(value, list):
            return value
        if len(value) > self.most:
            last = [self.more(len(value) - self.most + 1)] if self.more else value[self.most - 1 : self.most]
            value = value[: self.most - 1] + last
        return [self.item.cut(one) for one in value]


@dataclass(frozen=True)
class Names:
    """An object whose keys are names."""

    item: object
    most: int
    key: Text = field(default_factory=Text)

    def read(self, value, where: str) -> dict:
        if not isinstance(value, Mapping):
            _refuse(where, value, "an object")
        if len(value) > self.most:
            raise Malformed(f"{where} has more than {self.most} names")
        read = self.key.read
        return {read(name, f"a name in {where}"): self.item.read(one, _below(where, name)) for name, one in value.items()}

    def cut(self, value):
        if not isinstance(value, Mapping):
            return value
        return {name: self.item.cut(one) for name, one in list(value.items())[: self.most]}


@dataclass(frozen=True)
class Record:
    fields: Mapping[str, object]
    optional: Mapping[str, object] = field(default_factory=dict)

    def read(self, value, where: str) -> dict:
        if not isinstance(value, Mapping):
            _refuse(where, value, "an object")
        if missing := [name for name in self.fields if name not in value]:
            raise Malformed(f"{_below(where, missing[0])} is missing")
        known = {**self.fields, **self.optional}
        return {name: one.read(value[name], _below(where, name)) for name, one in known.items() if name in value}

    def cut(self, value):
        known = {**self.fields, **self.optional}
        if not isinstance(value, Mapping):
            return value
        return {name: one.cut(value[name]) for name, one in known.items() if name in value}


@dataclass(frozen=True)
class Either:
    """Null, or what the schema says."""

    item: object

    def read(self, value, where: str):
        return None if value is None else self.item.read(value, where)

    def cut(self, value):
        return None if value is None else self.item.cut(value)


def _below(where: str, name) -> str:
    return f"{where}.{name}"[: LONGEST_KEY + len(where)].removeprefix(".")


def _more(count: int) -> str:
    return f"and {count} more"


def _more_skipped(count: int) -> dict:
    return {"name": _more(count), "reason": "see discovery-balancer status"}


WORD, TEXT, LINE = Text(100), Text(), Text(600)
COUNT, TIME, CLOCK = Number(10**9), Number(10**11), Number(10**11, whole=False)
DATES = Record({"written": TIME, "end": TIME})
LINES, WORDS = List(LINE, 50, more=_more), List(WORD, 12, more=_more)
ERROR = Record({"error": TEXT})
DISKS = ("consul", "docker", "nginx", "log")  # what writes to a file system
WATCH = Record({"restarts": COUNT, "last": CLOCK, "problem": LINE})
PARTS: dict[str, object] = {
    "consul": Record(
        {"unit": TEXT, "installed": TEXT, "running": TEXT, "leader": TEXT},
        {"problem": TEXT, "blocked": List(TEXT, 3), "udp_lost": Names(COUNT, 50, WORD)},
    ),
    "cluster": Record(
        {
            "members": Names(Record({"state": TEXT, "address": TEXT, "server": Flag()}), 1000),
            "healthy": Flag(),
            "tolerance": COUNT,
            "servers": Names(Record({"healthy": Flag(), "voter": Flag()}), 100),
            "rings": List(Record({"members": COUNT, "have": List(COUNT, 100), "use": List(COUNT, 100)}), 100),
            "services": COUNT,
            "nodes": List(TEXT, 1000),
            "unhealthy": COUNT,
            "checks": List(Record({"node": TEXT, "service": TEXT, "check": TEXT, "status": TEXT}), 200),
        }
    ),
    "certificates": Record({}, {f"{sort} {what}": DATES for sort in ("host", "ca") for what in ("Consul", "docker")}),
    "backups": Record({"timer": TEXT, "result": TEXT, "count": COUNT, "newest": TIME}),
    "balancer": Either(
        Record(
            {
                "generation": COUNT,
                "state": TEXT,
                "reason": LINE,
                "time": CLOCK,
                "skipped": List(Record({"name": TEXT, "reason": LINE}), 100, more=_more_skipped),
            },
            {"balancer": TEXT, "turned_away": COUNT},
        )
    ),
    "services": Record({"unknown": LINES, "differing": LINES, "missing": LINES, "lost": LINES, "settings": Flag()}),
    "containers": Either(Record({"running": COUNT, "registrator": Flag(), "watch": Either(WATCH)}, {"failed": LINES})),
    "templates": Names(Record({"state": TEXT, "done": Flag()}), 100),
    "configuration": Either(Record({"problem": LINE})),
    "resolver": Either(Record({"problems": List(LINE, 10)})),
    "firewall": Either(Record({"loaded": Flag(), "unheard": List(Record({"protocol": COUNT, "program": TEXT}), 20)})),
    "disks": Record({}, dict.fromkeys(DISKS, Record({"path": TEXT, "free_mb": COUNT, "free_inodes": Either(COUNT)}))),
    "client_certificates": Names(Either(Record({"begin": TIME, "end": TIME}, {"problem": LINE})), 100),
    "dockerd": Either(Record({"forwards": Either(Flag()), "lost": WORDS, "waiting": WORDS})),
    "floating_addresses": Either(
        Record(
            {"unit": TEXT, "check": TEXT, "priority": Either(Number(1000)), "drained": Flag(), "held": List(TEXT, 64)},
            {"balancers": Names(TEXT, 100)},
        )
    ),
    "clock": Record({"begin": CLOCK, "end": CLOCK}),
}


def fitted(name: str, value):
    """A part as a host reports it: cut where it is too long; what does not fit all the same is an error text."""
    try:
        return PARTS[name].read(PARTS[name].cut(value), name)
    except Malformed as problem:
        return ERROR.cut({"error": str(problem)})


def parts_of(answer, cluster: bool) -> dict:
    """The parts of a host's answer, each as the schema has it, or with the only key `error`.

    :param answer: any value of JSON
    :param cluster: whether the part `cluster` is expected; where it is not, it is not read
    :raises Malformed: it does not fit
    """
    if not isinstance(answer, Mapping):
        _refuse("it", answer, "an object")
    parts = answer.get("parts")
    if not isinstance(parts, Mapping):
        _refuse("parts", parts, "an object")
    expected = {name: schema for name, schema in PARTS.items() if name != "cluster" or cluster}
    if missing := [name for name in expected if name not in parts]:
        raise Malformed(f"{missing[0]} is missing")
    return {name: _part(schema, parts[name], name) for name, schema in expected.items()}


def _part(schema, value, name: str):
    lost = isinstance(value, Mapping) and set(value) == {"error"}
    return ERROR.read(value, name) if lost else schema.read(value, name)
