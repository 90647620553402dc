"""The load while operations run, on balancers and KV store, and its bounds."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.http_load import ROOT, HttpLoad, Sample, http_load, longest_gap
from tests.support.stalls import assert_within
from tests.support.wait import eventually

if TYPE_CHECKING:
    from tests.support.site import Site

HTTP_EVERY = 0.1  # seconds between two requests of one client
# Bounds of the acceptance rows, in seconds without an acknowledged write.
PLANNED_GAP, CRASH_GAP = 1.0, 5.0
# A leader that does not reach the others for this long steps down (Raft's LeaderLeaseTimeout, Consul keeps its default).
LEASE = 0.5
STALL_CEILING = 5.0  # seconds: on a machine that stands still for longer the bounds prove nothing


@dataclass
class Observed:
    """What clients got between two moments."""

    http: list[Sample]
    writes: int
    gap: float
    stale: list[str]
    down: int
    stall: float

    @property
    def failed(self) -> list[str]:
        return [str(sample) for sample in self.http if not sample.ok]

    def __str__(self) -> str:
        slowest = max((sample.ended - sample.sent for sample in self.http), default=0.0)
        return (
            f"HTTP {len(self.http)} requests, {len(self.failed)} failed, slowest {slowest:.1f} s; KV {self.writes} writes,"
            f" longest gap {self.gap:.2f} s, {len(self.stale)} stale reads; at most {self.down} servers down at once;"
            f" the machine stood still for {self.stall:.2f} s"
        )

    def allowed(self, gap: float) -> float:
        """The bound, in seconds, on this machine: a disk or processor that stood still while the load ran is not Consul's fault,
        and when it did for as long as a leader's lease, an election may have followed."""
        return self.stall + (gap if self.stall < LEASE else max(gap, CRASH_GAP))

    def check(self, name: str, gap: float, down: int) -> None:
        """There was load, and it stayed within the bounds.

        :param gap: seconds without an acknowledged write
        :param down: servers down at once
        """
        assert {sample.kept for sample in self.http} == {False, True}, f"{name}: no requests on new or on kept connections"
        assert self.writes > 0, f"{name}: there were no writes"
        assert self.failed == [], f"{name}: requests failed"
        assert self.stale == [], f"{name}: acknowledged writes were not read"
        assert_within(f"{name}: no write", self.gap, gap, self.stall, STALL_CEILING, self.allowed(gap))
        assert self.down <= down, f"{name}: {self.down} servers down at once"


class OperationLoad:
    """Both loads, and their logs."""

    def __init__(self, http: HttpLoad, kv_log: Path):
        self.http, self.kv_log = http, kv_log

    def observed(self, start: float, end: float) -> Observed:
        lines = self.kv_log.read_text().splitlines() if self.kv_log.exists() else []
        kinds: dict[str, list[dict]] = {kind: [] for kind in ("write", "read", "down", "stall")}
        for sample in (json.loads(line) for line in lines if line.endswith("}")):
            if start <= sample["t"] <= end:
                kinds[sample["kind"]].append(sample)
        return Observed(
            http=[sample for sample in self.http.ended_since(start) if sample.ended <= end],
            writes=len(kinds["write"]),
            gap=longest_gap([s["t"] for s in kinds["write"] if s["ok"]], start, end),
            stale=[s["note"] for s in kinds["read"] if not s["ok"]],
            down=max((len(s["note"]) for s in kinds["down"]), default=0),
            stall=max((s["seconds"] for s in kinds["stall"]), default=0.0),
        )


class LoadBounds:
    """`with load.planned("rotation"):` asserts what clients got meanwhile."""

    def __init__(self, load: OperationLoad, show):
        self.load, self.show = load, show

    @contextlib.contextmanager
    def within(self, name: str, gap: float, down: int):
        """The bounds hold from here to the end of the block."""
        eventually(lambda: self.load.observed(time.time() - 2, time.time()).writes > 3, 60)
        start = time.time()
        yield
        observed = self.load.observed(start, time.time())
        self.show(f"{name}, {time.time() - start:.0f} s: {observed}")
        observed.check(name, gap, down)

    def planned(self, name: str):
        """Planned work: nothing fails, no write waits longer than a second, one server at a time."""
        return self.within(name, PLANNED_GAP, 1)

    def crash(self, name: str):
        """One server dies: nothing fails, writes go on within five seconds."""
        return self.within(name, CRASH_GAP, 1)


@contextlib.contextmanager
def operation_load(site: Site, folder: Path) -> Iterator[OperationLoad]:
    """Load on all balancers and servers of a site while the block runs.

    :param folder: where plans and logs are written
    """
    token = str(uuid.uuid4())
    api = site.consul()
    rules = 'key_prefix "load/" { policy = "write" }'
    policy = api.put("/v1/acl/policy", {"Name": f"load-{token[:8]}", "Rules": rules})
    made = api.put("/v1/acl/token", {"SecretID": token, "Description": "load of the tests", "Policies": [{"ID": policy["ID"]}]})
    plan, log = folder / "kv_load.json", folder / "kv_load.log"
    plan.touch(mode=0o600)
    plan.write_text(json.dumps({"servers": [node.address for node in site.servers], "key": "load", "token": token}))
    command = [sys.executable, "-m", "tests.support.kv_load", plan, log]
    with (
        http_load(site, site.front, folder, HTTP_EVERY) as http,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process,
    ):
        try:
            yield OperationLoad(http, log)
        finally:
            process.stdin.close()
    with contextlib.suppress(OSError):  # a test may have reset the cluster, and them with it
        api = site.consul()  # by the management token of now: one of the tests rotates it
        api.send("DELETE", "/v1/kv/load/?recurse")
        api.send("DELETE", f"/v1/acl/token/{made['AccessorID']}")
        api.send("DELETE", f"/v1/acl/policy/{policy['ID']}")
