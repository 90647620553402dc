"""Capabilities of dockerd, pending changes of a running one, and when a host is healthy again."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.dockerd import (
    State,
    capabilities,
    not_yet,
    owners,
    pending,
    returning,
    upstream,
)

CONFIG = {"tlsverify": True, "debug": False, "registry-mirrors": ["https://a.example"]}
FILES = {"/etc/docker/tls/server.pem": "one"}


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("20.10.5+dfsg1-1+deb11u4", (20, 10, 5)),
        ("5:20.10.24~3-0~debian-bullseye", (20, 10, 24)),
        ("26.1.5+dfsg1-9+deb13u1", (26, 1, 5)),
        ("v29.1.3", (29, 1, 3)),
        ("", ()),
        ("unknown-version", ()),
    ],
)
def test_version_of_dockerd_in_a_package_version(version, number):
    assert upstream(version) == number


@pytest.mark.parametrize(
    ("package", "version", "overlays", "validates"),
    [
        ("docker.io", "20.10.5+dfsg1-1+deb11u4", ["none", "consul", "swarm"], False),
        ("docker.io", "20.10.24+dfsg1-1+deb12u1+b6", ["none", "swarm"], False),
        ("docker.io", "20.10.11+dfsg1-1", ["none", "swarm"], False),
        ("docker.io", "26.1.5+dfsg1-9+deb13u1", ["none", "swarm"], True),
        ("docker-ce", "5:20.10.24~3-0~debian-bullseye", ["none", "consul", "swarm"], False),
        ("docker-ce", "5:23.0.0-1~debian.12~bookworm", ["none", "swarm"], True),
        ("docker-ce", "5:29.1.3-1~debian.13~trixie", ["none", "swarm"], True),
        ("", "20.10.27", ["none", "consul", "swarm"], False),
        ("docker.io", "18.09.1+dfsg1-7.1", ["none"], False),
        ("docker.io", "", ["none"], False),
    ],
)
def test_capabilities_of_dockerd(package, version, overlays, validates):
    able = capabilities(package, version)
    assert (able["overlays"], able["validate"]) == (overlays, validates)


def state(config=None, started=None, loaded=None, **changes) -> State:
    started = CONFIG if started is None else started
    facts = {"active": True, "program": "/usr/sbin/dockerd", "files": FILES, "started_files": FILES} | changes
    return State(config=CONFIG if config is None else config, started=started, loaded=loaded or started, **facts)


def test_dockerd_that_is_what_its_files_say_is_left_alone():
    assert pending(state()) == ("none", [])


def test_stopped_or_disabled_dockerd_is_started():
    assert pending(State(active=False))[0] == "start"
    assert pending(state(enabled=False)) == ("start", ["the unit is not enabled"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"program": "/usr/sbin/dockerd (deleted)"}, "the program was replaced"),
        ({"reload_units": True}, "the unit changed"),
        ({"files": {"/etc/docker/tls/server.pem": "two"}}, "/etc/docker/tls/server.pem changed"),
        ({"files": FILES | {"/etc/docker/consul.env": "x"}}, "/etc/docker/consul.env changed"),
        ({"files": {}}, "/etc/docker/tls/server.pem changed"),
        ({"config": CONFIG | {"tlsverify": False}}, "tlsverify changed"),
        ({"config": CONFIG | {"bip": "10.0.0.1/24"}}, "bip changed"),
        ({"config": CONFIG | {"cluster-store": "consul://127.0.0.1:8500"}}, "cluster-store changed"),
        ({"config": {"tlsverify": True, "debug": False}}, "registry-mirrors was removed"),
        ({"loaded": CONFIG | {"labels": ["a=b"]}}, "labels was removed"),
        ({"started_files": None}, "it is not known what dockerd was started with"),
    ],
)
def test_a_setting_read_at_the_start_only_needs_a_restart(change, reason):
    assert pending(state(**change)) == ("restart", [reason])


@pytest.mark.parametrize(
    ("before", "now", "action"),
    [
        (["192.0.2.1"], ["192.0.2.1", "192.0.2.2"], "none"),  # the site has grown
        (["192.0.2.1", "192.0.2.2"], ["192.0.2.1", "192.0.2.3"], "none"),
        (["192.0.2.1", "192.0.2.9"], ["192.0.2.1", "192.0.2.2"], "restart"),  # that host has left
        (["192.0.2.1"], ["192.0.2.1", "9.9.9.9"], "restart"),
        (["192.0.2.2"], ["192.0.2.1", "192.0.2.2"], "restart"),
        (["192.0.2.1"], [], "restart"),
        ([], ["192.0.2.1"], "restart"),
    ],
)
def test_d5_name_servers_of_a_site_that_grows_restart_nobody(before, now, action):
    """They apply at the next start."""
    given = state(config=CONFIG | {"dns": now}, started=CONFIG | {"dns": before})
    assert pending(given, ["192.0.2.1", "192.0.2.2", "192.0.2.3"])[0] == action
    more = state(config=CONFIG | {"dns": now, "debug": True}, started=CONFIG | {"dns": before})
    assert pending(more, ["192.0.2.1", "192.0.2.2", "192.0.2.3"])[0] == ("reload" if action == "none" else "restart")
    reloaded = state(config=CONFIG | {"dns": now}, started=CONFIG | {"dns": before}, loaded=CONFIG | {"dns": now})
    assert pending(reloaded, ["192.0.2.1", "192.0.2.2", "192.0.2.3"])[0] == action


@pytest.mark.parametrize(
    ("before", "now", "action"),
    [
        (None, ["timeout:5", "attempts:2"], "none"),  # a site of an earlier version of the collection
        (["timeout:5", "attempts:2"], ["timeout:8"], "none"),
        (["timeout:5", "attempts:2"], None, "none"),
        (["ndots:2"], ["ndots:2", "timeout:5"], "none"),
        (["ndots:2"], ["timeout:5", "attempts:2"], "restart"),
        (["timeout:5"], ["timeout:5", "rotate"], "restart"),
    ],
)
def test_w42_how_long_containers_wait_for_name_servers_restarts_nobody(before, now, action):
    """It applies at the next start; beside another change as well, and after a reload of the same file."""
    started, config = (CONFIG | ({"dns-opts": one} if one else {}) for one in (before, now))
    assert pending(state(config=config, started=started))[0] == action
    assert pending(state(config=config, started=started, loaded=config))[0] == action
    assert pending(state(config=config | {"debug": True}, started=started))[0] == ("reload" if action == "none" else "restart")
    assert pending(state(config=config | {"mtu": 1400}, started=started))[0] == "restart"
    assert pending(state(config=config, started=config)) == ("none", [])


def test_w42_servers_and_options_may_wait_together():
    before, now = ({"dns": ["192.0.2.1"]}, {"dns": ["192.0.2.1", "192.0.2.2"], "dns-opts": ["timeout:5"]})
    assert pending(state(config=CONFIG | now, started=CONFIG | before), ["192.0.2.1", "192.0.2.2"]) == ("none", [])


@pytest.mark.parametrize("lost", ["config", "started"])
def test_without_a_record_dockerd_is_restarted(lost):
    facts = {"config": CONFIG, "started": CONFIG, "loaded": CONFIG, "files": FILES, "started_files": FILES} | {lost: None}
    assert pending(State(active=True, **facts)) == ("restart", ["it is not known what dockerd was started with"])


def test_what_sighup_applies_is_reloaded():
    more = CONFIG | {"registry-mirrors": ["https://b.example"], "debug": True}
    assert pending(state(config=more)) == ("reload", ["debug changed", "registry-mirrors changed"])
    assert pending(state(config=more, loaded=more)) == ("none", [])


def test_one_setting_that_is_not_reloadable_makes_it_a_restart():
    assert pending(state(config=CONFIG | {"debug": True, "mtu": 1400})) == ("restart", ["mtu changed"])


def container(name="web", policy="always", ports=None, own=None, exposed=(), mode="default") -> dict:
    return {
        "Name": f"/{name}",
        "Config": {"ExposedPorts": {f"{port}/tcp": {} for port in exposed}},
        "HostConfig": {"RestartPolicy": {"Name": policy}, "NetworkMode": mode},
        "NetworkSettings": {
            "Ports": {key: [{"HostIp": "0.0.0.0", "HostPort": str(port)}] for key, port in (ports or {}).items()},
            "Networks": {"net": {"IPAddress": own or ""}},
        },
    }


def service(address, port, ours=True) -> dict:
    return {"Address": address, "Port": port, "Meta": {"registrator-host": "a"} if ours else {}}


def test_an_entry_belongs_to_the_container_that_its_address_leads_to():
    containers = [
        container("published", ports={"80/tcp": 32768}),
        container("inside", own="10.90.0.2", exposed=[8081]),
        container("host", exposed=[9100], mode="host"),
    ]
    services = {
        "p": service("192.0.2.1", 32768),
        "i": service("10.90.0.2", 8081),
        "h": service("192.0.2.1", 9100),
        "stale": service("192.0.2.1", 40000),
        "native": service("192.0.2.1", 32768, ours=False),
    }
    assert owners(services, containers) == {"p": "published", "i": "inside", "h": "host"}


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "no", "on-failure"])
def test_which_containers_return_by_themselves(policy):
    assert returning(container(policy=policy)) is (policy in ("always", "unless-stopped"))


BEFORE = {"containers": {"web"}, "passing": {"web:80", "once:80", "native"}, "owners": {"web:80": "web", "once:80": "once"}}


@pytest.mark.parametrize(
    ("now", "missing"),
    [
        ({"containers": {"web"}, "passing": {"web:80", "native"}, "owners": {"web:80": "web"}}, ""),
        ({"containers": set(), "passing": {"web:80", "native"}, "owners": {}}, "containers that ran before do not run: web"),
        ({"containers": {"web"}, "passing": {"native"}, "owners": {}}, "services that passed before do not pass: web:80"),
        # The entry is still the one of before the restart: its port leads nowhere, or to another container.
        ({"containers": {"web"}, "passing": {"web:80", "native"}, "owners": {}},
         "services that passed before do not pass: web:80"),
        ({"containers": {"web", "x"}, "passing": {"web:80", "native"}, "owners": {"web:80": "x"}},
         "services that passed before do not pass: web:80"),
        ({"containers": {"web"}, "passing": {"web:80"}, "owners": {"web:80": "web"}},
         "services that passed before do not pass: native"),
    ],
)  # fmt: skip
def test_a_host_is_well_when_all_that_returns_by_itself_is_back(now, missing):
    assert not_yet(BEFORE, now) == missing
