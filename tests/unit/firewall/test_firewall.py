"""Allow rules of a host, the nftables rules made of them, mistakes, and the status."""

import socket
import subprocess
from types import SimpleNamespace

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils import nftables, sockets
from ansible_collections.fewnodes.discovery.plugins.modules import firewall as module
from ansible_collections.fewnodes.discovery.plugins.modules import firewall_facts as facts
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import firewall
from firewall_rules import ROLE, platform, rendered, variable
from hypothesis import given
from hypothesis import strategies as st
from tests.yaml_text import parse_yaml

PLATFORM = {
    "ssh": {"on": True, "tcp": [22], "from": ["any"]},
    "dns": {"on": True, "tcp": [53], "udp": [53], "from": ["site", "containers"]},
    "rpc": {"on": False, "tcp": [8300], "from": ["site"]},
    "dockerd": {"on": True, "tcp": ["2376"], "from": ["site", "management"]},
    "published": {"on": True, "tcp": ["1-65535"], "at": "published", "from": ["site"]},
}
NETWORKS = {"site": ["192.0.2.1", "192.0.2.2"], "docker": ["192.0.2.1"], "management": ["198.51.100.0/24", "2001:db8::/32"]}
SETTINGS = {
    "platform": PLATFORM, "site": {}, "networks": NETWORKS, "address": "192.0.2.1", "closed": [], "seconds": 30,
    "variables": [],
}  # fmt: skip
FACTS = {"controller": ["203.0.113.9", 22], "rivals": []}


def settings(**changes):
    return {**SETTINGS, **changes}


def test_a_host_has_the_allow_rules_of_its_roles():
    assert sorted(firewall.allow_rules(PLATFORM, {})) == ["dns", "dockerd", "published", "ssh"]


def test_the_site_changes_an_allow_rule_and_adds_one():
    chosen = firewall.allow_rules(PLATFORM, {"ssh": {"from": ["management"]}, "db": {"tcp": [5432], "from": ["site"]}})
    assert chosen["ssh"] == {"tcp": [22], "from": ["management"]}
    assert chosen["db"] == {"tcp": [5432], "from": ["site"]}


def test_an_allow_rule_of_another_kind_of_host_stays_there():
    assert "rpc" not in firewall.allow_rules(PLATFORM, {"rpc": {"from": ["any"]}})


def test_nothing_is_wrong():
    assert firewall.firewall_problems("a", settings(site={"x": {"udp": ["500-600"], "from": ["10.0.0.0/8", "::1"]}}), FACTS) == []


@pytest.mark.parametrize(
    ("name", "one", "words"),
    [
        ("X", {}, "name it by"), ("x", [], "not a dictionary"), ("x", {"port": 1}, "port is none of"),
        ("x", {"tcp": 22}, "set it to a list"), ("x", {"tcp": [0]}, "tcp has 0"), ("x", {"tcp": [65536]}, "tcp has 65536"),
        ("x", {"udp": ["9-8"]}, "udp has '9-8'"), ("x", {"tcp": [True]}, "tcp has True"),
        ("x", {"tcp": ["22; drop"]}, "22; drop"),
        ("x", {"from": ["all"]}, "from has 'all'"), ("x", {"from": ["10.0.0.1/8"]}, "from has '10.0.0.1/8'"),
        ("x", {"protocols": ["esp drop"]}, "protocols has 'esp drop'"), ("x", {"at": "host"}, "at is 'host'"),
    ],
)  # fmt: skip
def test_a_wrong_allow_rule_is_reported(name, one, words):
    problems = firewall.firewall_problems("a", settings(site={name: one}), FACTS)
    assert any(words in p and p.startswith("firewall_allow_rules has") and " on a: " in p for p in problems), problems


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networks": NETWORKS | {"management": ["office"]}}, "discovery_management_networks has 'office'"),
        ({"closed": ["x"]}, "firewall_closed_to_containers has 'x'"),
        ({"seconds": 5}, "firewall_confirm_seconds is 5"), ({"seconds": "soon"}, "firewall_confirm_seconds is 'soon'"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_reported(changes, words):
    assert words in firewall.firewall_problems("a", settings(**changes), FACTS)[0]


def test_a_renamed_variable_is_refused_unless_the_new_one_is_set():
    (problem,) = firewall.firewall_problems("a", settings(variables=["firewall_openings", "firewall_hosts"]), FACTS)
    assert "firewall_openings is set on a" in problem and "firewall_allow_rules" in problem
    assert firewall.firewall_problems("a", settings(variables=["firewall_openings", "firewall_allow_rules"]), FACTS) == []
    (problem,) = firewall.firewall_problems("a", settings(variables=["overlay_network_filter"]), FACTS)
    assert "firewall_protect_overlay" in problem


def test_another_firewall_is_refused():
    (problem,) = firewall.firewall_problems("a", SETTINGS, {**FACTS, "rivals": ["ufw.service"]})
    assert "ufw.service" in problem and "discovery_firewall" in problem


@pytest.mark.parametrize(
    ("ufw", "found"),
    [
        ("# /etc/ufw/ufw.conf\nENABLED=no\nLOGLEVEL=low\n", []),
        ("", []),
        ("#ENABLED=yes\n", []),
        ("ENABLED=yes\n", ["ufw.service"]),
        ("ENABLED=Yes\n", ["ufw.service"]),
        ('ENABLED="yes"\n', ["ufw.service"]),
    ],
)
def test_ufw_is_a_rival_only_where_it_is_enabled(ufw, found):
    """Its unit is active wherever the package is installed."""
    states = {"firewalld.service": "inactive", "ufw.service": "active", "ferm.service": "unknown"}
    assert facts.rivals(states, ufw) == found
    assert facts.rivals(states | {"firewalld.service": "active"}, ufw) == ["firewalld.service", *found]


@pytest.mark.parametrize(
    ("added", "controller", "locked_out"),
    [
        ({}, ["203.0.113.9", 22], False), ({}, ["203.0.113.9", 2222], True), ({}, ["", 0], False),
        ({"ssh": {"from": ["management"]}}, ["203.0.113.9", 22], True),
        ({"ssh": {"from": ["management"]}}, ["198.51.100.7", 22], False),
        ({"ssh": {"from": ["management"]}}, ["2001:db8::1", 22], False), ({"ssh": {"tcp": [2222]}}, ["203.0.113.9", 22], True),
        ({"ssh": {"from": ["203.0.113.9"]}}, ["203.0.113.9", 22], False), ({"ssh": {"from": []}}, ["192.0.2.1", 22], True),
    ],
)  # fmt: skip
def test_the_controller_is_not_locked_out(added, controller, locked_out):
    problems = firewall.firewall_problems("a", settings(site=added), {**FACTS, "controller": controller})
    assert bool(problems) == locked_out
    assert all(f"from {controller[0]} to port {controller[1]}" in problem for problem in problems)


def test_a_published_allow_rule_opens_no_port_of_the_host():
    assert not firewall.admits(firewall.allow_rules(PLATFORM, {}), NETWORKS, "192.0.2.1", "tcp", 9)
    assert firewall.admits(firewall.allow_rules(PLATFORM, {}), NETWORKS, "192.0.2.1", "tcp", 2376)


def test_rules_match_sender_and_port():
    rules = {(rule["name"], rule["of"], rule["port"]) for rule in firewall.firewall_ruleset(SETTINGS, [])["rules"]}
    assert rules == {
        ("ssh", "", "tcp dport { 22 }"), ("ssh", None, "tcp dport { 22 }"),
        ("dns", "ip saddr { 192.0.2.1, 192.0.2.2 }", "tcp dport { 53 }"), ("dns", None, "tcp dport { 53 }"),
        ("dns", "ip saddr { 192.0.2.1, 192.0.2.2 }", "udp dport { 53 }"), ("dns", None, "udp dport { 53 }"),
        ("dockerd", "ip saddr { 192.0.2.1, 192.0.2.2, 198.51.100.0/24 }", "tcp dport { 2376 }"),
        ("dockerd", "ip6 saddr { 2001:db8::/32 }", "tcp dport { 2376 }"),
        ("published", "ip saddr { 192.0.2.1, 192.0.2.2 }", "tcp dport { 1-65535 }"),
    }  # fmt: skip


def test_containers_do_not_reach_the_platform_of_any_host():
    """8300 is closed here too, where no server runs: hidden behind this host's address they would reach one elsewhere."""
    assert firewall.firewall_ruleset(settings(closed=["5432"]), [])["closed"] == ["tcp dport { 2376, 5432, 8300 }"]


def bridge(name, *ports, addresses=()):
    return {"name": name, "addresses": [*addresses], "ports": [*ports]}


@pytest.mark.parametrize(
    ("found", "outside"),
    [
        (bridge("shop0"), False), (bridge("shop0", "veth"), False), (bridge("virbr0", "dummy", "tun"), False),
        (bridge("br0", "", "tun"), True), (bridge("br1", "bond", "veth"), True), (bridge("br2", "vlan"), True),
        (bridge("docker0", "veth", addresses=["172.17.0.1"]), False),
        (bridge("br-0123456789ab", "veth", addresses=["2001:db8::1", "192.0.2.1"]), True),
    ],
)  # fmt: skip
def test_a_bridge_of_other_machines_is_one_with_a_card_or_the_host_s_address(found, outside):
    assert firewall.outside_bridges([found], "192.0.2.1") == ([found["name"]] if outside else [])


def test_bridges_are_found_by_kind():
    links = [
        {}, {"ifname": "lo"}, {"ifname": "eth1", "master": "br0"},
        {"ifname": "br0", "linkinfo": {"info_kind": "bridge"}, "addr_info": [{"local": "192.0.2.1"}, {"local": "fe80::1"}]},
        {"ifname": "shop0", "linkinfo": {"info_kind": "bridge"}},
        {"ifname": "veth1", "master": "shop0", "linkinfo": {"info_kind": "veth", "info_slave_kind": "bridge"}},
        {"ifname": "br-x", "linkinfo": {"info_kind": "veth"}},
    ]  # fmt: skip
    assert facts.bridges(links) == [bridge("br0", "", addresses=["192.0.2.1", "fe80::1"]), bridge("shop0", "veth")]


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([], ""), ([80], "{ 80 }"), ([81, "80", "82-90", "85-100"], "{ 80-100 }"), ([1, 3], "{ 1, 3 }"),
        (["1-65535", 7], "{ 1-65535 }"),
    ],
)  # fmt: skip
def test_port_sets_do_not_overlap(ports, text):
    assert firewall.port_set(ports) == text


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9))))
def test_a_port_set_holds_exactly_its_ports(ranges):
    text = firewall.port_set(f"{low}-{low + more}" for low, more in ranges)
    listed = set()
    for part in text.strip("{} ").split(", ") if text else []:
        low, _, high = part.partition("-")
        listed |= set(range(int(low), int(high or low) + 1))
    assert listed == {port for low, more in ranges for port in range(low, low + more + 1)}


def test_status_lists_allow_rules_senders_and_listeners():
    seen = {
        "loaded": True, "unconfirmed": False, "dropped": 3,
        "listening": [
            {"protocol": "tcp", "address": "0.0.0.0", "port": 22, "program": "sshd"},
            {"protocol": "tcp", "address": "*", "port": 5432, "program": "postgres"},
            {"protocol": "tcp", "address": "0.0.0.0", "port": 32768, "program": "docker-proxy"},
        ],
        "published": [{"protocol": "tcp", "address": "0.0.0.0", "port": 32768, "container": "shop"}],
    }  # fmt: skip
    page = firewall.firewall_status("a", SETTINGS, seen)
    assert page[0] == "a: the rules are in force; 3 packets dropped"
    assert any(line.split() == ["ssh", "tcp", "22", "any", "sshd"] for line in page)
    assert any(line.split() == ["published", "any", "site", "shop"] for line in page)
    assert page[-1] == "  listens without an allow rule, closed to other hosts: tcp 5432 (postgres)"


@pytest.mark.parametrize(
    ("confirmed", "in_force", "reason"),
    [("", "", "no rules yet"), ("old", "x", "other rules"), ("new", "", "flushed"), ("new", "y", "by hand"), ("new", "x", "")],
)
def test_reason_to_load_rules(confirmed, in_force, reason):
    found = module.difference(confirmed, "new", in_force, "x")
    assert reason in found and bool(found) == bool(reason)


def test_the_controller_s_connection_is_found_above_sudo():
    files = {
        "/proc/9/environ": "SUDO_USER=a\0", "/proc/9/status": "Name:\tpython3\nPPid:\t8\n",
        "/proc/8/environ": "", "/proc/8/status": "Name:\tsudo\nPPid:\t7\n",
        "/proc/7/environ": "HOME=/\0SSH_CONNECTION=203.0.113.9 50000 192.0.2.1 22\0",
    }  # fmt: skip
    assert facts.connection(9, lambda path: files.get(path, "")) == ("203.0.113.9", 22)
    assert facts.connection(8, lambda path: "" if path.startswith("/proc/7/") else files.get(path, "")) == ("", 0)


def test_listeners_beside_loopback():
    shown = (
        'tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))\n'
        'udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=2,fd=1))\n'
        "tcp LISTEN 0 128 [::1]:8500 [::]:*\n"
        "udp UNCONN 0 0 *:4789 *:*\n"
        'tcp LISTEN 0 128 [::]:80 [::]:* users:(("nginx",pid=4,fd=6),("nginx",pid=3,fd=6))\n'
    )
    assert [(one["protocol"], one["address"], one["port"], one["program"]) for one in facts.listeners(shown)] == [
        ("tcp", "0.0.0.0", 22, "sshd"), ("udp", "*", 4789, ""), ("tcp", "::", 80, "nginx"),
    ]  # fmt: skip


RAW = (
    'raw UNCONN 0 0 0.0.0.0:112 0.0.0.0:* users:(("keepalived",pid=9,fd=3))\n'
    'raw UNCONN 0 0 *:58 *:* users:(("systemd-network",pid=7,fd=5))\n'
    'raw UNCONN 0 0 0.0.0.0:255 0.0.0.0:* users:(("sender",pid=8,fd=5))\n'
    "raw UNCONN 0 0 *:89 *:*\n"
)
LINKS = [
    {}, {"ifname": "gre1", "flags": ["POINTOPOINT", "UP"], "linkinfo": {"info_kind": "gre"}},
    {"ifname": "sit0", "flags": ["NOARP"], "linkinfo": {"info_kind": "sit"}},
    {"ifname": "eth0", "flags": ["UP"]}, {"ifname": "v1", "flags": ["UP"], "linkinfo": {"info_kind": "veth"}},
]  # fmt: skip


def test_w19_raw_sockets_and_tunnels_of_the_kernel_are_found():
    """But for ICMP, which is always open, and what only sends; a tunnel that is down waits for nothing."""
    assert [(one["protocol"], one["port"], one["program"]) for one in sockets.listeners(RAW) + sockets.tunnels(LINKS)] == [
        ("raw", 112, "keepalived"), ("raw", 89, ""), ("raw", 47, "gre1"),
    ]  # fmt: skip


def test_w19_a_raw_socket_of_this_machine_is_found_by_the_command():
    """What ss really prints: of one kind of sockets alone it does not name the kind."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 112):
        shown = subprocess.run(sockets.COMMAND, capture_output=True, text=True, check=True).stdout
    assert ("raw", 112) in [(one["protocol"], one["port"]) for one in sockets.listeners(shown)]


@pytest.mark.parametrize(
    ("allowed", "unheard"),
    [
        ({}, [(47, "gre1"), (89, ""), (112, "keepalived")]),
        ({"vrrp": {"protocols": ["vrrp"], "from": ["site"]}}, [(47, "gre1"), (89, "")]),
        ({"routing": {"protocols": ["89", "gre", "112"], "from": ["any"]}}, []),
        ({"vrrp": {"protocols": ["vrrp"], "from": []}}, [(47, "gre1"), (89, ""), (112, "keepalived")]),
    ],
)
def test_w19_a_protocol_that_no_rule_allows_is_unheard(allowed, unheard):
    """By the rules as the host has them."""
    listening = sockets.listeners(RAW) + sockets.tunnels(LINKS)
    rules = rendered(__firewall_ruleset=firewall.firewall_ruleset(settings(platform=platform(), site=allowed), []))
    assert [(one["protocol"], one["program"]) for one in sockets.unheard(listening, rules)] == unheard


def test_w19_without_a_firewall_every_protocol_is_heard():
    overlay = rendered("overlay", __firewall_ruleset=firewall.firewall_ruleset(settings(platform=platform()), []))
    assert sockets.unheard(sockets.listeners(RAW), "") == sockets.unheard(sockets.listeners(RAW), overlay) == []


def test_v6_vrrp_passes_between_the_load_balancers_only_and_only_with_floating_addresses():
    """A site's own rule called vrrp is another one, and counts on any host."""
    with_them = rendered(__firewall_ruleset=firewall.firewall_ruleset(settings(platform=platform(floating_addresses=True)), []))
    line = "ip saddr { 192.0.2.251, 192.0.2.252 } meta l4proto vrrp accept"
    assert line in with_them and with_them.count("meta l4proto vrrp") == with_them.count(line)
    assert firewall.allow_rules(platform(), {"vrrp": {"protocols": ["vrrp"], "from": ["site"]}})["vrrp"]["from"] == ["site"]
    protocols = parse_yaml((ROLE / "vars/main.yml").read_text())["__firewall_platform"]["floating_addresses"]["protocols"]
    assert "else []" in protocols, "the rules of other hosts have no line of it either, where there are no floating addresses"


def test_w19_the_status_of_the_firewall_lists_protocols():
    seen = {"loaded": True, "unconfirmed": False, "dropped": 0, "listening": sockets.listeners(RAW), "published": []}
    page = firewall.firewall_status("a", settings(site={"vrrp": {"protocols": ["vrrp"], "from": ["site"]}}), seen)
    assert any(line.split() == ["vrrp", "vrrp", "site", "keepalived"] for line in page)
    assert page[-1] == "  listens without an allow rule, closed to other hosts: protocol ospf (unknown)"


def test_w21_who_could_not_confirm_rules_is_told_what_to_allow():
    listening = [
        {"protocol": "udp", "address": "*", "port": 51820, "program": ""},
        {"protocol": "tcp", "address": "0.0.0.0", "port": 22, "program": "sshd"},
        {"protocol": "tcp", "address": "0.0.0.0", "port": 32768, "program": "docker-proxy"},
    ]  # fmt: skip
    text = firewall.firewall_unconfirmed("a", SETTINGS, listening)
    assert all(word in text for word in ("the rules of a were not confirmed", " 30 s ", "firewall_allow_rules"))
    assert text.endswith("listen there: udp 51820 (unknown)")
    allowed = settings(site={"vpn": {"udp": [51820], "from": ["any"]}})
    assert firewall.firewall_unconfirmed("a", allowed, listening).endswith("listen there: none")


@pytest.mark.parametrize("strict", [True, False])
def test_w21_the_host_makes_the_strict_chains_when_it_loads_rules(monkeypatch, strict):
    """Of the ports that listen then. What waits for confirmation are the plain rules."""
    monkeypatch.setattr(nftables, "NFT", "/nowhere/nft")
    listening, loaded = [{"protocol": "udp", "address": "*", "port": 51820, "program": ""}], []
    host = SimpleNamespace(
        confirmed="", listening=lambda: listening, at_boot=lambda: True, overlay_table=lambda: False,
        commit=lambda *given: loaded.append(given),
    )  # fmt: skip
    result = module.committed(SimpleNamespace(params={"rules": "r", "seconds": 30, "strict": strict}, check_mode=False), host)
    assert loaded == [("r", 30, nftables.strict_chains(listening) if strict else "")]
    assert (result["listening"], result["unconfirmed"]) == (listening if strict else [], True)


def test_w21_strict_chains_are_loaded_beside_the_rules_and_not_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(nftables, "UNCONFIRMED", str(tmp_path / "trial.nft"))
    ran = []

    def run_command(command, data=None, **_unused):
        ran.append((command, data))
        return 0, "", ""

    nftables.Firewall(SimpleNamespace(run_command=run_command)).commit("rules\n", 30, "beside\n")
    assert ([nftables.NFT, "--file", "-"], "rules\nbeside\n") in ran
    assert (tmp_path / "trial.nft").read_text() == "rules\n"


def test_w21_strict_chains_name_the_ports_that_listen():
    listening = [{"protocol": protocol, "port": port} for protocol, port in (("tcp", 80), ("tcp", 22), ("tcp", 80), ("udp", 53))]
    chains = nftables.strict_chains(listening)
    assert "established tcp dport { 22, 80 } goto arriving" in chains and "established udp dport { 53 } goto arriving" in chains
    assert "dport" not in nftables.strict_chains([])


def test_ports_of_containers():
    ports = [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 32768, "Type": "tcp"}, {"PrivatePort": 81, "Type": "tcp"}]
    shop = {"protocol": "tcp", "address": "0.0.0.0", "port": 32768, "container": "shop"}
    assert facts.publishers([{"Names": ["/shop"], "Ports": ports}]) == [shop]


@pytest.mark.parametrize(
    ("added", "bridges"),
    [
        ({}, []), ({}, [bridge("br-lan", "")]),
        ({"odd": {"udp": ["500-600", 550], "protocols": ["esp", "47"], "from": ["10.0.0.0/8", "2001:db8::/32", "docker"]}}, []),
        ({"shop": {"tcp": [5000], "at": "published", "from": ["any"]}, "ssh": {"from": ["management"]}}, []),
    ],
)  # fmt: skip
def test_nft_accepts_the_rules(added, bridges):
    """In a network of their own; twice, because the file replaces its own table."""
    ruleset = firewall.firewall_ruleset(settings(platform=platform(), site=added, closed=[5432]), bridges)
    rules = rendered(__firewall_ruleset=ruleset)
    command = ["unshare", "--net", "sh", "-c", "nft --file - && nft list table inet discovery"]
    listed = subprocess.run(command, input=rules + rules, text=True, capture_output=True, check=False)
    assert listed.returncode == 0, f"{listed.stderr}\n{rules}"
    assert listed.stdout.count("hook ") == 3


def test_every_allow_rule_of_the_platform_has_a_reason():
    assert [name for name, one in platform().items() if not one["why"] or not one["from"]] == []


def test_the_ruleset_of_the_overlay_has_its_ports_and_the_docker_hosts():
    ruleset = firewall.firewall_ruleset(settings(platform=platform()), [])["overlay"]
    assert ruleset == {
        "senders": ["ip saddr { 192.0.2.1 }"], "ports": ["tcp dport { 2377, 7946 }", "udp dport { 4789, 7946 }"]
    }  # fmt: skip
    consul = firewall.firewall_ruleset(settings(platform=platform(swarm=False)), [])["overlay"]
    assert consul["ports"] == ["tcp dport { 7946 }", "udp dport { 4789, 7946 }"]


def test_nft_accepts_the_rules_of_the_overlay():
    rules = rendered("overlay", __firewall_ruleset=firewall.firewall_ruleset(settings(platform=platform()), []))
    command = ["unshare", "--net", "sh", "-c", "nft --file - && nft list table inet discovery"]
    listed = subprocess.run(command, input=rules + rules, text=True, capture_output=True, check=False)
    assert listed.returncode == 0, f"{listed.stderr}\n{rules}"
    assert (listed.stdout.count("hook "), listed.stdout.count(" drop")) == (1, 2)


def test_no_rule_knows_the_name_of_an_interface():
    """But to keep a bridge of other machines out: those without a card, and without the host's address, stand in no rule."""
    found = [bridge("docker0", "veth"), bridge("shop0"), bridge("virbr0", "tun"), bridge("br0", "")]
    ruleset = firewall.firewall_ruleset(settings(platform=platform()), found)
    named = [line.split() for line in rendered(__firewall_ruleset=ruleset).splitlines() if "ifname" in line]
    assert named == [
        ["iifname", '"br0"', "goto", "host"], ["iifname", '"br0"', "goto", "into"], ["oifname", '"br0"', "accept"],
    ]  # fmt: skip


GOOD = "table inet discovery {\nchain good {\n}\n}"


@pytest.mark.parametrize("scope", ["site", "overlay"])
@pytest.mark.parametrize(
    ("rules", "chains"), [(GOOD, ["good"]), ("table inet discovery {", None), ("", None), ("no rules", None), (None, None)]
)
def test_rules_that_do_not_load_close_the_host(tmp_path, scope, rules, chains):
    """At boot, by the unit's own command; that the command fails shows in the state of the unit."""
    confirmed, closed = tmp_path / "rules.nft", tmp_path / "closed.nft"
    ruleset = firewall.firewall_ruleset(settings(platform=platform(), site={"ssh": {"from": ["management"]}}), [])
    closed.write_text(rendered(scope, "discovery-firewall-closed.nft.j2", __firewall_ruleset=ruleset))
    if rules is not None:
        confirmed.write_text(rules)
    command = variable("__firewall_load", __firewall_rules=confirmed, __firewall_closed_rules=closed)
    script = f"({command}) 2>/dev/null; echo $?; nft list table inet discovery"
    done = subprocess.run(["unshare", "--net", "sh", "-c", script], text=True, capture_output=True, check=True)
    code, listed = done.stdout.split("\n", 1)
    assert (code == "0") == (chains is not None)
    if chains:
        assert "chain good" in listed
    elif scope == "site":
        assert (listed.count("policy drop"), listed.count("dport 22 accept")) == (2, 2), listed
    else:
        assert (listed.count("policy accept"), listed.count("drop")) == (1, 2), listed


@pytest.mark.parametrize(("confirmed", "chain"), [(GOOD, "good"), ("no rules", "closed"), (None, None)])
def test_a_rollback_ends_with_the_confirmed_rules_or_a_closed_host(tmp_path, confirmed, chain):
    paths = {nftables.CONFIRMED: "rules", nftables.CLOSED: "closed", nftables.UNCONFIRMED: "trial"}
    (tmp_path / "closed").write_text(GOOD.replace("good", "closed"))
    if confirmed:
        (tmp_path / "rules").write_text(confirmed)
    script = nftables.ROLLBACK
    for path, own in paths.items():
        script = script.replace(path, str(tmp_path / own))
    trial = f"nft --file -; ({script}) 2>/dev/null; nft list table inet discovery || true"
    inside = ["unshare", "--net", "sh", "-c", trial]
    listed = subprocess.run(inside, input=GOOD.replace("good", "trial"), text=True, capture_output=True, check=True).stdout
    assert (f"chain {chain}" in listed) if chain else listed == ""
