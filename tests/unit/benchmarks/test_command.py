"""The command line: what is chosen, and that everything measured is also told."""

import argparse

import pytest
from benchmarks import __main__ as command
from benchmarks import balancers, provision, report
from benchmarks.site import LINES
from lab.errors import LabError


def test_a_choice_keeps_its_own_order():
    assert command.listed(("a", "b", "c"))("c,a") == ("a", "c")


def test_an_unknown_choice_is_named():
    with pytest.raises(argparse.ArgumentTypeError, match="x: not one of a, b"):
        command.listed(("a", "b"))("a,x")


def test_everything_that_is_measured_is_told():
    assert set(command.MEASUREMENTS) == {*command.MEASURE, "provision"} == set(report.TELL)
    assert set(LINES) == set(report.LINE_TITLES)
    assert set(provision.STEPS) == set(report.STEP_TITLES) and set(provision.TOOLS) < set(report.TITLES)
    assert {balancer.name for balancer in balancers.ALL} < set(report.TITLES)


def test_nobody_shares_a_port():
    ports = [balancer.port for balancer in balancers.ALL]
    assert len(set(ports)) == len(ports)


def kept(time: str, *results: tuple, events=100) -> dict:
    entries = [{"line": line, "balancer": balancer, "of": time} for line, balancer in results]
    return {"machine": {"time": time}, "settings": {"events": events}, "took": 1, "results": entries}


def test_what_is_measured_again_replaces_what_was_there():
    first, second = kept("1", ("none", "ours"), ("http", "ours")), kept("2", ("http", "ours"), ("engine", "ours"))
    third = command.added(command.added(first, second), kept("3", ("engine", "ours")))
    assert [(one["line"], one["of"]) for one in third["results"]] == [("none", "1"), ("http", "2"), ("engine", "3")]
    assert [run["machine"]["time"] for run in third["earlier"]] == ["1", "2"] and third["machine"]["time"] == "3"
    assert command.added(None, first) == first


def test_runs_with_other_settings_are_not_mixed():
    with pytest.raises(LabError, match="--add"):
        command.added(kept("1", ("none", "ours"), events=10), kept("2", ("http", "ours")))


def test_an_inventory_without_the_host_that_joins():
    hosts = {"all": {"children": {"a": {"hosts": {"one": {"ansible_host": "x"}, "two": None}}, "b": {"hosts": {"two": None}}}}}
    assert provision.without(hosts, "two") == {
        "all": {"children": {"a": {"hosts": {"one": {"ansible_host": "x"}}}, "b": {"hosts": {}}}}
    }
