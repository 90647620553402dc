"""The load that runs while the operations do, and what it must not see."""

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.load import gaps
from tests.support.wait import eventually

# Bounds of the acceptance rows, in seconds without an acknowledged write.
PLANNED_GAP, CRASH_GAP = 1.0, 5.0
# A leader that does not reach the others for this long steps down (Raft's LeaderLeaseTimeout, Consul keeps its default).
LEASE = 0.5


@dataclass
class Seen:
    """What the load saw between two moments."""

    http: int
    failed: list[str]
    slowest: float
    writes: int
    gap: float
    stale: list[str]
    down: int
    stall: float

    def __str__(self) -> str:
        return (
            f"HTTP {self.http} requests, {len(self.failed)} failed, slowest {self.slowest:.1f} s; KV {self.writes} writes,"
            f" longest gap {self.gap:.2f} s, {len(self.stale)} stale reads; at most {self.down} servers down at once;"
            f" the machine stood for {self.stall:.2f} s"
        )

    def allowed(self, gap: float) -> float:
        """The bound, in seconds, on this machine: a disk or processor that stood while the load ran is not Consul's fault, and
        when it stood for as long as a leader's lease, an election may have followed."""
        return self.stall + (gap if self.stall < LEASE else max(gap, CRASH_GAP))


class Load:
    """The load process and its log."""

    def __init__(self, log: Path, show):
        self.log, self.show = log, show

    def samples(self) -> list[dict]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def seen(self, start: float, end: float) -> Seen:
        kinds: dict[str, list[dict]] = {kind: [] for kind in ("http", "write", "read", "down", "stall")}
        for sample in self.samples():
            if start <= sample["t"] <= end:
                kinds[sample["kind"]].append(sample)
        return Seen(
            http=len(kinds["http"]),
            failed=[s["note"] for s in kinds["http"] if not s["ok"]],
            slowest=max((s["seconds"] for s in kinds["http"]), default=0.0),
            writes=len(kinds["write"]),
            gap=gaps(kinds["write"], start, end),
            stale=[s["note"] for s in kinds["read"] if not s["ok"]],
            down=max((len(s["note"]) for s in kinds["down"]), default=0),
            stall=max((s["seconds"] for s in kinds["stall"]), default=0.0),
        )

    @contextlib.contextmanager
    def under(self, name: str, gap: float, down: int):
        """The bounds hold from here to the end of the block."""
        eventually(lambda: self.seen(time.time() - 2, time.time()).writes > 3, 60)
        start = time.time()
        yield
        seen = self.seen(start, time.time())
        self.show(f"{name}, {time.time() - start:.0f} s: {seen}")
        assert seen.http > 0 and seen.writes > 0, "there was no load"
        assert seen.failed == [], f"{name}: requests failed"
        assert seen.stale == [], f"{name}: acknowledged writes were not read"
        assert seen.gap <= seen.allowed(gap), f"{name}: no write for {seen.gap:.2f} s"
        assert seen.down <= down, f"{name}: {seen.down} servers down at once"

    def planned(self, name: str):
        """Planned work: nothing fails, no write waits longer than a second, one server at a time."""
        return self.under(name, PLANNED_GAP, 1)

    def crash(self, name: str):
        """One server dies: nothing fails, writes go on within five seconds."""
        return self.under(name, CRASH_GAP, 1)
