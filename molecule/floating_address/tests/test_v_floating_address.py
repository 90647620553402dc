"""V1 to V7: addresses that always one of the load balancers holds, on a site that sets discovery_floating_addresses. It should
set floating_address_return_delay to 5, too, or each return takes a minute."""

import contextlib
import math
import subprocess
import time

import pytest
from tests.support.http_load import Client, Expected
from tests.support.playbook import play
from tests.support.wait import eventually, everywhere, side_by_side

BOUND = 1.5  # seconds from the event to the first good answer, p99
MOVE = 1.0  # seconds, of a planned one
UNKNOWN = "floating-address-test.invalid"  # the load balancer itself answers, whatever instances do
PATIENCE = 0.3  # seconds for an answer
EVENTS = 20
CUT = "inet test_floating_address"


class Floating:
    """The floating addresses of a site, and who holds them."""

    def __init__(self, site, addresses):
        self.site, self.addresses = site, addresses
        self.delay = float(site.balancers[0].variables.get("floating_address_return_delay", 60))

    def holders(self, address):
        """The load balancers that have an address; those that do not answer are left out."""
        command = f"ip -oneline address show | grep -qF ' {address}/'"
        return [node for node in self.site.balancers if node.tries(command).rc == 0]

    def holder(self, address):
        """The one that has it; an AssertionError while it is not one."""
        found = self.holders(address)
        assert len(found) == 1, f"{address} is held by {', '.join(node.name for node in found) or 'nobody'}"
        return found[0]

    def first(self, address):
        """Who is to hold an IPv4 address when all is well: by name, in turn."""
        order = sorted(self.site.balancers, key=lambda node: node.name)
        return order[self.addresses.index(address) % len(order)]

    def home(self, seconds=None):
        """Wait until each address is with its first holder; the seconds it took."""
        bound = 2 * self.delay + 20 if seconds is None else seconds
        return eventually(lambda: all(self.holder(one) is self.first(one) for one in self.addresses), bound)[1]

    def load(self, address):
        """Requests to an address, on a connection each."""
        return Client(address, 80, Expected(UNKNOWN, None, 404), timeout=PATIENCE)


def first_answer(load, event):
    """Seconds from an event to the first good answer after the last failure; 0 when nothing has failed since."""
    failed = [one.ended for one in load.failed(event)]
    good = [one.ended for one in load.ended_since(event) if one.ok]
    later = [moment for moment in good if not failed or moment > max(failed)]
    assert later, "no good answer came again"
    return later[0] - event if failed else 0.0


def p99(seconds):
    return sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1]


@pytest.fixture
def floating(site):
    """Addresses with their first holders before, and again after."""
    listed = site.balancers[0].variables.get("discovery_floating_addresses", []) if site.balancers else []
    addresses = [one for one in listed if ":" not in one]
    if not addresses:
        pytest.skip("the site has no floating address")
    found = Floating(site, addresses)
    found.home()
    yield found
    everywhere(site.balancers, lambda node: node.run("discovery-balancer status"), 90)
    found.home()


def host_link(node):
    """The end of a node's network cable on this machine."""
    number = node.run("cat /sys/class/net/eth0/iflink").strip()
    shown = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True).stdout
    (name,) = [line.split(": ")[1].split("@")[0] for line in shown.splitlines() if line.startswith(f"{number}: ")]
    return name


@contextlib.contextmanager
def unplugged(link):
    """No connection is closed, packets just end."""
    subprocess.run(["ip", "link", "set", link, "down"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "set", link, "up"], check=True)


@contextlib.contextmanager
def without(node, begin, end):
    """The load balancer of a node is stopped, or frozen."""
    node.run(begin)
    try:
        yield
    finally:
        node.tries(end)


def event(floating, kind):
    """One event at the first holder of the first address; seconds to the first good answer of another host."""
    address, unit = floating.addresses[0], floating.site.balancer
    node = floating.first(address)
    ways = {
        "crash": lambda: unplugged(host_link(node)),
        "stop": lambda: without(node, f"systemctl kill --signal=KILL {unit}; systemctl stop {unit}", f"systemctl start {unit}"),
        "freeze": lambda: without(node, f"systemctl kill --signal=STOP {unit}", f"systemctl kill --signal=CONT {unit}"),
    }
    way = ways[kind]()
    with floating.load(address) as load:
        eventually(lambda: load.last_ok(10), 10)
        begin = time.time()
        with way:
            eventually(lambda: load.failed(begin) and load.last_ok(10), 10, every=0.1)
            seconds = first_answer(load, begin)
        others = [one for one in floating.holders(address) if one is not node]
        assert others, f"{address} is still with {node.name}"
        floating.home()
        load.samples.clear()
    return seconds


def events(floating, kind, count, show):
    seconds = [event(floating, kind) for _ in range(count)]
    show(f"{kind}: first good answer after {', '.join(f'{one:.2f}' for one in seconds)} s")
    assert p99(seconds) <= BOUND


@pytest.mark.parametrize("count", [1, pytest.param(EVENTS, marks=pytest.mark.more)])
def test_v1_a_crash_of_the_holder(floating, count, show):
    events(floating, "crash", count, show)


@pytest.mark.parametrize("count", [1, pytest.param(EVENTS, marks=pytest.mark.more)])
def test_v2_a_stopped_balancer(floating, count, show):
    events(floating, "stop", count, show)


@pytest.mark.parametrize("count", [1, pytest.param(EVENTS, marks=pytest.mark.more)])
def test_v3_a_frozen_balancer(floating, count, show):
    events(floating, "freeze", count, show)


@pytest.mark.more
@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_v4_a_sync_program_that_ends_or_hangs_moves_the_address_without_a_failed_request(floating, signal, show):
    """The holder serves on meanwhile; systemd would start one that ended at once."""
    address = floating.addresses[0]
    node = floating.first(address)
    begin = "systemctl stop discovery-balancer" if signal == "KILL" else "systemctl kill --signal=STOP discovery-balancer"
    end = "systemctl kill --signal=CONT discovery-balancer; systemctl start discovery-balancer"
    with floating.load(address) as load:
        eventually(lambda: load.last_ok(10), 10)
        since = time.time()
        with without(node, begin, end):
            seconds = eventually(lambda: floating.holder(address) is not node, 30 + floating.delay)[1]
        back = floating.home()
        failed = load.failed(since)
        show(f"{signal}: moved after {seconds:.0f} s, back after {back:.0f} s, {len(failed)} of {len(load.samples)} failed")
        assert failed == []


@pytest.mark.more
def test_v4_a_drain_moves_the_address_first_and_undrain_brings_it_back(floating, settled, show):
    address = floating.addresses[0]
    node = floating.first(address)
    with floating.load(address) as load:
        eventually(lambda: load.last_ok(10), 10)
        since = time.time()
        try:
            done, _ = play(floating.site, "playbooks/drain.yml", "-e", f"drain_host={node.name}", "-e", "drain_last=true")
            assert done.returncode == 0, done.stdout[-2000:]
            assert floating.holder(address) is not node
        finally:
            done, _ = play(floating.site, "playbooks/undrain.yml", "-e", f"drain_host={node.name}")
        assert done.returncode == 0, done.stdout[-2000:]
        floating.home()
        gap = load.longest_gap()
        show(f"drain and back: longest gap {gap:.2f} s, {len(load.failed(since))} of {len(load.samples)} failed")
        assert gap <= MOVE


def test_v5_each_balancer_is_first_for_one_address(floating):
    assert len({floating.holder(one).name for one in floating.addresses}) == min(
        len(floating.addresses), len(floating.site.balancers)
    )


def test_v6_of_two_holders_one_gives_the_address_up_when_the_network_is_whole_again(floating, show):
    """VRRP alone does not pass for a while; each believes that the other one is gone."""
    address, nodes = floating.addresses[0], floating.site.balancers
    rule = f"nft 'table {CUT} {{ chain input {{ type filter hook input priority -300; meta l4proto 112 drop; }}; }}'"
    try:
        side_by_side([lambda node=node: node.run(rule) for node in nodes])
        eventually(lambda: len(floating.holders(address)) == len(nodes), 10)
    finally:
        side_by_side([lambda node=node: node.tries(f"nft delete table {CUT}") for node in nodes])
    healed = time.monotonic()
    eventually(lambda: len(floating.holders(address)) == 1, 5)
    show(f"one holder {time.monotonic() - healed:.1f} s after the network was whole again")
    with floating.load(address) as load:
        eventually(lambda: load.last_ok(50), 10)
        load.assert_served()


@pytest.mark.more
def test_v7_without_consul_the_addresses_stay(floating, settled, show):
    before = {one: floating.holder(one).name for one in floating.addresses}
    servers = floating.site.servers
    with floating.load(floating.addresses[0]) as load:
        side_by_side([lambda node=node: node.run("systemctl stop consul") for node in servers])
        try:
            for node in floating.site.balancers:
                eventually(lambda node=node: node.tries("discovery-balancer status").rc != 0, 60)
            time.sleep(floating.delay + 5)  # longer than a return takes
            assert {one: floating.holder(one).name for one in floating.addresses} == before
            load.assert_served()
        finally:
            side_by_side([lambda node=node: node.run("systemctl start consul") for node in servers])
    show(f"{', '.join(f'{one} stayed with {name}' for one, name in before.items())}")


@pytest.mark.on("load_balancers")
def test_the_check_has_no_rights_and_keepalived_two(floating, node):
    (user,) = node.unit("discovery-floating-address-check", "User")
    (held,) = node.unit("discovery-floating-address", "CapabilityBoundingSet")
    assert user == "discovery-address" and set(held.split()) == {"cap_net_admin", "cap_net_raw"}
    assert "keepalived_script" not in node.run("journalctl --no-pager -q -n 50 -u discovery-floating-address")
