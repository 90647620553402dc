"""The command line: what is chosen, and that everything measured is also told."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks import __main__ as command
from benchmarks import balancers, provision, report
from benchmarks.site import LINES


def test_a_choice_keeps_its_own_order():
    assert command.listed(("a", "b", "c"))("c,a") == ("a", "c")


def test_an_unknown_choice_is_named():
    with pytest.raises(argparse.ArgumentTypeError, match="x: not one of a, b"):
        command.listed(("a", "b"))("a,x")


def test_everything_that_is_measured_is_told():
    assert set(command.MEASUREMENTS) == {*command.MEASURE, "provision"} == set(report.TELL) == set(command.SETTINGS)
    assert set(LINES) == set(report.LINE_TITLES)
    assert set(provision.STEPS) == set(report.STEP_TITLES) and set(provision.TOOLS) < set(report.TITLES)
    assert {balancer.name for balancer in balancers.ALL} < set(report.TITLES)


def test_nobody_shares_a_port():
    """But for the collection's own backends, of which the program drives one at a time."""
    ports = [balancer.port for balancer in balancers.ALL if balancer is not balancers.OURS_HAPROXY]
    assert len(set(ports)) == len(ports) and balancers.OURS_HAPROXY.port == balancers.OURS.port


def test_one_balancer_runs_and_the_program_is_told_which():
    done = []
    node = SimpleNamespace(run=done.append)
    with balancers.only(node, balancers.OURS_HAPROXY):
        stopped, told, started = done
    assert stopped.startswith("systemctl stop ") and len(set(stopped.split())) == len(stopped.split())
    assert {unit for one in balancers.ALL for unit in one.units} == set(stopped.split()[2:])
    assert told == "cp /etc/bench/options-haproxy.json /etc/discovery-balancer.json"
    assert started == "systemctl start haproxy consul-template discovery-balancer"
    assert done[4:] == ["cp /etc/bench/options-nginx.json /etc/discovery-balancer.json",
                        "systemctl start nginx consul-template discovery-balancer"]  # fmt: skip


def test_what_follows_nothing_is_in_the_throughput_only():
    assert set(balancers.ALL) - set(balancers.FOLLOWING) == set(balancers.BY_HAND)


def kept(time: str, *results: tuple, events=100) -> dict:
    entries = [{"line": line, "balancer": balancer, "of": time} for line, balancer in results]
    return {"machine": {"time": time}, "settings": {"events": events}, "took": 1, "results": entries}


def test_what_is_measured_again_replaces_what_was_there():
    first, second = kept("1", ("none", "ours"), ("http", "ours")), kept("2", ("http", "ours"), ("engine", "ours"))
    third = command.added(command.added(first, second), kept("3", ("engine", "ours")))
    assert [(one["line"], one["of"]) for one in third["results"]] == [("none", "1"), ("http", "2"), ("engine", "3")]
    assert [run["machine"]["time"] for run in third["earlier"]] == ["1", "2"] and third["machine"]["time"] == "3"
    assert command.added(None, first) == first


def test_runs_with_other_settings_are_refused_before_a_lab_is_made(tmp_path, monkeypatch, capsys):
    def lab(*_, **__):
        raise AssertionError("a lab is made")

    monkeypatch.setattr(command.nodes, "place", lab)
    earlier = {"settings": {"seconds": 15, "rounds": 3, "connections": 32}, "results": []}
    (tmp_path / "throughput.json").write_text(json.dumps(earlier))
    assert command.main(["run", "--only", "provision,throughput", "--add", "--results", str(tmp_path)]) == 1
    assert "--add" in capsys.readouterr().err


def test_an_inventory_without_the_host_that_joins():
    hosts = {"all": {"children": {"a": {"hosts": {"one": {"ansible_host": "x"}, "two": None}}, "b": {"hosts": {"two": None}}}}}
    assert provision.without(hosts, "two") == {
        "all": {"children": {"a": {"hosts": {"one": {"ansible_host": "x"}}}, "b": {"hosts": {}}}}
    }


def test_the_collection_is_found_without_pytest():
    """`make bench` starts it alone; a result of a site is read with the collection's own modules."""
    imports = "import benchmarks, ansible_collections.fewnodes.discovery.plugins.plugin_utils.secrets"
    subprocess.run([sys.executable, "-c", imports], cwd=Path(__file__).parents[3], check=True)
