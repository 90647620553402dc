"""What the role dockerd refuses before anything changes, and what the message names."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule

FILTERS = FilterModule().filters()
dockerd_problems, dockerd_hardening = FILTERS["dockerd_problems"], FILTERS["dockerd_hardening"]
dockerd_warnings = FILTERS["dockerd_warnings"]
private_proxies, public_proxies = FILTERS["private_proxies"], FILTERS["public_proxies"]
NO_LIMITS = {"no_new_privileges": False, "userland_proxy": True, "default_ulimits": {}}
SWARM = {"state": "inactive", "node": ""}
ALL = ["none", "consul", "swarm"]
RELEASES = {
    11: {"package": "docker.io", "version": "20.10.5+dfsg1-1+deb11u4", "overlays": ALL, "validate": False},
    12: {"package": "docker.io", "version": "20.10.24+dfsg1-1+deb12u1+b6", "overlays": ["none", "swarm"], "validate": False},
    13: {"package": "docker.io", "version": "26.1.5+dfsg1-9+deb13u1", "overlays": ["none", "swarm"], "validate": True},
}
DOCKERD = {
    "installed": True, "binary": "/usr/sbin/dockerd", "unit": True, "swarm": SWARM, "options": "", "dropins": [], "config": {},
    "config_error": "", "written": {}, "containers": 0,
}  # fmt: skip


def found(release=13, dockerd=None, overlay="none", extra=None, **settings):
    extra = extra or {}
    usual = {"overlay": overlay, "extra_config": extra, "config": {"tlsverify": True, **extra}}
    usual |= {"firewall": True, "proxies": {}, "avoided": []}
    return dockerd_problems("h", DOCKERD | RELEASES[release] | (dockerd or {}), usual | NO_LIMITS | settings)


@pytest.mark.parametrize(
    ("release", "overlay"), [(11, "none"), (11, "consul"), (11, "swarm"), (12, "swarm"), (13, "none"), (13, "swarm")]
)
def test_what_works_is_let_through(release, overlay):
    assert found(release, overlay=overlay) == []


MISTAKES = {
    "consul on 12": ((12, {}, "consul"), ["dockerd_overlay is 'consul'", "docker.io 20.10.24", "discovery_overlay: swarm"]),
    "consul on 13": ((13, {}, "consul"), ["docker.io 26.1.5 (installed)", "up to 20.10", "discovery_overlay: none"]),
    "not installed yet": ((13, {"installed": False}, "consul"), ["docker.io 26.1.5 (to be installed)"]),
    "unknown overlay": ((13, {}, "weave"), ["dockerd_overlay is 'weave'", "none, consul, swarm"]),
    "consul in a Swarm": (
        (11, {"swarm": {"state": "active", "node": "n1"}}, "consul"), ["in a Swarm (active, node n1)", "docker swarm leave"],
    ),
    "too old": ((13, {"version": "18.09.1", "overlays": ["none"]}, "none"), ["18.09.1", "20.10 or newer"]),
    "no unit": ((13, {"unit": False}, "none"), ["/usr/sbin/dockerd", "no docker.service"]),
    "DOCKER_OPTS": ((13, {"options": "--mtu 1400"}, "none"), ["DOCKER_OPTS (--mtu 1400)", "would be lost"]),
    "later drop-in": (
        (13, {"dropins": [{"path": "/etc/x/override.conf", "wins": True}]}, "none"), ["/etc/x/override.conf", "would win"],
    ),
    "earlier drop-in": (
        (13, {"dropins": [{"path": "/etc/x/00.conf", "wins": False}]}, "none"), ["/etc/x/00.conf", "would be lost"],
    ),
    "broken file": ((13, {"config": None, "config_error": "line 3"}, "none"), ["daemon.json of h", "line 3", "repair it"]),
    "live-restore of theirs, swarm": (
        (13, {"config": {"live-restore": True}}, "swarm"), ["/etc/docker/daemon.json sets live-restore", "docker.io 26.1.5"],
    ),
    "live-restore of theirs, consul": ((11, {"config": {"live-restore": True}}, "consul"), ["live-restore", "docker.io 20.10.5"]),
    "store of theirs": (
        (11, {"config": {"cluster-store": "consul://x"}}, "swarm"), ["sets cluster-store", "discovery_overlay: consul"],
    ),
    "data elsewhere": (
        (13, {"containers": 3, "config": {"data-root": "/srv"}}, "none", {"data-root": "/var/x"}),
        ["dockerd_data_root is /var/x", "3 containers in /srv"],
    ),
    "key of theirs": (
        (11, {"config": {"proxies": {}}}, "none"), ["daemon.json on h: proxies is no setting", "docker.io 20.10.5"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_cannot_work_is_named(mistake):
    arguments, words = MISTAKES[mistake]
    (message,) = found(*arguments)
    assert [word for word in ["h", *words] if word not in message] == [], message


@pytest.mark.parametrize(("release", "overlay"), [(13, "swarm"), (11, "consul"), (11, "swarm")])
def test_live_restore_of_ours_is_refused_with_either_overlay(release, overlay):
    (message,) = found(release, overlay=overlay, extra={"live-restore": True})
    assert "dockerd_extra_config sets live-restore on h" in message


def test_live_restore_that_we_take_out_is_no_problem():
    there = {"config": {"live-restore": True}}
    assert found(13, there | {"written": {"live-restore": True}}, "swarm") == []
    assert found(13, there, "swarm", extra={"live-restore": False}) == []
    assert found(13, there, "none") == []


def test_a_wrong_setting_of_ours_is_found_before_20_10_meets_it():
    (message,) = found(12, extra={"log-levle": "info"})
    assert "dockerd_extra_config on h: log-levle is no setting of Docker 20.10" in message


def test_a_broken_file_that_is_on_record_is_no_problem():
    assert found(13, {"config": None, "config_error": "line 3", "written": {"tlsverify": True}}) == []


def test_data_stays_where_the_host_says():
    there = {"containers": 3, "config": {"data-root": "/srv/docker"}}
    assert found(13, there) == []


def test_w36_a_site_that_chooses_nothing_keeps_its_daemon_json():
    assert dockerd_hardening(NO_LIMITS) == {}


def test_w36_each_limit_of_containers_is_chosen_for_itself():
    assert dockerd_hardening(NO_LIMITS | {"no_new_privileges": True}) == {"no-new-privileges": True}
    assert dockerd_hardening(NO_LIMITS | {"userland_proxy": False}) == {"userland-proxy": False}
    limits = dockerd_hardening(NO_LIMITS | {"default_ulimits": {"nofile": "1024:524288", "core": 0, "memlock": "-1"}})
    assert limits == {
        "default-ulimits": {
            "nofile": {"Name": "nofile", "Soft": 1024, "Hard": 524288},
            "core": {"Name": "core", "Soft": 0, "Hard": 0},
            "memlock": {"Name": "memlock", "Soft": -1, "Hard": -1},
        }
    }


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"nofiles": 1024}, "nofiles: 1024 on h: dockerd knows core, cpu,"),
        ({"nofile": "many"}, "nofile: many on h: set it to soft:hard, such as 1024:524288"),
        ({"nofile": {"soft": 1}}, "set it to soft:hard"),
        ({"nofile": "4096:1024"}, "nofile: 4096:1024 on h: the soft limit is above the hard one"),
        ({"core": "-1:0"}, "core: -1:0 on h: the soft limit is above the hard one"),
        ({"nofile": "1024:-1"}, "nofile: 1024:-1 on h: the kernel has no unlimited number of open files"),
    ],
)
def test_w36_a_limit_with_which_no_container_would_start_is_refused(limits, words):
    (message,) = found(default_ulimits=limits)
    assert message.startswith("dockerd_default_ulimits has ") and words in message
    assert found(default_ulimits={"nofile": "1024:524288", "core": "0:-1", "nproc": 4096}) == []


def test_w36_without_docker_proxy_the_firewall_keeps_containers_from_loopback():
    (message,) = found(userland_proxy=False, firewall=False)
    words = ("dockerd_userland_proxy is false on h", "127.0.0.1", "discovery_firewall: true")
    assert [word for word in words if word not in message] == []
    assert found(userland_proxy=False) == found(firewall=False) == []


def test_a_proxy_with_a_password_is_not_in_what_everybody_reads():
    proxies = {"http-proxy": "http://192.0.2.1:3128", "https-proxy": "user:pw@192.0.2.1:3128", "no-proxy": "192.0.2.0/24"}
    assert public_proxies(proxies) == {"HTTP_PROXY": "http://192.0.2.1:3128", "NO_PROXY": "192.0.2.0/24"}
    assert private_proxies(proxies) == {"HTTPS_PROXY": "user:pw@192.0.2.1:3128"}


@pytest.mark.parametrize(
    ("proxies", "words"),
    [
        ({"http_proxy": "x"}, "has http_proxy on h: its keys are http-proxy, https-proxy, no-proxy"),
        ({"http-proxy": "http://user:s3cr\"t@p"}, "has a http-proxy on h that is no text, or has a quote"),
        ({"https-proxy": "http://s3cr t@p"}, "percent-encode"),
        ({"https-proxy": "http://s3crt@p\nX=y"}, "percent-encode"),
        ({"no-proxy": ["s3cr"]}, "has a no-proxy on h that is no text"),
    ],
)
def test_a_malformed_proxy_is_named_without_its_value(proxies, words):
    (message,) = found(proxies=proxies)
    assert words in message and "s3cr" not in message
    assert found(proxies={"http-proxy": "http://user:a%20b@p:1", "no-proxy": "a, b"}) == []


ADDRESSES = {"h": "192.0.2.9", "other": "192.0.2.8"}


def card(name: str, mtu: int) -> dict:
    """The facts of a host."""
    return {"eth0": {"device": "eth0", "mtu": mtu, "ipv4": {"address": ADDRESSES[name]}}, "interfaces": ["eth0"]}


def warnings(dockerd: dict, own: int = 1500, other: int = 1500, **settings) -> list[str]:
    """Of a host beside another one, whose networks carry packets of so many bytes."""
    there = {"bridges": [], "swarm": {"state": "inactive"}, "config": {}} | dockerd
    facts = {"h": card("h", own), "other": card("other", other)}
    chosen = {"overlay": "none", "avoided": [], "addresses": ADDRESSES, "facts": facts}
    return dockerd_warnings("h", there, chosen | settings)


@pytest.mark.parametrize("dockerd", [{}, {"config": None}])
def test_w66_packets_that_the_network_of_one_host_does_not_carry_are_named(dockerd):
    (warning,) = warnings(dockerd, own=1400)
    words = ["the network of h carries packets of 1400 bytes, that of other 1500", "ask for 1500", "driver_opts"]
    assert [word for word in [*words, "dockerd_extra_config: {mtu: 1400} for h"] if word not in warning] == []
    secondary = {"eth0": {"device": "eth0", "mtu": 1400, "ipv4": {}, "ipv4_secondaries": [{"address": ADDRESSES["h"]}]}}
    assert warnings(dockerd, facts={"h": secondary, "other": card("other", 1500)}) == [warning]


LIES = [
    {"mtu": "x"}, {"mtu": True}, {"mtu": 10**9}, {"mtu": -1}, {"ipv4": 7}, {"ipv4": {}, "ipv4_secondaries": [7]},
    {"ipv4": None, "ipv4_secondaries": 7},
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_w66_a_host_that_lies_changes_no_warning_of_others(lie):
    liar = card("other", 1500)
    liar["eth0"] |= lie
    for facts in (liar, {"eth0": 7}, "x", None):
        assert warnings({}, facts={"h": card("h", 1400), "other": facts}) == []


@pytest.mark.parametrize(
    ("own", "other", "settings"),
    [
        (1500, 1400, {}),
        (1400, 1400, {}),
        (9000, 9000, {}),
        (1500, 9000, {}),
        (1400, 1500, {"facts": {"h": card("h", 1400), "other": {}}}),
        (1400, 1500, {"facts": {"h": {}, "other": {}}}),
        (1400, 1500, {"addresses": {}}),
    ],
)
def test_w66_packets_that_fit_are_no_warning(own, other, settings):
    assert warnings({}, own, other, **settings) == []
    assert warnings({"config": {"mtu": 1400}}, own=1400) == []


@pytest.mark.parametrize("state", ["active", "pending", "error", "locked"])
def test_w57_a_swarm_that_the_site_does_not_use_is_named_with_the_way(state):
    there = {"swarm": {"state": state, "node": "n1"}}
    (warning,) = warnings(there)
    words = ["h is in a swarm", state, "live-restore", "docker swarm leave --force", "discovery_overlay: swarm"]
    assert [word for word in words if word not in warning] == []
    assert warnings(there, overlay="swarm") == []
    assert found(13, there) == [], "somebody may use it beside the site"


@pytest.mark.parametrize("state", ["inactive", "unknown"])
def test_w57_no_swarm_is_no_warning(state):
    there = {"swarm": {"state": state, "node": ""}}
    assert warnings(there) == []
    assert found(13, there, extra={"live-restore": True}) == []


def test_w57_live_restore_is_refused_on_a_host_that_is_still_in_a_swarm():
    there = {"swarm": {"state": "active", "node": "n1"}}
    (problem,) = found(13, there, extra={"live-restore": True})
    assert [word for word in ["dockerd_extra_config", " h", "docker swarm leave --force"] if word not in problem] == []
    (problem,) = found(13, there | {"config": {"live-restore": True}})
    assert problem.startswith("/etc/docker/daemon.json sets live-restore on h")


@pytest.mark.parametrize(
    ("there", "extra", "named"),
    [
        ({"storage_driver": "overlay2"}, {"storage-driver": "btrfs"}, ["'btrfs'", "3 containers with 'overlay2'"]),
        ({}, {"userns-remap": "default"}, ["userns-remap to 'default'", "3 containers with ''"]),
        ({"config": {"userns-remap": "a"}}, {"userns-remap": "b"}, ["userns-remap to 'b'", "3 containers with 'a'"]),
    ],
)
def test_a_setting_that_hides_the_containers_of_a_host_is_refused(there, extra, named):
    """dockerd has a directory of its own for each storage driver, and for each user of userns-remap."""
    (problem,) = found(dockerd={"containers": 3} | there, extra=extra)
    assert [part for part in ["dockerd_extra_config sets", "keep that", *named] if part not in problem] == [], problem
    assert found(dockerd=there, extra=extra) == [], "no container is hidden"


@pytest.mark.parametrize(
    ("there", "extra"),
    [
        ({"storage_driver": "overlay2"}, {"storage-driver": "overlay2"}),
        ({"storage_driver": "overlay2"}, {}),
        ({"config": {"userns-remap": "a"}}, {"userns-remap": "a"}),
        ({"config": {}, "written": {"userns-remap": "a"}}, {"userns-remap": "a"}),
        ({"config": {"userns-remap": "a", "storage-driver": "zfs"}, "storage_driver": "zfs"}, {}),
    ],
)
def test_the_present_storage_of_a_host_may_be_named(there, extra):
    assert found(dockerd={"containers": 3} | there, extra=extra) == []
