"""What a status makes of what it reads on a host."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils import host_needs

OURS = "# Ansible managed\nnameserver 127.0.0.1\nnameserver 192.0.2.53\n"
BASE = "# Ansible managed\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n"


@pytest.mark.parametrize(
    ("method", "resolv_conf", "own", "expected"),
    [
        ("resolvconf", OURS, BASE, ""),
        ("resolvconf", "nameserver 192.0.2.53\n", BASE, "it asks 192.0.2.53, and must ask 127.0.0.1 first"),
        ("resolvconf", "", BASE, "it asks nobody"),
        ("resolvconf", OURS + "options rotate\n", BASE, "it has the option rotate"),
        ("resolvconf", OURS.replace(".53", ".99"), BASE, "none of the site's name servers (192.0.2.53, 192.0.2.54)"),
        ("dnsmasq", "nameserver 127.0.0.2\n" + OURS, "server=/consul/192.0.2.1\nserver=192.0.2.53\n", ""),
        ("dnsmasq", OURS, "server=192.0.2.53\n", "must ask 127.0.0.2 first"),
        ("systemd_resolved", "nameserver 127.0.0.53\nnameserver 127.0.0.1\n", "", ""),
        ("systemd_resolved", "nameserver 192.0.2.53\n", "", "must ask 127.0.0.53 first"),
    ],
)
def test_w45_a_resolv_conf_that_is_no_longer_ours(method, resolv_conf, own, expected):
    found = host_needs.resolver_problems(method, resolv_conf, own)
    assert any(expected in one for one in found) if expected else found == [], found


# Of Consul 1.22.7.
WARNING = (
    "2026-11-30T14:38:01.966Z [WARN]  agent.server.memberlist.{ring}: memberlist: Was able to connect to {name} over TCP but UDP"
    " probes failed, network may be misconfigured\n"
)


def test_w53_the_log_names_members_that_only_tcp_reaches():
    log = WARNING.format(ring="lan", name="b") * 12 + WARNING.format(ring="lan", name="c") * 11
    log += WARNING.format(ring="wan", name="b.dc1") * 50
    assert host_needs.udp_lost(log, 70, 3) == {"b": 12}, "each of two others is probed 35 times in 70 s"
    assert host_needs.udp_lost(log, 70, 8) == {"b": 12, "c": 11}
    one, two = (WARNING.format(ring="lan", name="b") * count for count in (1, 2))
    assert host_needs.udp_lost(one, 70, 100) == {} and host_needs.udp_lost(two, 70, 100) == {"b": 2}
    every = "".join(WARNING.format(ring="lan", name=f"n{number}") for number in range(49))
    assert len(host_needs.udp_lost(every, 70, 50)) == 49, "one report each: this host has lost all UDP"
    assert host_needs.udp_lost("2026-11-30T14:38:17.000Z [INFO]  agent: Synced service: service=web\n", 70, 0) == {}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        # Of Consul 1.22.7.
        (
            "The 'x' field is deprecated.\n"
            "Config validation failed: failed to parse /etc/consul.d/m.json: unexpected end of JSON input\n",
            "failed to parse /etc/consul.d/m.json: unexpected end of JSON input",
        ),
        (
            "Config validation failed: failed to parse /etc/consul.d/.m.json: 1 error occurred:\n\t* invalid config key a\n\n\n",
            "failed to parse /etc/consul.d/.m.json: 1 error occurred: invalid config key a",
        ),
        (
            "Config validation failed: failed to parse /etc/consul.d/m.hcl: At 1:33: Unknown token: 1:33 IDENT hunter2\n",
            "failed to parse /etc/consul.d/m.hcl: At 1:33: Unknown token: 1:33 IDENT",
        ),
        (
            "Config validation failed: failed to parse /etc/consul.d/m.hcl: At 1:34: key 'agent \"hunter2\"' expected start of"
            " object ('{') or assignment ('=')\n",
            "failed to parse /etc/consul.d/m.hcl: At 1:34: key",
        ),
        ("fatal error: out of memory\n", "fatal error: out of memory"),
        ("", ""),
    ],
)
def test_w52_the_reason_of_a_refused_configuration_is_one_line(message, expected):
    assert host_needs.refused_configuration(message) == expected


@pytest.mark.parametrize(
    ("config", "needed"), [({}, True), ({"ip-forward": True}, True), ({"ip-forward": False}, False), ({"bridge": "none"}, False)]
)
def test_w47_forwarding_is_dockerds_own_setting(config, needed):
    assert host_needs.forwarding_needed(config) is needed


@pytest.mark.parametrize(
    ("action", "config", "kernel", "lost"),
    [
        ("none", {}, "0\n", True),
        ("reload", None, "0\n", True),
        ("none", {}, "1\n", False),
        ("none", {"ip-forward": False}, "0\n", False),
        ("restart", {}, "0\n", False),  # it does it itself
        ("start", {}, "0\n", False),
    ],
)
def test_w47_the_role_lets_the_kernel_forward_again(action, config, kernel, lost):
    assert host_needs.forwarding_lost(action, config, kernel) is lost


WRITTEN = {"tlsverify": True, "hosts": ["fd://"], "log-opts": {"max-size": "10m"}}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (WRITTEN, []),
        (WRITTEN | {"debug": True, "log-opts": {"max-size": "10m", "labels": "x"}}, []),
        ({"log-driver": "json-file", "log-opts": {"max-size": "100m"}}, ["hosts", "log-opts", "tlsverify"]),
        (WRITTEN | {"log-opts": 7}, ["log-opts"]),
        (None, ["hosts", "log-opts", "tlsverify"]),
    ],
)
def test_w51_settings_of_the_role_that_somebody_has_overwritten(config, expected):
    """Also after dockerd has restarted with it."""
    assert host_needs.configuration_lost(config, WRITTEN) == expected


@pytest.mark.parametrize(
    ("config", "loaded", "expected"),
    [
        (WRITTEN, WRITTEN, []),
        (WRITTEN | {"mtu": 1400}, WRITTEN, ["mtu changed"]),
        (WRITTEN | {"debug": True}, WRITTEN, ["debug changed"]),
        (WRITTEN | {"debug": True}, WRITTEN | {"debug": True}, []),
        (None, WRITTEN, ["daemon.json is gone or no table of JSON"]),
        ([], None, ["daemon.json is gone or no table of JSON"]),
        (WRITTEN | {"dns": ["192.0.2.1", "192.0.2.3"]}, WRITTEN, []),
    ],
)
def test_w51_settings_that_wait_for_a_restart(config, loaded, expected):
    started = WRITTEN | ({"dns": ["192.0.2.1", "192.0.2.2"]} if isinstance(config, dict) and "dns" in config else {})
    loaded = started if loaded == WRITTEN else loaded
    assert host_needs.configuration_waiting(config, started, loaded) == expected


def test_w51_without_a_record_nothing_is_said():
    assert host_needs.configuration_waiting(WRITTEN, None, None) == []


LISTED = {
    "web": "Up 2 hours", "port": "Created", "made": "Created", "typo": "Created", "shim": "Exited (128) 3 minutes ago",
    "killed": "Exited (137) 2 hours ago", "git": "Exited (128) 1 hour ago", "gone": "Dead",
}  # fmt: skip


def test_w54_a_container_that_never_started_is_named():
    """A port was taken: dockerd leaves it 'Created', or keeps the code of its last end, and its restart policy does not try
    again. One without a policy, whose command was wrong, was somebody's own."""
    assert host_needs.stopped(LISTED) == ["git", "gone", "killed", "made", "port", "shim", "typo"]
    inspected = [
        '/port always "driver failed: address already in use"', '/made always ""', '/typo no "exec: nosuch: not found"',
        '/shim no "failed to create shim task\\n: x"', '/killed unless-stopped "address already in use"', '/git no ""',
        "/gone always",
    ]  # fmt: skip
    assert host_needs.not_started(LISTED, inspected) == ["killed", "port", "shim"]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((2048, 2**20, 10, 0), {"free_mb": 2048, "free_inodes": 0}),
        ((2048, 512, 0, 0), {"free_mb": 1, "free_inodes": None}),
        ((2**60, 4096, 2**62, 2**62), {"free_mb": 10**9, "free_inodes": 10**9}),
    ],
)
def test_w49_room_is_bytes_and_inodes(numbers, expected):
    """Some file systems do not count inodes, or have any number."""
    assert host_needs.room(*numbers) == expected
