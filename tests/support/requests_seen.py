"""A bounded HTTP load on one virtual host, on new and on kept connections, and what it saw."""

import contextlib
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.site import ROOT
from tests.support.wait import eventually

EVERY = 0.02  # seconds between two requests of one client; two clients for each balancer


@dataclass(frozen=True)
class Request:
    """One request: when it ended (Unix time), how it was sent (http, keep, raw), whether it was answered, by which instance."""

    t: float
    kind: str
    ok: bool
    note: str

    @property
    def instance(self) -> str:
        return self.note.rpartition(" ")[2] if self.ok else ""


class Requests:
    """What the load has seen until now."""

    def __init__(self, log: Path):
        self.log = log

    def seen(self, start: float = 0, kind: str = "") -> list[Request]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        told = [json.loads(line) for line in lines if line.endswith("}")]
        found = [Request(one["t"], one["kind"], one["ok"], one["note"]) for one in told]
        return [one for one in found if one.t >= start and kind in ("", one.kind)]

    def failed(self, start: float = 0) -> list[str]:
        """What counts as failed: no answer or 500 and above, on a kept connection after the one retry."""
        return [f"{one.kind} {one.note}" for one in self.seen(start) if not one.ok and one.kind != "raw"]

    def first(self, instance: str) -> float | None:
        """When an instance answered for the first time; None when it never has."""
        return next((one.t for one in self.seen() if one.instance == instance), None)

    def last(self, instance: str) -> float:
        """When an instance answered for the last time."""
        return max(one.t for one in self.seen() if one.instance == instance)

    def __str__(self) -> str:
        count = {kind: len(self.seen(kind=kind)) for kind in ("http", "keep", "raw")}
        return (
            f"{count['http']} requests on new connections, {count['keep']} on kept ones ({count['raw']} sent again),"
            f" {len(self.failed())} failed"
        )


@contextlib.contextmanager
def asking(site, host: str, folder: Path):
    """Ask every balancer for a virtual host while the block runs; it answers before the block begins."""
    plan = {"balancers": [node.address for node in site.balancers], "servers": [], "host": host, "keep": True, "every": EVERY}
    (folder / "plan.json").write_text(json.dumps(plan))
    log = folder / "requests"
    command = [sys.executable, "-m", "tests.support.load", folder / "plan.json", log]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process:
        requests = Requests(log)
        try:
            eventually(lambda: requests.seen(kind="http") and requests.seen(kind="keep"), 30)
            yield requests
        finally:
            process.stdin.close()


def spread(seconds: list[float]) -> str:
    """Median and maximum, for people."""
    return f"p50 {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s, of {len(seconds)}"
