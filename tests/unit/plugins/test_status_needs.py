"""What the page says about a host that lacks what a part of the platform needs."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.site_answer import fitted
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.status_needs import certificate_problem, clock_problems
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.status_page import status_page
from test_status_page import BALANCER, DAY, NOW, SITE, host, nodes, problems


def one_problem(**parts) -> str:
    """The only problem of a site whose host b has these parts, as the host itself would send them."""
    (problem,) = problems(b={name: fitted(name, value) for name, value in parts.items()})
    assert problem.startswith("b: ")
    return problem[3:]


def test_w45_a_resolver_that_others_have_changed():
    text = one_problem(resolver={"problems": ["it asks 192.0.2.53, and must ask 127.0.0.1 first"]})
    assert "/etc/resolv.conf is no longer as playbooks/dns.yml left it: it asks 192.0.2.53" in text
    assert problems(b={"resolver": None}) == []


def test_w46_rules_that_are_not_in_force():
    assert "firewall's rules are not in force" in one_problem(firewall={"loaded": False, "unheard": []})
    assert problems(b={"firewall": None}) == []


DOCKERD = {"forwards": True, "lost": [], "waiting": []}


def test_w47_a_host_that_forwards_nothing():
    assert one_problem(dockerd=DOCKERD | {"forwards": False}).startswith("net.ipv4.ip_forward is 0")
    assert problems(b={"dockerd": DOCKERD | {"forwards": None}}) == [] and problems(b={"dockerd": None}) == []


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (100, 104, ""),  # the way there and back took a second each
        (105, 109, ""),
        (107.5, 111.5, "its clock is 7.5 s (±1.0) ahead of the controller's, but discovery_max_clock_skew is 5 s"),
        (93, 97, "its clock is 7.0 s (±1.0) behind"),
        (3700, 3704, "its clock is 3600.0 s (±1.0) ahead of"),
    ],
)
def test_w48_a_clock_that_certainly_differs_by_too_much(begin, end, expected):
    found = clock_problems("b", {"begin": begin, "end": end}, 99, 105, 5)
    assert expected in found[0] if expected else found == []


def test_w48_the_controllers_clock_is_its_own_and_the_bound_the_sites():
    times = {"asked": NOW - 20, "answered": NOW - 18}
    ahead = {"parts": host(clock={"begin": NOW + 581, "end": NOW + 582})} | times
    assert any("b: its clock is 600" in one for one in status_page(nodes() | {"b": ahead}, SITE)["problems"])
    assert status_page(nodes() | {"b": ahead}, SITE | {"max_clock_skew": 700.0})["problems"] == []
    assert status_page(nodes() | {"b": {"parts": host()} | {"asked": "x", "answered": None}}, SITE)["problems"] == []


def test_w48_a_sync_is_as_old_as_the_hosts_own_clock_says():
    """Its clock is an hour ahead: what it synced 50 minutes ago is in the future of the controller."""
    parts = {"balancer": BALANCER | {"time": NOW + 600}, "clock": {"begin": NOW + 3599, "end": NOW + 3600}}
    assert problems(a=parts) == ["a: the balancer has not synced for 50 min"]


def test_w48_a_sync_in_the_future_is_a_problem():
    (problem,) = problems(a={"balancer": BALANCER | {"time": NOW + 600}})
    assert problem.startswith("a: the balancer's last sync is 10 min in the future")
    assert problems(a={"balancer": BALANCER | {"time": NOW + 2}}) == []


@pytest.mark.parametrize(
    ("disk", "expected"),
    [
        ({"docker": {"path": "/srv/docker", "free_mb": 511, "free_inodes": 10**6}}, "511 MB are free under /srv/docker"),
        (
            {"nginx": {"path": "/var/lib/nginx/body", "free_mb": 0, "free_inodes": 10**6}},
            "0 MB are free under /var/lib/nginx/body",
        ),
        ({"log": {"path": "/var/log", "free_mb": 31, "free_inodes": None}}, "31 MB are free under /var/log"),
        ({"consul": {"path": "/var/lib/consul", "free_mb": 9000, "free_inodes": 0}}, "0 inodes are free under /var/lib/consul"),
    ],
)
def test_w49_every_disk_by_bytes_and_inodes(disk, expected):
    assert one_problem(disks=disk).startswith(expected)


def test_w49_small_disks_with_room_are_none():
    small = {"path": "/var/log", "free_mb": 32, "free_inodes": 1000}
    assert problems(b={"disks": {"log": small, "nginx": small | {"free_mb": 64, "free_inodes": None}}}) == []


YEAR, QUARTER, WEEK = 365 * DAY, 90 * DAY, 7 * DAY


@pytest.mark.parametrize(
    ("whole", "left", "expected"),
    [
        (YEAR, 22 * DAY, ""),
        (YEAR, 20.5 * DAY, "ends in 20 d"),
        (QUARTER, 29 * DAY, ""),  # Let's Encrypt's; it is renewed in the day after 30 days are left
        (QUARTER, 20.5 * DAY, "ends in 20 d"),
        (WEEK, 2 * DAY, ""),
        (WEEK, 1 * DAY, "ends in "),
        (YEAR, -3 * DAY, "has ended 3 d ago"),
    ],
)
def test_w50_a_certificate_that_clients_see_is_named_before_it_ends(whole, left, expected):
    found = certificate_problem("/etc/ssl/shop.pem", {"begin": NOW + left - whole, "end": NOW + left}, NOW)
    assert (expected in found and "the certificate /etc/ssl/shop.pem, which clients see" in found) if expected else found == ""


def test_w50_certificates_of_clients_are_on_the_page():
    good, path = {"begin": NOW - DAY, "end": NOW + 80 * DAY}, "/etc/ssl/shop.pem"
    assert one_problem(client_certificates={path: None}) == f"{path} of balancer_certificates is missing or holds no certificate"
    page = status_page(nodes(a={"client_certificates": {path: good, "/x": good | {"end": NOW + 200 * DAY}}}), SITE)
    assert page["problems"] == [] and any(line.endswith("; 2 for clients 80 d left") for line in page["lines"])


def test_w51_a_daemon_json_of_somebody_else():
    lost = one_problem(dockerd=DOCKERD | {"lost": ["hosts", "tlsverify"], "waiting": ["hosts changed"]})
    assert "settings of the site are gone: hosts, tlsverify. Run playbooks/docker.yml" in lost
    assert "has changed since dockerd started (mtu changed)" in one_problem(dockerd=DOCKERD | {"waiting": ["mtu changed"]})


def test_w52_a_file_that_keeps_the_agent_from_its_next_start():
    text = one_problem(configuration={"problem": "failed to parse /etc/consul.d/modem.json: unexpected end of JSON input"})
    assert text.startswith("its agent would not start with /etc/consul.d: failed to parse /etc/consul.d/modem.json")
    assert problems(b={"configuration": None}) == []


def test_w53_members_that_udp_does_not_reach():
    consul = host()["consul"]
    assert "reaches c, a by TCP 8301, but not by UDP 8301, 5 times" in one_problem(consul=consul | {"udp_lost": {"c": 3, "a": 2}})
    assert problems(b={"consul": consul | {"udp_lost": {}}}) == []


def test_w54_a_container_that_dockerd_never_started_is_on_the_page():
    text = one_problem(containers=host()["containers"] | {"failed": ["port"]})
    assert text == "dockerd could not start the container port: run 'docker start port' there"
