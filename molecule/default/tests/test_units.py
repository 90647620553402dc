"""systemd: what runs on which host, comes back after a kill, and writes to the journal."""

import functools
import time

import pytest
from tests.support.balancer import backend
from tests.support.clients import lost_lookups
from tests.support.exposure import BOUND, exposures, table
from tests.support.http_load import http_load, longest_gap
from tests.support.modes import closed
from tests.support.reboot import reboot
from tests.support.stalls import Stalls, assert_within
from tests.support.wait import eventually, side_by_side

KILLED_GAP = 0.3  # seconds without an answer of a balancer that was killed
STALL_CEILING = 2.0  # seconds: on a machine that stands still for longer the bound proves nothing


def test_h2_unit_is_enabled_and_active(node_and_unit):
    node, unit = node_and_unit
    assert node.host.service(unit).is_enabled
    assert node.host.service(unit).is_running


@pytest.mark.on("load_balancers")
def test_h2_no_timer_of_an_earlier_version_is_left(node):
    assert node.unit("discovery-balancer.timer", "LoadState", "ActiveState") == ["not-found", "inactive"]


def test_h2_unit_logs_to_the_journal(site, node_and_unit):
    """The program itself: systemd reports every unit's start."""
    node, unit = node_and_unit
    program = {"docker": "dockerd", "discovery-balancer": "python3", "registrator-watch": "python3"}.get(unit, unit)
    if unit == site.balancer and backend(site).silent:
        node.run(f"kill -9 $(pgrep --newest --parent {node.unit(unit, 'MainPID')[0]})")
    of_program = f"_SYSTEMD_UNIT={unit}.service _COMM={program}"
    eventually(lambda: node.run(f"journalctl -q --no-pager -n 1 {of_program}"), 10)


def killed(site, nodes, unit: str, show) -> None:
    """Kill a unit on hosts at the same time, and wait until systemd has started each again and the site is healthy."""
    took = side_by_side(functools.partial(node.kill, unit) for node in nodes)
    listed = ", ".join(f"{node.name} {seconds:.1f} s" for node, seconds in zip(nodes, took, strict=True))
    show(f"active again after: {listed}; site healthy {site.settle():.1f} s later")


@pytest.mark.on("consul_servers")
def test_h2_consul_returns_after_kill(site, settled, show, node):
    """One host at a time: the others are the quorum."""
    killed(site, [node], "consul", show)


def test_h2_unit_returns_after_kill(site, settled, show, unit_and_nodes):
    """On all of its hosts at the same time."""
    unit, nodes = unit_and_nodes
    killed(site, nodes, unit, show)


@pytest.mark.on("load_balancers")
def test_w39_balancer_answers_soon_after_kill(site, settled, node, tmp_path, show):
    """Measured at this balancer alone, from its last answer before the kill to the first one after it. A second kill in six
    seconds counts as a crash at the start, so that of the test before has to be over."""
    recent = f"find /run/discovery-{site.balancer}-killed -mmin -0.1 2>/dev/null || true"
    eventually(lambda: node.run(recent) == "", 20)
    with http_load(site, site.front, tmp_path) as requests, Stalls() as stalls:
        start = time.time()
        active = node.kill(site.balancer)
        back = time.time()

        def answered(since: float) -> list[float]:
            return [one.ended for one in requests.sent_since(since) if one.ok and one.address == node.address]

        eventually(lambda: len(answered(back)) > 10, 10)
        gap = longest_gap(answered(start), start, time.time())
    show(f"{site.balancer} on {node.name}: {gap:.2f} s without an answer, active again after {active:.1f} s")
    assert_within(f"{site.balancer}: no answer", gap, KILLED_GAP, stalls.longest, STALL_CEILING)


@pytest.mark.on("consul_servers")
def test_w41_units_are_as_closed_as_the_document_says(site, node, show):
    """On Debian 13, for which the table is; other versions of systemd weigh a few directives in another way."""
    found, written = exposures(node), table()
    show(", ".join(f"{unit} {exposure}" for unit, exposure in found.items()))
    assert "consul.service" in found
    assert {unit: exposure for unit, exposure in found.items() if exposure > BOUND} == {}
    if node.host.system_info.release.startswith("13"):
        more = {unit: round(exposure - written[unit], 1) for unit, exposure in found.items()}
        assert {unit: much for unit, much in more.items() if not 0 <= much <= backend(site).exposure.get(unit, 0)} == {}


@pytest.mark.on("consul_servers")
def test_w41_nothing_of_ours_is_refused_by_its_sandbox(site, node):
    """A directive that systemd does not know, and a call that the filter refuses, both stand in the journal.

    Not "step NAMESPACE": while a killed agent has no /run/consul yet, consul-catch-up fails once and is started again.
    """
    ours = [*exposures(node), *([f"{site.balancer}.service"] if backend(site).sandboxed else [])]
    units = " + ".join(f"_SYSTEMD_UNIT={unit} + UNIT={unit}" for unit in ours)
    unknown = "Unknown key name|Unknown lvalue|Failed to parse"
    wrong = f"{unknown}|Failed at step (SECCOMP|CAPABILITIES|EXEC)|Operation not permitted|Read-only file system|SIGSYS"
    assert node.run(f"journalctl -q -b --no-pager {units} | grep -E '{wrong}' || true") == ""


@pytest.mark.on("docker_hosts")
def test_h2_registrator_returns_after_kill(site, settled, node):
    before = node.run("docker inspect -f '{{.State.Pid}}' registrator")
    node.run(f"kill -9 {before}")
    eventually(lambda: node.run("docker inspect -f '{{.State.Pid}}' registrator") not in ("0", before), 60)


@pytest.mark.more  # R1 reboots this host under load, H15 looks up names after a power cycle, H4 of `resolver` over a reboot
def test_h2_h4_node_returns_from_a_reboot(site, settled, site_name, show):
    node = site.balancers[-1]
    start = time.monotonic()
    reboot([node])
    show(f"{node.name} takes SSH after {time.monotonic() - start:.1f} s, site healthy {site.settle(180):.1f} s later")
    failed = {name: lost_lookups(node, name) for name in (site.name_of("httpbackend"), site_name)}
    assert not any(failed.values()), failed


@pytest.mark.on("consul_servers")
def test_w4_everybody_enters_the_directories_that_are_for_everybody(node):
    assert closed(node) == "", "sudo's umask, or somebody, closed these"


@pytest.mark.on("load_balancers")
def test_w4_status_without_root_says_that_it_needs_root(node):
    command = "setpriv --reuid=65534 --regid=65534 --clear-groups /usr/local/sbin/discovery-balancer status"
    done = node.host.run(command)
    assert (done.rc, done.stderr) == (1, ""), done
    assert "run 'sudo discovery-balancer status'" in done.stdout
