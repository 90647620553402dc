"""What a host lets in: openings, the rules made of them, mistakes, and what the rules do to real packets."""

import subprocess

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules import firewall as module
from ansible_collections.fewnodes.discovery.plugins.modules import firewall_facts as facts
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import firewall
from firewall_rules import known, rendered
from hypothesis import given
from hypothesis import strategies as st

KNOWN = {
    "ssh": {"on": True, "tcp": [22], "from": ["everyone"]},
    "dns": {"on": True, "tcp": [53], "udp": [53], "from": ["members", "containers"]},
    "rpc": {"on": False, "tcp": [8300], "from": ["members"]},
    "engine": {"on": True, "tcp": ["2376"], "from": ["members", "admins"]},
    "published": {"on": True, "tcp": ["1-65535"], "at": "published", "from": ["members"]},
}
WHO = {"members": ["192.0.2.1", "192.0.2.2"], "engines": ["192.0.2.1"], "admins": ["198.51.100.0/24", "2001:db8::/32"]}
SAID = {"known": KNOWN, "added": {}, "who": WHO, "closed": [], "seconds": 30}
SEEN = {"controller": ["203.0.113.9", 22], "rivals": []}


def said(**changes):
    return {**SAID, **changes}


def test_a_host_has_the_openings_of_what_it_runs():
    assert sorted(firewall.openings(KNOWN, {})) == ["dns", "engine", "published", "ssh"]


def test_the_site_changes_an_opening_and_adds_one():
    chosen = firewall.openings(KNOWN, {"ssh": {"from": ["admins"]}, "db": {"tcp": [5432], "from": ["members"]}})
    assert chosen["ssh"] == {"tcp": [22], "from": ["admins"]}
    assert chosen["db"] == {"tcp": [5432], "from": ["members"]}


def test_an_opening_of_another_kind_of_host_stays_there():
    assert "rpc" not in firewall.openings(KNOWN, {"rpc": {"from": ["everyone"]}})


def test_nothing_is_wrong():
    assert firewall.firewall_problems("a", said(added={"x": {"udp": ["500-600"], "from": ["10.0.0.0/8", "::1"]}}), SEEN) == []


@pytest.mark.parametrize(
    ("name", "one", "told"),
    [
        ("X", {}, "name it by"), ("x", [], "not a dictionary"), ("x", {"port": 1}, "port is none of"),
        ("x", {"tcp": 22}, "set it to a list"), ("x", {"tcp": [0]}, "tcp has 0"), ("x", {"tcp": [65536]}, "tcp has 65536"),
        ("x", {"udp": ["9-8"]}, "udp has '9-8'"), ("x", {"tcp": [True]}, "tcp has True"),
        ("x", {"tcp": ["22; drop"]}, "22; drop"),
        ("x", {"from": ["all"]}, "from has 'all'"), ("x", {"from": ["10.0.0.1/8"]}, "from has '10.0.0.1/8'"),
        ("x", {"protocols": ["esp drop"]}, "protocols has 'esp drop'"), ("x", {"at": "host"}, "at is 'host'"),
    ],
)  # fmt: skip
def test_a_wrong_opening_is_told(name, one, told):
    problems = firewall.firewall_problems("a", said(added={name: one}), SEEN)
    assert any(told in p and p.startswith("firewall_openings has") and " on a: " in p for p in problems), problems


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"who": WHO | {"admins": ["office"]}}, "discovery_admins has 'office'"),
        ({"closed": ["x"]}, "firewall_closed_to_containers has 'x'"),
        ({"seconds": 5}, "firewall_confirm_seconds is 5"), ({"seconds": "soon"}, "firewall_confirm_seconds is 'soon'"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_told(changes, told):
    assert told in firewall.firewall_problems("a", said(**changes), SEEN)[0]


def test_another_firewall_is_not_fought():
    (problem,) = firewall.firewall_problems("a", SAID, {**SEEN, "rivals": ["ufw.service"]})
    assert "ufw.service" in problem and "discovery_firewall" in problem


@pytest.mark.parametrize(
    ("added", "controller", "shut_out"),
    [
        ({}, ["203.0.113.9", 22], False), ({}, ["203.0.113.9", 2222], True), ({}, ["", 0], False),
        ({"ssh": {"from": ["admins"]}}, ["203.0.113.9", 22], True), ({"ssh": {"from": ["admins"]}}, ["198.51.100.7", 22], False),
        ({"ssh": {"from": ["admins"]}}, ["2001:db8::1", 22], False), ({"ssh": {"tcp": [2222]}}, ["203.0.113.9", 22], True),
        ({"ssh": {"from": ["203.0.113.9"]}}, ["203.0.113.9", 22], False), ({"ssh": {"from": []}}, ["192.0.2.1", 22], True),
    ],
)  # fmt: skip
def test_the_controller_is_not_shut_out(added, controller, shut_out):
    problems = firewall.firewall_problems("a", said(added=added), {**SEEN, "controller": controller})
    assert bool(problems) == shut_out
    assert all(f"from {controller[0]} to port {controller[1]}" in problem for problem in problems)


def test_a_published_opening_lets_nobody_to_a_port_of_the_host():
    assert not firewall.admits(firewall.openings(KNOWN, {}), WHO, "192.0.2.1", "tcp", 9)
    assert firewall.admits(firewall.openings(KNOWN, {}), WHO, "192.0.2.1", "tcp", 2376)


def test_rules_tell_sender_and_port():
    rules = {(rule["name"], rule["of"], rule["port"]) for rule in firewall.firewall_ruleset(SAID, [])["rules"]}
    assert rules == {
        ("ssh", "", "tcp dport { 22 }"), ("ssh", None, "tcp dport { 22 }"),
        ("dns", "ip saddr { 192.0.2.1, 192.0.2.2 }", "tcp dport { 53 }"), ("dns", None, "tcp dport { 53 }"),
        ("dns", "ip saddr { 192.0.2.1, 192.0.2.2 }", "udp dport { 53 }"), ("dns", None, "udp dport { 53 }"),
        ("engine", "ip saddr { 192.0.2.1, 192.0.2.2, 198.51.100.0/24 }", "tcp dport { 2376 }"),
        ("engine", "ip6 saddr { 2001:db8::/32 }", "tcp dport { 2376 }"),
        ("published", "ip saddr { 192.0.2.1, 192.0.2.2 }", "tcp dport { 1-65535 }"),
    }  # fmt: skip


def test_containers_do_not_reach_the_platform_of_any_host():
    """8300 is closed here too, where no server runs: hidden behind this host's address they would reach one elsewhere."""
    assert firewall.firewall_ruleset(said(closed=["5432"]), [])["closed"] == ["tcp dport { 2376, 5432, 8300 }"]


def test_bridges_that_are_not_the_engine_s():
    there = ["eth0", "br-lan", "br-0123456789ab", "br0", "br-0123456789AB"]
    assert firewall.foreign_bridges(there) == ["br-0123456789AB", "br-lan"]


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
    told = set()
    for part in text.strip("{} ").split(", ") if text else []:
        low, _, high = part.partition("-")
        told |= set(range(int(low), int(high or low) + 1))
    assert told == {port for low, more in ranges for port in range(low, low + more + 1)}


def test_the_page_tells_what_answers_to_whom():
    seen = {
        "loaded": True, "trial": False, "dropped": 3,
        "listening": [
            {"protocol": "tcp", "address": "0.0.0.0", "port": 22, "program": "sshd"},
            {"protocol": "tcp", "address": "*", "port": 5432, "program": "postgres"},
            {"protocol": "tcp", "address": "0.0.0.0", "port": 32768, "program": "docker-proxy"},
        ],
        "published": [{"protocol": "tcp", "address": "0.0.0.0", "port": 32768, "container": "shop"}],
    }  # fmt: skip
    page = firewall.firewall_status("a", SAID, seen)
    assert page[0] == "a: the rules are in force; 3 packets dropped"
    assert any(line.split() == ["ssh", "tcp", "22", "everyone", "sshd"] for line in page)
    assert any(line.split() == ["published", "any", "members", "shop"] for line in page)
    assert page[-1] == "  listens, but answers no other host: tcp 5432 (postgres)"


@pytest.mark.parametrize(
    ("confirmed", "in_force", "why"),
    [("", "", "no rules yet"), ("old", "x", "other rules"), ("new", "", "flushed"), ("new", "y", "by hand"), ("new", "x", "")],
)
def test_why_rules_are_loaded(confirmed, in_force, why):
    told = module.difference(confirmed, "new", in_force, "x")
    assert why in told and bool(told) == bool(why)


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


def test_ports_of_containers():
    ports = [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 32768, "Type": "tcp"}, {"PrivatePort": 81, "Type": "tcp"}]
    shop = {"protocol": "tcp", "address": "0.0.0.0", "port": 32768, "container": "shop"}
    assert facts.publishers([{"Names": ["/shop"], "Ports": ports}]) == [shop]


@pytest.mark.parametrize(
    ("added", "interfaces"),
    [
        ({}, []), ({}, ["br-lan", "eth0"]),
        ({"odd": {"udp": ["500-600", 550], "protocols": ["esp", "47"], "from": ["10.0.0.0/8", "2001:db8::/32", "engines"]}}, []),
        ({"shop": {"tcp": [5000], "at": "published", "from": ["everyone"]}, "ssh": {"from": ["admins"]}}, []),
    ],
)  # fmt: skip
def test_nft_takes_the_rules(added, interfaces):
    """In a network of their own; twice, because the file replaces its own table."""
    rules = rendered(**firewall.firewall_ruleset(said(known=known(), added=added, closed=[5432]), interfaces))
    command = ["unshare", "--net", "sh", "-c", "nft --file - && nft list table inet discovery"]
    listed = subprocess.run(command, input=rules + rules, text=True, capture_output=True, check=False)
    assert listed.returncode == 0, f"{listed.stderr}\n{rules}"
    assert listed.stdout.count("hook ") == 2


def test_every_opening_of_the_platform_says_why():
    assert [name for name, one in known().items() if not one["why"] or not one["from"]] == []
