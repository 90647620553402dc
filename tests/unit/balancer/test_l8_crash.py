"""L8: the program ends at any of its steps, and the next start completes what it left; the balancer always has a good
configuration.

A step is a call that changes a file, or one of the balancer's. The end comes before or after it, as that of a killed process:
nothing that would clean up runs but what the kernel does itself.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery_balancer.resident import DUTIES, Resident
from standins import Balancer, Site

FILE_STEPS = [
    (os, "fsync"), (os, "rename"), (pathlib.Path, "rename"), (pathlib.Path, "unlink"), (pathlib.Path, "symlink_to"),
    (pathlib.Path, "mkdir"), (pathlib.Path, "write_text"), (shutil, "rmtree"),
]  # fmt: skip
BALANCER_STEPS = ["files", "check", "reload", "retire", "trim"]


class Killed(BaseException):
    """No `except Exception` catches it, as nothing catches SIGKILL."""


class Steps:
    """Counts steps, and ends the program at one of them.

    :param at: number of the step, counted from 0; negative: none
    :param after: whether the step itself is done first
    """

    def __init__(self, at=-1, after=False):
        self.at, self.after, self.done = at, after, []

    def wrapped(self, name, real):
        def step(*given, **named):
            number = len(self.done)
            self.done.append(name)
            if number == self.at and not self.after:
                raise Killed
            result = real(*given, **named)
            if number == self.at and self.after:
                raise Killed
            return result

        return step

    @contextlib.contextmanager
    def over(self, balancer):
        """The steps of a block are counted."""
        kept = [(owner, name, getattr(owner, name)) for owner, name in FILE_STEPS]
        try:
            for owner, name, real in kept:
                setattr(owner, name, self.wrapped(name, real))
            for name in BALANCER_STEPS:
                setattr(balancer, name, self.wrapped(name, getattr(type(balancer), name).__get__(balancer)))
            yield
        finally:
            for owner, name, real in kept:
                setattr(owner, name, real)
            for name in BALANCER_STEPS:
                delattr(balancer, name)


class Consul:
    """Answers what a sync asks of the source."""

    def settled(self):
        return False

    def change(self, key, wanted):
        return ""


class Checking(Balancer):
    """Remembers what its check has accepted, and loads nothing else."""

    def __init__(self, store):
        super().__init__(store)
        self.accepted, self.wrong = set(), []

    def check(self, generation, candidate):
        self.accepted.add((generation / "http.conf").read_text())
        return super().check(generation, candidate)

    def reload(self):
        before = super().reload()
        if (self.store.link / "http.conf").read_text() not in self.accepted:
            self.wrong.append("a configuration was loaded that no check had accepted")
        return before

    def retire(self, before):
        if self.loaded == before or self.loaded != self.store.current().marker:
            self.wrong.append("what serves was retired")
        super().retire(before)


class Home(Site):
    def __init__(self, path):
        super().__init__(path)
        self.balancer = Checking(self.store)

    def start(self, steps=None):
        """One start of the program, and its life for some seconds; whether it was killed."""
        steps = steps or Steps()
        try:
            with steps.over(self.balancer):
                program = Resident(
                    self.store, lambda: self.options, lambda options: self.balancer, lambda options: Consul(), None, self.clock
                )
                for duty in DUTIES:
                    program.timetable.again(duty, 1e9)
                for _ in range(3):
                    program.turn()
                    self.clock.now += 2
        except Killed:
            return True
        return False

    def verify_always(self, had_one):
        """What holds at any moment."""
        current = self.store.current()
        assert self.balancer.wrong == []
        if current is None:
            assert not had_one and not os.path.lexists(self.store.link)
            return
        assert {path.name for path in current.path.iterdir()} == {"http.conf", "stream.conf", "about.json"}
        text = (current.path / "http.conf").read_text()
        assert current.marker == f"marker of {text}" and text in self.balancer.accepted

    def verify_converged(self, names):
        status, current = self.store.status(), self.store.current()
        assert (status["state"], sorted(status["http"])) == ("ok", sorted(names)), status
        assert self.balancer.loaded == current.marker
        assert status["generation"] == current.number
        assert not list(self.store.directory.glob(".new")) and len(self.store.generations()) <= self.options.keep_generations


@contextlib.contextmanager
def a_home():
    with tempfile.TemporaryDirectory() as folder:
        yield Home(pathlib.Path(folder))


def steps_of(*catalogs):
    """The steps of a program that meets the last catalog after the others, without an end."""
    with a_home() as home:
        for names in catalogs:
            home.catalog(*names)
            steps = Steps()
            assert not home.start(steps)
        return steps.done


FIRST, CHANGE = steps_of(["a"]), steps_of(["a"], ["a", "b"])


def test_l8_the_steps_are_those_of_a_sync():
    assert {"fsync", "rename", "symlink_to", "write_text", "files", "check", "reload", "retire", "trim"} <= set(CHANGE)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("before", "count"), [([], len(FIRST)), (["a"], len(CHANGE))], ids=["first", "change"])
def test_l8_killed_at_each_step_it_converges_at_the_next_start(before, count, after):
    for at in range(count):
        with a_home() as home:
            if before:
                home.catalog(*before)
                home.start()
            home.catalog("a", "b")
            assert home.start(Steps(at, after)), at
            home.verify_always(bool(before))
            assert not home.start()
            home.verify_always(bool(before))
            home.verify_converged(["a", "b"])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sets(st.sampled_from("abcd")), st.integers(0, 2 * len(CHANGE)), st.booleans()), min_size=1, max_size=6),
    st.lists(st.sampled_from(["refused", "unloaded", "down"]), max_size=3),
)
def test_l8_killed_again_and_again_while_the_catalog_changes(lives, troubles):
    """Ends at steps of several lives in a row, some of which meet a balancer that refuses, or that is down."""
    with a_home() as home:
        had_one = False
        for number, (names, at, after) in enumerate(lives):
            trouble = troubles[number] if number < len(troubles) else ""
            home.balancer.problem = "refused" if trouble == "refused" else ""
            home.balancer.obeys, home.balancer.pid = trouble != "unloaded", 0 if trouble == "down" else 1
            home.catalog(*names)
            home.start(Steps(at, after))
            home.verify_always(had_one)
            had_one = had_one or home.store.current() is not None
        home.balancer.problem, home.balancer.obeys, home.balancer.pid = "", True, 1
        home.start()
        home.verify_always(had_one)
        home.verify_converged(lives[-1][0])
