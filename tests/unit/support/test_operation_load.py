"""What the load during operations may observe: a machine that stands still is allowed for, up to a ceiling, and nothing else."""

from types import SimpleNamespace

import pytest
from tests.support import stalls
from tests.support.http_load import Sample
from tests.support.operation_load import CRASH_GAP, PLANNED_GAP, STALL_CEILING, Observed

SERVED = [Sample(1.0, 1.1, 200), Sample(1.0, 1.1, 200, kept=True)]


def observed(**other) -> Observed:
    return Observed(**{"http": SERVED, "writes": 1, "gap": 0.1, "stale": [], "down": 0, "stall": 0.0} | other)


@pytest.mark.parametrize(
    "stall, planned, crash",
    [(0.0, PLANNED_GAP, CRASH_GAP), (0.4, PLANNED_GAP + 0.4, CRASH_GAP + 0.4), (0.5, CRASH_GAP + 0.5, CRASH_GAP + 0.5)],
)
def test_bounds_on_a_machine_that_stood_still(stall, planned, crash):
    found = observed(stall=stall)
    assert found.allowed(PLANNED_GAP) == planned and found.allowed(CRASH_GAP) == crash


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"http": []}, "no requests"),
        ({"http": SERVED[:1]}, "no requests on new or on kept"),
        ({"writes": 0}, "no writes"),
        ({"http": [*SERVED, Sample(1.0, 1.1, 404, problem="status 404")]}, "requests failed"),
        ({"stale": ["1 instead of 2"]}, "not read"),
        ({"down": 2}, "2 servers down"),
        ({"gap": PLANNED_GAP + 0.1}, "no write: 1.10 s, more than 1 s, the machine stood still for 0.00 s"),
        ({"gap": 30.0, "stall": 30.0}, "machine too slow"),
    ],
)
def test_what_fails_the_load(other, problem):
    with pytest.raises(AssertionError, match=problem):
        observed(**other).check("test", PLANNED_GAP, 1)


def test_what_passes_the_load():
    observed().check("test", PLANNED_GAP, 1)
    observed(gap=PLANNED_GAP, stall=30.0).check("within the bound on a slow machine", PLANNED_GAP, 1)
    observed(gap=CRASH_GAP + STALL_CEILING, stall=STALL_CEILING).check("at the ceiling", PLANNED_GAP, 1)


def test_a_disk_that_is_slow_is_measured(tmp_path, monkeypatch):
    """And nothing else: time passes by the nap and the disk alone."""
    now = [100.0]

    def pass_by(seconds):
        now[0] += seconds

    monkeypatch.setattr(stalls, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=pass_by))
    monkeypatch.setattr(stalls.os, "fsync", lambda _: pass_by(0.2))
    with (tmp_path / "file").open("wb") as file:
        assert stalls.once(file) == pytest.approx(0.2)
