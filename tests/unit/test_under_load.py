"""What the load of the tests may see: a machine that stands still is allowed for, and nothing else."""

import pytest
from tests.support import stalls
from tests.support.under_load import CRASH_GAP, PLANNED_GAP, Seen


@pytest.mark.parametrize(
    "stall, planned, crash",
    [(0.0, PLANNED_GAP, CRASH_GAP), (0.4, PLANNED_GAP + 0.4, CRASH_GAP + 0.4), (0.5, CRASH_GAP + 0.5, CRASH_GAP + 0.5)],
)
def test_bounds_on_a_machine_that_stood(stall, planned, crash):
    seen = Seen(http=1, failed=[], slowest=0.1, writes=1, gap=0.1, stale=[], down=0, stall=stall)
    assert seen.allowed(PLANNED_GAP) == planned and seen.allowed(CRASH_GAP) == crash


def test_a_disk_that_is_slow_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(stalls.os, "fsync", lambda _: stalls.time.sleep(0.2))
    with (tmp_path / "file").open("wb") as file:
        assert 0.2 <= stalls.once(file) < 2
