"""H4: what the play changes costs no lookup; what does not work is taken back; what others did is repaired or refused."""

import pytest
from tests.support.dns_load import looking_up, lost_of_each, settle
from tests.support.resolver import FIRST, MANAGERS, METHODS, another, changed, differences, dns, method_of, servers, state
from tests.support.wait import everywhere

# Variables of all hosts that keep a change from working, and words of the message.
BROKEN = {
    "a name that does not resolve": ({"consul_dns_probe_names": ["nowhere.site.example"]}, "no address of nowhere.site.example"),
    "a site server that does not answer": (
        {"consul_dns_resolvers": ["{{ consul_dns_address | regex_replace('[0-9]+$', '250') }}"], "consul_dns_probe_names": []},
        "no answer from ",
    ),
    "a datacenter that Consul does not know": ({"consul_dns_datacenter": "nowhere"}, "consul.service.nowhere.consul"),
}  # fmt: skip
USUAL = ("a name that does not resolve", 1)
MORE = [(case, step) for case in BROKEN for step in (1, 2) if (case, step) != USUAL]


@pytest.fixture
def nodes(site):
    return list(site.nodes.values())


@pytest.fixture
def home(site, nodes, both, tmp_path):
    """After the test every host has its own method and resolves both kinds of name, whatever happened.

    The method is named, because `auto`, which some hosts have by the inventory, keeps the one that a failed test has left.
    """
    own = [FIRST[method_of(node)] for node in nodes]
    settle(site, both)
    yield
    if [servers(node)[0] for node in nodes] != own:
        changed(dns(site, tmp_path, hosts=methods(nodes, 0)))
    settle(site, both)
    assert [servers(node)[0] for node in nodes] == own, "a host is left with another method"


def methods(nodes, step: int) -> dict:
    return {node.name: {"discovery_dns_method": another(node, step)} for node in nodes}


def test_h4_the_method_changes_and_back(site, nodes, both, home, tmp_path, show):
    for step in range(1, len(METHODS) + 1):
        with looking_up(nodes, both) as lookups:
            done = dns(site, tmp_path, hosts=methods(nodes, step))
        assert all(changed(done).values()), done.stdout
        now = [another(node, step) for node in nodes]
        show(f"to {', '.join(now)}: {lookups}")
        lookups.check()
        assert [servers(node)[0] for node in nodes] == [FIRST[method] for method in now]
        assert not any(lost_of_each(nodes, both).values())
    assert not any(changed(dns(site, tmp_path)).values()), "back, and nothing is left to do"


@pytest.mark.parametrize(("case", "step"), [USUAL, *(pytest.param(*one, marks=pytest.mark.more) for one in MORE)])
def test_h4_a_change_that_does_not_work_is_rolled_back(site, nodes, both, home, tmp_path, show, case, step):
    variables, reason = BROKEN[case]
    before = {node.name: state(node) for node in nodes}
    with looking_up(nodes, both) as lookups:
        done = dns(site, tmp_path, hosts=methods(nodes, step), **variables)
    show(f"{case}, on the way to {', '.join(another(node, step) for node in nodes)}: {lookups}")
    output = " ".join(done.stdout.split())
    assert output.count("the resolver is left as it was before this run") >= len(nodes), output[-4000:]
    assert "could not be put back" not in output
    assert reason in output
    lookups.check()
    assert {node.name: differences(before[node.name], state(node)) for node in nodes} == {node.name: [] for node in nodes}


@pytest.mark.more
def test_h4_a_masked_unit_is_rolled_back(site, home, tmp_path):
    nodes = site.group("resolvconf")
    for node in nodes:
        node.run("systemctl mask systemd-resolved")
    try:
        before = [state(node) for node in nodes]
        hosts = {node.name: {"discovery_dns_method": "systemd_resolved"} for node in nodes}
        done = dns(site, tmp_path, "--limit", "resolvconf", hosts=hosts)
        assert done.returncode != 0 and "left as it was" in done.stdout, done.stdout[-3000:]
        assert [state(node) for node in nodes] == before
    finally:
        for node in nodes:
            node.run("systemctl unmask systemd-resolved")


def test_h4_changes_of_others_are_repaired(site, nodes, both, home, site_name, tmp_path, show):
    """Another server in front, the agent last, and rotate."""
    text = f"nameserver {nodes[0].variables['discovery_resolvers'][0]}\nnameserver 127.0.0.1\noptions rotate\n"
    before = {node.name: node.run("cat /etc/resolv.conf") for node in nodes}
    for node in nodes:
        node.run(f"printf '{text}' | tee $(realpath /etc/resolv.conf)")
    lost = lost_of_each(nodes, both[:1])
    with looking_up(nodes, [site_name]) as lookups:
        done = dns(site, tmp_path)
    show(f"lost before, of 100 lookups each: {lost}; while it is repaired, {lookups}")
    assert all(lost.values()), "the test breaks something"
    assert all(changed(done).values())
    lookups.check()
    assert {node.name: node.run("cat /etc/resolv.conf") for node in nodes} == before


@pytest.mark.more
def test_h4_rotate_that_would_come_back_is_refused(site, both, tmp_path):
    """resolvconf takes options from every file that it is given."""
    nodes = site.group("resolvconf")
    for node in nodes:
        node.run("echo 'options rotate' >>/etc/resolvconf/resolv.conf.d/tail; resolvconf -u")
    try:
        done = dns(site, tmp_path, "--limit", "resolvconf")
        output = " ".join(done.stdout.split())
        assert done.returncode != 0
        assert "it has the option rotate" in output and "/etc/resolvconf/resolv.conf.d/tail" in output, output[-3000:]
    finally:
        for node in nodes:
            node.run("sed -i '/^options rotate$/d' /etc/resolvconf/resolv.conf.d/tail; resolvconf -u")
    settle(site, both)


HOLDER = "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('{}', 53)); time.sleep(600)"


def test_h4_another_server_on_port_53_is_refused(site, nodes, tmp_path):
    """Before anything changes, with its name."""
    nodes = site.group("resolvconf")
    for node in nodes:
        node.run("systemd-run -q --collect --unit test-holder python3 -c %s", HOLDER.format("127.0.0.2"))
    try:
        everywhere(nodes, lambda node: "127.0.0.2:53 " in node.run("ss -Hlun"), 20)
        before = [state(node) for node in nodes]
        hosts = {node.name: {"discovery_dns_method": "dnsmasq"} for node in nodes}
        done = dns(site, tmp_path, "--limit", "resolvconf", hosts=hosts)
        output = " ".join(done.stdout.split())
        assert done.returncode != 0
        assert "python3 holds port 53/udp of 127.0.0.2" in output, output[-3000:]
        assert [state(node) for node in nodes] == before
    finally:
        for node in nodes:
            node.run("systemctl stop test-holder")


@pytest.mark.more
def test_h4_auto_keeps_the_present_method(site, nodes, tmp_path):
    hosts = {node.name: {"discovery_dns_method": "auto"} for node in nodes}
    assert not any(changed(dns(site, tmp_path, hosts=hosts)).values())


@pytest.mark.more
def test_h4_a_lease_does_not_change_a_plain_resolv_conf(site, tmp_path):
    """A host whose DHCP client comes later: its next run puts the hook there, which dhclient's script obeys."""
    node = site.group("dnsmasq")[0]
    assert method_of(node) in MANAGERS
    node.run("[ ! -d /etc/dhcp ] || mv /etc/dhcp /etc/dhcp.before; mkdir -p /etc/dhcp/dhclient-enter-hooks.d")
    try:
        assert changed(dns(site, tmp_path, "--limit", node.name))[node.name] == 1
        hook = node.run("cat /etc/dhcp/dhclient-enter-hooks.d/zz-discovery")
        assert "make_resolv_conf" in hook
        # As dhclient-script does: its own function first, then the hooks, then the call.
        node.run("sh -ec 'make_resolv_conf() { exit 7; }; . /etc/dhcp/dhclient-enter-hooks.d/zz-discovery; make_resolv_conf'")
    finally:
        node.run("rm -r /etc/dhcp; [ ! -d /etc/dhcp.before ] || mv /etc/dhcp.before /etc/dhcp")


def test_w4_a_closed_directory_of_systemd_resolved_is_opened(site, nodes, both, home, tmp_path, show):
    """As sudo with a umask of 0077 leaves it: systemd-resolved is not root, and would not read our setting at its next start."""
    one, folder = next(node for node in nodes if method_of(node) == "systemd_resolved"), "/etc/systemd/resolved.conf.d"
    one.run(f"chmod 0700 {folder}")
    try:
        done = dns(site, tmp_path, "--limit", one.name)
        assert changed(done)[one.name] > 0
        assert one.run(f"stat -c %a {folder}").strip() == "755"
    finally:
        one.run(f"chmod 0755 {folder}")
    show(f"{one.name}: open again")
