"""Waiting for a condition: its bound is a bound. Steps at the same time: all of them, and no error is lost."""

import threading
import time

import pytest
from tests.support import wait
from tests.support.clock import Clock
from tests.support.wait import eventually, side_by_side


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(wait, "time", made)
    return made


def test_what_the_probe_returned_and_when(clock):
    values = iter([None, 0, "there"])
    assert eventually(lambda: next(values), 5, every=0.25) == ("there", 0.5)


def test_a_problem_is_reported(clock):
    def probe():
        raise OSError("nobody there")

    with pytest.raises(AssertionError, match="not within 0.05 s: OSError: nobody there"):
        eventually(probe, 0.05, every=0.01)


def test_a_success_after_the_bound_is_none(clock):
    with pytest.raises(AssertionError, match="not within 5 s: only after 7.0 s"):
        eventually(lambda: clock.sleep(7) or True, 5)
    begin = clock.now
    with pytest.raises(AssertionError, match="not within 10 s: only after 16.0 s"):
        eventually(lambda: clock.now - begin > 10, 10, every=8)


def test_steps_are_taken_at_the_same_time():
    """Each waits for the other one."""
    both = threading.Barrier(2, timeout=10)
    assert sorted(side_by_side([both.wait, both.wait])) == [0, 1]
    assert side_by_side([lambda: "one", lambda: "two"], at_once=1) == ["one", "two"]
    assert side_by_side([]) == []


def test_all_steps_end_before_an_error_is_raised():
    ended = []

    def fails():
        raise AssertionError("wrong")

    with pytest.raises(AssertionError, match="wrong"):
        side_by_side([fails, lambda: time.sleep(0.05) or ended.append(True)])
    assert ended == [True]
