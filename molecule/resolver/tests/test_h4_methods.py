"""H4 by each method: names resolve whatever happens to the resolver."""

import time

import pytest
from tests.support.clients import lost_lookups
from tests.support.dns_load import looking_up, lost_of_each, resolves, settle
from tests.support.reboot import reboot
from tests.support.resolver import FIRST, MANAGERS, REFRESH, changed, dns, method_of, servers
from tests.support.wait import eventually, side_by_side


@pytest.fixture
def nodes(site):
    return list(site.nodes.values())


def test_h4_each_host_has_its_method(nodes, show):
    reported = {node.name: servers(node) for node in nodes}
    show(f"{reported}")
    assert {name: first for name, (first, *_) in reported.items()} == {node.name: FIRST[method_of(node)] for node in nodes}
    for node in nodes:
        assert set(servers(node)) & set(node.variables["discovery_resolvers"]), node.name


def test_h4_no_lookup_is_lost_at_rest(nodes, both, show):
    failed = lost_of_each(nodes, both)
    show(f"failed of 100 lookups each: {failed}")
    assert not any(failed.values())


def test_h4_a_refresh(nodes, both, steady, show):
    with looking_up(nodes, both) as lookups:
        for _ in range(3):
            for node in nodes:
                node.run(REFRESH[method_of(node)])
                assert resolves(node, both), node.name
    show(f"three refreshes each: {lookups}")
    lookups.check()


def test_h4_the_manager_is_killed_and_then_away(site, both, steady, show):
    nodes = [node for method in MANAGERS for node in site.group(method)]
    with looking_up(nodes, both) as lookups:
        for node in nodes:
            unit = MANAGERS[method_of(node)]
            node.run(f"systemctl reset-failed {unit}")  # the starts of the test before count for systemd's limit: 5 in 10 s
            for _ in range(3):
                node.kill(unit, 20)
            # A unit that starts with systemd-resolved calls it over D-Bus, which would start it again and cancel the stop.
            starting = "systemctl list-units -t service --state=activating --no-legend --plain"
            eventually(lambda node=node, starting=starting: not node.run(starting), 20)
            node.run(f"systemctl stop {unit}")
            assert resolves(node, both), node.name
            node.run(f"systemctl start {unit}")
    show(f"killed three times, stopped once: {lookups}")
    lookups.check()


def test_h4_the_agent_is_stopped(site, nodes, both, site_name, steady, show):
    """Site names on every host; Consul's too where the manager asks the agents of other hosts."""
    managed = [node for method in MANAGERS for node in site.group(method)]
    rest = [node for node in nodes if node not in managed]
    for node in managed:
        with looking_up([node], both) as lookups:
            node.run("systemctl stop consul")
            assert not any(lost_lookups(node, name) for name in both)
            node.run("systemctl start consul")
            eventually(lambda node=node: resolves(node, both), 60)
        show(f"{node.name}, both kinds: {lookups}")
        lookups.check()
        settle(site, both)  # the next one relies on this one's agent
    for node in rest:
        with looking_up([node], [site_name]) as lookups:
            node.run("systemctl stop consul")
            assert lost_lookups(node, site_name) == 0
            node.run("systemctl start consul")
        show(f"{node.name}, site name: {lookups}")
        lookups.check()


def test_h4_every_agent_is_stopped(nodes, site_name, steady, show):
    with looking_up(nodes, [site_name]) as lookups:
        for node in nodes:
            node.run("systemctl stop consul")
        for node in nodes:
            assert lost_lookups(node, site_name) == 0, node.name
        for node in nodes:
            node.run("systemctl start --no-block consul")
    show(str(lookups))
    lookups.check()


def test_h4_a_reboot_of_all(site, nodes, both, site_name, steady, show):
    """Site names from the first moment, while no Consul has a leader yet."""
    before = {node.name: servers(node) for node in nodes}
    with looking_up(nodes, [site_name]) as lookups:
        start = time.monotonic()
        reboot(nodes)
        for node in nodes:
            eventually(lambda node=node: resolves(node, both), 120)
        seconds = time.monotonic() - start
    show(f"names of Consul again {seconds:.0f} s after the reboot began; {lookups}")
    lookups.check()
    assert {node.name: servers(node) for node in nodes} == before
    for node in (node for node in nodes if "resolvconf" in node.variables["group_names"]):
        (written,) = node.unit("resolvconf", "ExecMainExitTimestampMonotonic")
        (services,) = node.unit("sysinit.target", "ActiveEnterTimestampMonotonic")
        assert int(written) <= int(services), f"{node.name}: services started before resolv.conf was whole"
    settle(site, both)
    assert not any(lost_of_each(nodes, both).values())


def test_h4_a_second_run_changes_nothing(site, tmp_path):
    folders = [tmp_path / name for name in ("run", "check")]
    for folder in folders:
        folder.mkdir()
    runs = side_by_side([lambda: dns(site, folders[0]), lambda: dns(site, folders[1], "--check")])
    assert [any(changed(done).values()) for done in runs] == [False, False]
