"""When the resident program does what, and what the answers prove (L6)."""


import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery_balancer.duties import AGAIN, LEAST_LOOKS, TRIES, Doubt, Echo, Timetable

PATIENCE = 7


def shown(echo, now):
    """Consul shows the number, at enough looks."""
    for _ in range(LEAST_LOOKS):
        echo.shown(echo.number, now)


def test_everything_is_due_at_first_and_then_when_it_was_set():
    timetable = Timetable("a", "b")
    assert (timetable.at("a"), timetable.at("b")) == (0, 0)
    timetable.again("a", 15)
    assert (timetable.at("a"), timetable.at("b")) == (15, 0)


def test_a_problem_counts_when_it_stays():
    doubt = Doubt()
    assert [doubt.found("x") for _ in range(TRIES + 1)] == [""] * (TRIES - 1) + ["x", "x"]
    assert (doubt.found(""), doubt.found("x")) == ("", "")


def test_a_look_may_stand_for_several():
    assert Doubt().found("x", weight=TRIES) == "x"


def test_l6_an_echo_that_comes_back_is_waited_for_no_more():
    echo = Echo()
    echo.sent(5, 0)
    assert (echo.waiting, echo.back(4), echo.back(5), echo.waiting) == (True, False, True, False)


def test_l6_numbers_go_up_though_the_clock_goes_back():
    echo = Echo()
    echo.sent(echo.next(1000.7), 0)
    assert (echo.number, echo.next(10)) == (1000, 1001)


def test_l6_consul_template_hangs_when_consul_shows_what_it_does_not_bring():
    echo = Echo()
    echo.sent(5, 0)
    assert not echo.overdue(100, PATIENCE)  # Consul was not asked: nothing is proven
    shown(echo, 100)
    assert (echo.overdue(106.9, PATIENCE), echo.overdue(107, PATIENCE)) == (False, True)


def test_l6_a_machine_that_stood_still_proves_nothing():
    """All of its time has passed between two looks."""
    echo = Echo()
    echo.sent(5, 0)
    echo.shown(5, 1)
    echo.shown(5, 100)
    assert not echo.overdue(100, PATIENCE)
    shown(echo, 100)
    assert echo.overdue(100, PATIENCE)


@pytest.mark.parametrize("answer", [None, 4])
def test_l6_without_consul_or_without_a_leader_the_wait_begins_anew(answer):
    echo = Echo()
    echo.sent(5, 0)
    echo.shown(5, 1)
    echo.shown(answer, 6)
    assert not echo.overdue(8, PATIENCE)
    shown(echo, 9)
    assert (echo.overdue(15.9, PATIENCE), echo.overdue(16, PATIENCE)) == (False, True)


@given(st.lists(st.tuples(st.floats(0.1, 3), st.sampled_from([None, 4, 5])), max_size=40))
def test_l6_consul_template_is_judged_only_by_the_time_in_which_consul_answered(looks):
    echo, now, answered = Echo(), 0.0, []
    echo.sent(5, now)
    for pause, answer in looks:
        now += pause
        echo.shown(answer, now)
        answered = [*answered, now] if answer == 5 else []
        assert echo.overdue(now, PATIENCE) == (len(answered) >= LEAST_LOOKS and now - answered[0] >= PATIENCE)


def test_l6_what_was_forgotten_is_never_overdue():
    echo = Echo()
    echo.sent(5, 0)
    shown(echo, 0)
    echo.forget()
    assert (echo.waiting, echo.overdue(100, PATIENCE)) == (False, False)


def test_a_problem_is_confirmed_within_the_promise():
    """The looks of a source that is gone, and what reports it: well within a minute (L2)."""
    assert AGAIN * TRIES < 10
