"""The command line: what is chosen, and that everything measured is also told."""

import argparse

import pytest
from benchmarks import __main__ as command
from benchmarks import balancers, report
from benchmarks.site import LINES


def test_a_choice_keeps_its_own_order():
    assert command.listed(("a", "b", "c"))("c,a") == ("a", "c")


def test_an_unknown_choice_is_named():
    with pytest.raises(argparse.ArgumentTypeError, match="x: not one of a, b"):
        command.listed(("a", "b"))("a,x")


def test_everything_that_is_measured_is_told():
    assert set(command.MEASUREMENTS) == set(command.MEASURE) == set(report.TELL)
    assert set(LINES) == set(report.LINE_TITLES)
    assert {balancer.name for balancer in balancers.ALL} < set(report.TITLES)


def test_nobody_shares_a_port():
    ports = [balancer.port for balancer in balancers.ALL]
    assert len(set(ports)) == len(ports)
