"""The page about a site: a golden one, and what each thing that is wrong adds to it."""

import copy

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.site_answer import PARTS, fitted, parts_of
from ansible_collections.fewnodes.discovery.plugins.modules.site_facts import ring, tried
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.status_page import age, status_page
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = 1_790_000_000
HOUR, DAY = 3600, 86400
NAMES = ["a", "b", "c"]
ADDRESSES = {"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3"}
CLUSTER = {
    "members": {name: {"state": "alive", "address": ADDRESSES[name], "server": True} for name in NAMES},
    "healthy": True,
    "tolerance": 1,
    "servers": {name: {"healthy": True, "voter": True} for name in NAMES},
    "rings": [{"members": 3, "have": [3], "use": [3]}],
    "services": 2,
    "nodes": NAMES,
    "unhealthy": 0,
    "checks": [],
}
CERTIFICATE = {"written": NOW - 10 * DAY, "end": NOW + 700 * DAY}
AUTHORITY = {"written": NOW - 10 * DAY, "end": NOW + 3600 * DAY}
SITE = {
    "datacenter": "dc1",
    "now": NOW,
    "hosts": NAMES,
    "servers": NAMES,
    "docker_hosts": NAMES,
    "balancers": ["a"],
    "secrets_dir": "/s",
    "backup_dir": "/b",
    "files": {
        "/s/management_token": NOW - 40 * DAY,
        "/s/gossip_key": NOW - 40 * DAY,
        "/s/ca.key": NOW - 40 * DAY,
        "/s/tokens/agent-a": NOW - 40 * DAY,
        "/s/tokens/dns-a": NOW - 3 * DAY,
        "/b/dc1-x.snap": NOW - 5 * HOUR,
        "/b/.gitignore": NOW,
    },
}


SERVICES = {"unknown": [], "differing": [], "missing": [], "lost": [], "settings": True}


CONTAINERS = {"running": 2, "registrator": True, "watch": {"restarts": 0, "last": 0, "problem": ""}}


def host(**changes):
    return {
        "consul": {"unit": "active", "installed": "1.22.7", "running": "1.22.7", "leader": "192.0.2.2:8300"},
        "cluster": copy.deepcopy(CLUSTER),
        "certificates": {f"host {kind}": CERTIFICATE for kind in ("Consul", "docker")}
        | {f"ca {kind}": AUTHORITY for kind in ("Consul", "docker")},
        "backups": {"timer": "active", "result": "success", "count": 14, "newest": NOW - 9 * HOUR},
        "balancer": None,
        "services": SERVICES,
        "containers": CONTAINERS,
        "templates": {},
        "configuration": {"problem": ""},
        "resolver": {"problems": []},
        "firewall": {"loaded": True, "unheard": []},
        "disks": {"consul": {"path": "/var/lib/consul", "free_mb": 9000, "free_inodes": 10**6}},
        "client_certificates": {},
        "dockerd": {"forwards": True, "lost": [], "waiting": []},
        "floating_addresses": None,
        "clock": {"begin": NOW - 1, "end": NOW},
    } | changes


BALANCER = {
    "balancer": "nginx", "generation": 7, "state": "ok", "reason": "", "skipped": [{"name": "x-99", "reason": "no port"}],
    "time": NOW - 4,
}  # fmt: skip
TEMPLATE = {"state": "active", "done": True}


def nodes(**changes):
    """Three hosts; a change is the parts of one host that differ, or a whole result with `msg`."""
    found = {name: {"parts": host()} for name in NAMES}
    found["a"]["parts"]["balancer"] = BALANCER
    for name, change in changes.items():
        if "msg" in change or not change:
            found[name] = change
        else:
            found[name]["parts"].update(change)
    return found


def problems(site=None, **changes):
    return status_page(nodes(**changes), SITE | (site or {}))["problems"]


GOLDEN = """\
dc1 at 2026-09-21 14:13:20 UTC: nothing wrong

leader       b (192.0.2.2:8300); 3 voters, 1 may fail
agents       host            kind    unit      member   installed  running
             a               server  active    alive    1.22.7     1.22.7
             b               server  active    alive    1.22.7     1.22.7
             c               server  active    alive    1.22.7     1.22.7
gossip       1 key; used by 3 of 3 members
certificates a               Consul 700 d left, 10 d old; docker 700 d left, 10 d old
             b               Consul 700 d left, 10 d old; docker 700 d left, 10 d old
             c               Consul 700 d left, 10 d old; docker 700 d left, 10 d old
             CAs             Consul 3600 d left; docker 3600 d left
secrets      age             management token 40 d, gossip key 40 d, 2 tokens 3 d to 40 d (oldest: agent-a)
backups      a               9 h ago, 14 kept
             b               9 h ago, 14 kept
             c               9 h ago, 14 kept
             controller      5 h ago, 1 kept
balancers    a               nginx, generation 7, ok, checked 4 s before
                             skipped: x-99: no port
services     2 names, 0 unhealthy checks
             the catalog is compared with what each host itself reports, which root there can forge"""


def test_golden_page():
    page = status_page(nodes(), SITE)
    assert "\n".join(page["lines"]) == GOLDEN
    assert page["problems"] == []
    assert len(page["lines"]) <= 40


def test_an_even_number_of_servers_is_no_problem_but_a_warning():
    """The site has asked for it by name: monitoring does not report it each day."""
    page = status_page(nodes(), SITE | {"servers": ["a", "b"]})
    (line,) = [line for line in page["lines"] if "warning: " in line]
    assert "2 Consul servers (a, b) survive no more failures than 1" in line
    assert not any("survive" in problem for problem in page["problems"])


def test_w19_a_raw_protocol_without_a_rule_is_named():
    unheard = [{"protocol": 112, "program": "keepalived"}, {"protocol": 47, "program": "gre1"}]
    page = status_page(nodes(c={"firewall": {"loaded": True, "unheard": unheard}}), SITE)
    assert len(page["problems"]) == 2
    assert "set firewall_allow_rules, such as {vrrp: {protocols: [vrrp], from: [site]}}" in page["problems"][0]
    assert page["problems"][1].startswith("c: gre1 waits for the IP protocol gre, ")


def test_templates_have_a_row_where_there_are_any():
    page = status_page(nodes(c={"templates": {"shop": TEMPLATE, "motd": TEMPLATE}}), SITE)
    assert "templates    c               shop, motd" in page["lines"]
    assert page["problems"] == []


SHARED = {"a": "192.0.2.1", "b": "192.0.2.2"}
FLOATING = {
    "unit": "active", "check": "active", "priority": 0, "drained": False, "held": ["192.0.2.100"], "balancers": SHARED,
}  # fmt: skip
FLOATING_SITE = {"balancers": ["a", "b"], "balancer_addresses": SHARED, "floating_addresses": ["192.0.2.100"]}


def floating(a=None, b=None):
    """The page of a site with a floating address; changes of what its two load balancers report."""
    changes = {"a": FLOATING | (a or {}), "b": FLOATING | {"held": []} | (b or {})}
    found = nodes(**{name: {"balancer": BALANCER, "floating_addresses": part} for name, part in changes.items()})
    return status_page(found, SITE | FLOATING_SITE)


def test_v6_the_holder_of_a_floating_address_has_a_row():
    page = floating()
    assert "addresses    192.0.2.100     a" in page["lines"]
    assert page["problems"] == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"b": {"held": ["192.0.2.100"]}}, "192.0.2.100 is held by a and b at the same time: VRRP (IP protocol 112)"),
        ({"a": {"held": []}}, "nobody holds the floating address 192.0.2.100, as far as a, b report"),
        ({"b": {"unit": "failed"}}, "b: discovery-floating-address is failed"),
        ({"b": {"check": "activating"}}, "b: discovery-floating-address-check is activating"),
        ({"b": {"balancers": {"b": "192.0.2.2"}}}, "b: it shares the floating addresses with b (192.0.2.2), but the load"),
        ({"b": {"balancers": {}}}, "b: it shares the floating addresses with nobody, but the load balancers are a (192.0.2.1)"),
        ({"b": {"priority": -254}}, "b: its load balancer does not answer"),
    ],
)
def test_v6_what_is_wrong_with_floating_addresses(changes, expected):
    (problem,) = floating(**changes)["problems"]
    assert problem.startswith(expected)


def test_a_floating_address_is_found_in_whatever_form_it_is_written():
    part = FLOATING | {"held": ["fd00::100"]}
    found = nodes(a={"balancer": BALANCER, "floating_addresses": part}, b={"balancer": BALANCER, "floating_addresses": FLOATING})
    page = status_page(found, SITE | FLOATING_SITE | {"floating_addresses": ["FD00:0::0100"]})
    assert page["problems"] == [] and "addresses    fd00::100       a" in page["lines"]


def test_w68_a_load_balancer_without_a_place_for_a_client_is_named():
    (problem,) = problems(a={"balancer": BALANCER | {"turned_away": 7}})
    assert problem.startswith("a: nginx has closed 7 connections of clients in 70 s") and "nginx_worker_connections" in problem
    assert problems(a={"balancer": BALANCER | {"turned_away": 0}}) == []


def test_a_drained_load_balancer_is_no_problem():
    page = floating(b={"priority": -254, "drained": True})
    assert page["problems"] == [] and any("b is drained and holds none" in line for line in page["lines"])


def test_a_load_balancer_without_the_part_is_named():
    found = nodes(a={"balancer": BALANCER, "floating_addresses": FLOATING}, b={"balancer": BALANCER})
    (problem,) = status_page(found, SITE | FLOATING_SITE)["problems"]
    assert problem == "b: it has no part in the floating addresses: run playbooks/load_balancer.yml"


MEMBERS, SERVERS = CLUSTER["members"], CLUSTER["servers"]
ILL = {"healthy": False, "voter": False}
FAILED = {"state": "failed", "address": "192.0.2.3", "server": True}
UNKNOWN = {"state": "alive", "address": "192.0.2.4", "server": True}
CRITICAL = {"node": "b", "service": "web", "check": "health", "status": "critical"}
FAILED_BACKUP = {"timer": "active", "result": "exit-code", "count": 0, "newest": 0}
ELSEWHERE = {"unit": "active", "installed": "1.22.7", "running": "1.22.7", "leader": ""}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"c": {"msg": "Failed to connect to the host via ssh"}}, "c does not answer: Failed to connect"),
        ({"c": {"consul": {"unit": "failed", "installed": "1.22.7", "running": "", "leader": ""}}}, "c: consul is failed"),
        ({"c": {"consul": ELSEWHERE}}, "c names no leader, others 192.0.2.2:8300"),
        ({"c": {"consul": ELSEWHERE | {"problem": "403 denied"}}}, "c: consul: 403 denied"),
        ({"a": {"consul": host()["consul"] | {"running": "1.22.6"}}}, "a: Consul 1.22.6 runs, 1.22.7 is installed"),
        ({"a": {"consul": host()["consul"] | {"running": "1.22.6"}}}, "different versions: 1.22.6, 1.22.7"),
        ({"b": {"certificates": {"host Consul": CERTIFICATE | {"end": NOW + DAY}}}}, "b: the certificate of Consul ends in 1 d"),
        ({"b": {"certificates": {"ca docker": {"written": 0, "end": NOW + DAY}}}}, "the CA of docker ends in 1 d"),
        ({"b": {"backups": FAILED_BACKUP}}, "b: the last backup failed"),
        ({"a": {"balancer": BALANCER | {"state": "failed", "reason": "no catalog"}}}, "a: balancer failed: no catalog"),
        ({"c": {"templates": {"shop": TEMPLATE | {"state": "activating, exit-code"}}}}, "c: the template shop is activating"),
        ({"c": {"templates": {"shop": TEMPLATE | {"done": False}}}}, "c: the template shop waits for a key"),
        (
            {"c": {"firewall": {"loaded": True, "unheard": [{"protocol": 112, "program": "keepalived"}]}}},
            "c: keepalived waits for the IP protocol vrrp, which no rule",
        ),
        (
            {"c": {"firewall": {"loaded": True, "unheard": [{"protocol": 103, "program": ""}]}}},
            "such as {ip_103: {protocols: [103], from: [site",
        ),
        ({"a": {"balancer": BALANCER | {"time": NOW - 300}}}, "not synced for 5 min"),
        ({"a": {"balancer": None}}, "a: the balancer has no status"),
        ({"a": {"containers": {"error": "no answer within 10 s: docker ps"}}}, "a: containers: no answer within 10 s"),
        ({"a": {"containers": CONTAINERS | {"registrator": False}}}, "a: registrator does not run"),
        ({"a": {"containers": None}}, "a: registrator does not run"),
        ({"b": {"services": SERVICES | {"missing": ["web (a:web:80) at port 1"]}}}, "b: not in the catalog: web (a:web:80)"),
        (
            {"b": {"services": SERVICES | {"unknown": ["x (x) at 192.0.2.66:1"]}}},
            "stands for this entry of the catalog: x (x)",
        ),
        ({"b": {"services": SERVICES | {"differing": ["x (x) at a:1, not x (x) at a:2"]}}}, "b: the catalog has another entry"),
    ],
)
def test_what_is_wrong_comes_first(changes, expected):
    page = status_page(nodes(**changes), SITE)
    assert any(expected in problem for problem in page["problems"]), page["problems"]
    assert page["lines"][1].startswith("  ! ")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rings": [{"members": 3, "have": [2, 3], "use": [1, 2]}]}, "gossip: 2 keys, on 2/3 of 3 members"),
        ({"healthy": False, "servers": SERVERS | {"c": ILL}}, "autopilot: c not healthy"),
        ({"servers": {"a": {"healthy": True, "voter": True}}}, "1 servers vote, the inventory has 3"),
        ({"members": MEMBERS | {"c": FAILED}}, "c is failed"),
        ({"members": MEMBERS | {"d": UNKNOWN}}, "d is a member, but"),
        ({"unhealthy": 1, "checks": [CRITICAL]}, "b: web: check 'health' is critical"),
        ({"unhealthy": 900, "checks": [CRITICAL]}, "899 more checks are unhealthy"),
    ],
)
def test_what_is_wrong_with_the_cluster(change, expected):
    found = problems(**{name: {"cluster": CLUSTER | change} for name in NAMES})
    assert any(expected in problem for problem in found), found


def test_a_dead_consul_is_shown_as_such():
    dead = {"unit": "inactive", "installed": "1.22.7", "running": "", "leader": "", "problem": "connection refused"}
    parts = {"consul": dead, "cluster": {"error": "connection refused"}, "services": {"error": "connection refused"}}
    page = status_page(nodes(a=parts, b=parts, c=parts), SITE)
    assert page["problems"][0].startswith("Consul has no leader")
    assert any(problem.startswith("a: consul is inactive") for problem in page["problems"])
    assert len(page["lines"]) <= 40


def test_services_that_the_site_knows_of_are_no_problem():
    unknown = {"services": SERVICES | {"unknown": ["nomad (x) at 192.0.2.1:4646", "nomads (y) at port 1"]}}
    (problem,) = problems(site={"other_services": ["nomad"]}, b=unknown)
    assert "nomads (y)" in problem


def test_w27_a_service_that_a_container_asks_for_in_vain_is_a_problem_of_its_host():
    lost = SERVICES | {"lost": ["web: ports: it has no port"]}
    (problem,) = problems(b={"services": lost})
    assert problem == "b: a service that a container asks for is not registered: web: ports: it has no port"


def test_l6_a_registrator_that_hung_is_on_the_page():
    hung = {"restarts": 2, "last": NOW - 3 * HOUR, "problem": ""}
    page = status_page(nodes(b={"containers": CONTAINERS | {"watch": hung}}), SITE)
    assert page["problems"] == []
    assert page["lines"][-1].strip() == "b: registrator hung and was restarted: 2 since boot, last 3 h ago"
    given_up = CONTAINERS | {"watch": hung | {"problem": "it hangs, and is not restarted"}}
    assert problems(b={"containers": given_up}, c={"containers": CONTAINERS | {"watch": None}}) == [
        "b: registrator: it hangs, and is not restarted"
    ]


def test_a_difference_is_one_under_any_name():
    """A name of another program in the catalog does not hide that the entry is a container's."""
    differing = {"services": SERVICES | {"differing": ["nomad (b:web:80) at port 1, not web (b:web:80) at port 1"]}}
    assert len(problems(site={"other_services": ["nomad"]}, b=differing)) == 1


def test_what_was_not_compared_is_on_the_page():
    away = {"services": {"error": "no answer"}}
    page = status_page(nodes(a={"msg": "no route"}, b=away, c={"services": SERVICES | {"settings": False}}), SITE)
    rows = [line.strip() for line in page["lines"]]
    assert "not compared with the catalog: a, b" in rows
    assert "without tags and meta of containers, which another registrator registers: c" in rows


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([], "it is a list, not an object"),
        ({"parts": 7}, "parts is a number, not an object"),
        ({"msg": {"a": 1}}, "parts is null, not an object"),
        ({"parts": {}}, "consul is missing"),
        ({"parts": host(services=[])}, "services is a list, not an object"),
        ({"parts": host(consul={"unit": "active"})}, "consul.installed is missing"),
        ({"parts": host(consul=host()["consul"] | {"leader": 7})}, "consul.leader is a number, not a text"),
        ({"parts": host(balancer=BALANCER | {"time": float("nan")})}, "balancer.time is beyond"),
        ({"parts": host(backups=host()["backups"] | {"count": True})}, "backups.count is true or false, not a whole number"),
        ({"parts": host(services=SERVICES | {"missing": ["x"] * 51})}, "services.missing has more than 50 items"),
        ({"parts": host(services=SERVICES | {"missing": ["x" * 601]})}, "services.missing[0] is longer than 600 characters"),
        ({"parts": host(containers={"error": "x" * 301})}, "containers.error is longer than 300 characters"),
    ],
)
def test_an_answer_that_is_not_used_is_said_in_the_hosts_own_row(answer, expected):
    site = SITE | {"balancers": NAMES}
    page = status_page({name: {"parts": host(balancer=BALANCER)} for name in NAMES} | {"b": answer}, site)
    (problem,) = page["problems"]
    assert problem.startswith(f"b: its answer is not used, because {expected}")
    row = next(line for line in page["lines"] if line.strip().startswith("b  ") and "its answer" in line)
    assert row.strip().startswith("b               server  ?         alive    its answer is not used, because ")


def of_others(page, name):
    """What the page has of the hosts that did not change, and of nobody in particular but the inventory."""
    others = tuple(other for other in NAMES if other != name)
    own = tuple(f"{other}{end}" for other in others for end in (" ", ":"))
    rows = [line[TITLE:] for line in page["lines"] if line[TITLE:].startswith(own)]
    return rows, [problem for problem in page["problems"] if problem.startswith(own)]


TITLE = 13
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**301) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def paths(value, before=()):
    """Where something is in a value of JSON."""
    yield before
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*before, key))


@st.composite
def answers(draw):
    """Any value of JSON, or a good answer with one place of it replaced, removed, or much too large."""
    if draw(st.booleans()):
        return draw(JSON)
    answer = copy.deepcopy({"parts": host(balancer=BALANCER)})
    for _unused in range(draw(st.integers(1, 3))):
        if not answer:
            break
        where = draw(st.sampled_from([path for path in paths(answer) if path]))
        inner = answer
        for key in where[:-1]:
            inner = inner[key]
        kind = draw(st.sampled_from(["replaced", "removed", "text", "list", "dict", "word"]))
        if kind == "removed":
            del inner[where[-1]]
        else:
            inner[where[-1]] = {
                "replaced": draw(JSON), "text": "x" * 100_000, "list": [{}] * 3000, "dict": {str(n): n for n in range(3000)},
                "word": draw(st.sampled_from(["a", "failed", "192.0.2.3:8300", "\x1b[2J", "\ud800", "active", ""])),
            }[kind]  # fmt: skip
    return answer


@settings(max_examples=200)
@given(name=st.sampled_from(NAMES), answer=answers())
def test_no_answer_of_a_host_raises_or_changes_a_row_of_another(name, answer):
    """Also one that is good by its form, but a lie."""
    site = SITE | {"balancers": NAMES}
    good = {other: {"parts": host(balancer=BALANCER)} for other in NAMES}
    page = status_page(good | {name: answer}, site)
    assert of_others(page, name) == of_others(status_page(good, site), name)
    assert all(line.isprintable() and len(line) < 2000 for line in page["lines"]) and len(page["lines"]) < 1500
    assert all(problem.isprintable() for problem in page["problems"])


@given(value=JSON, name=st.sampled_from(sorted(PARTS)))
def test_what_a_host_reports_is_what_the_controller_takes(value, name):
    """Whatever a probe finds."""
    assert parts_of({"parts": host(cluster=CLUSTER) | {name: fitted(name, value)}}, cluster=True)


def test_what_is_too_long_is_cut_by_the_host():
    long = {"unknown": ["x" * 1000] * 60, "differing": [], "missing": [], "lost": [], "settings": True, "more": 1}
    found = fitted("services", long)
    assert len(found["unknown"]) == 50 and found["unknown"][0] == "x" * 597 + "..." and found["unknown"][-1] == "and 11 more"
    skipped = fitted("balancer", BALANCER | {"skipped": [{"name": "x", "reason": "y"}] * 101})["skipped"]
    assert skipped[-1] == {"name": "and 2 more", "reason": "see discovery-balancer status"}
    assert fitted("balancer", None) is None and set(fitted("balancer", [])) == {"error"}


def test_a_lie_about_the_cluster_is_outvoted():
    lie = {"members": MEMBERS | {"b": MEMBERS["b"] | {"state": "failed"}, "ghost": UNKNOWN}, "nodes": ["ghost"], "healthy": False}
    assert problems(a={"cluster": CLUSTER | lie}) == ["a sees b as failed, most servers as alive"]
    elsewhere = {"consul": host()["consul"] | {"leader": "192.0.2.9:8300"}}
    assert problems(a=elsewhere) == ["a names 192.0.2.9:8300, others 192.0.2.2:8300"]


def test_a_node_that_is_no_member_is_a_problem():
    assert problems(**{name: {"cluster": CLUSTER | {"nodes": [*NAMES, "ghost"]}} for name in NAMES}) == [
        "ghost is a node in the catalog, but no member of the cluster"
    ]


def test_nobody_answers():
    page = status_page({name: {"msg": "no route to host"} for name in NAMES}, SITE | {"files": {}})
    assert len([problem for problem in page["problems"] if "no route to host" in problem]) == 3
    assert any("the controller has no management_token" in problem for problem in page["problems"])


def test_x6_a_rotation_that_is_due_is_reported():
    page = status_page({name: {"parts": host()} for name in NAMES}, SITE | {"files": SITE["files"] | {"/s/rotation_due": NOW}})
    assert [problem for problem in page["problems"] if "is not rotated" in problem and "/s/rotation_due" in problem]


def test_a_host_that_was_not_asked_is_not_on_the_page():
    page = status_page(nodes(c={}), SITE)
    assert page["problems"] == []
    assert not any(line.strip().startswith("c  ") for line in page["lines"])


def test_a_name_cannot_act_on_a_terminal():
    page = status_page(nodes(a={"balancer": BALANCER | {"skipped": [{"name": "x\x1b[2J", "reason": "bad\nname"}]}}), SITE)
    assert all(line.isprintable() for line in page["lines"])


def test_ages():
    assert [age(s) for s in (-5, 59, 7000, 2 * HOUR, 47 * HOUR, 3 * DAY)] == ["0 min", "0 min", "116 min", "2 h", "47 h", "3 d"]


def test_a_ring_is_told_without_its_keys():
    inspected = {"NumNodes": 3, "Keys": {"k1": 3, "k2": 1}, "PrimaryKeys": {"k1": 3}}
    assert ring(inspected) == {"members": 3, "have": [1, 3], "use": [3]}


def test_a_probe_never_raises():
    assert tried(lambda: 1 / 0) == {"error": "ZeroDivisionError: division by zero"}


def test_w37_an_agent_that_has_left_is_named_with_the_way_back():
    """`consul leave` ends with 0, so systemd leaves it dead: somebody wanted it to leave."""
    gone = {"unit": "inactive", "installed": "1.22.7", "running": "", "leader": "", "problem": "connection refused"}
    cluster = CLUSTER | {"members": MEMBERS | {"c": MEMBERS["c"] | {"state": "left"}}}
    found = problems(
        a={"cluster": cluster}, b={"cluster": cluster}, c={"consul": gone, "cluster": {"error": "connection refused"}}
    )
    assert "c: consul is inactive, stopped or after 'consul leave': site.yml starts it again" in found
    assert "c is left for the others" in found


def test_w38_an_agent_whose_reports_are_refused_is_named():
    line = 'agent.anti_entropy: failed to sync remote state: error="ACL not found"'
    (problem,) = problems(b={"consul": host()["consul"] | {"blocked": ["agent: Coordinate update error", line]}})
    assert problem.startswith(f"b: the cluster refuses what its agent reports: {line}.") and "systemctl restart consul" in problem
    assert problems(b={"consul": host()["consul"] | {"blocked": []}}) == []


def consul_disk(free_mb, free_inodes=10**6):
    return {"disks": {"consul": {"path": "/var/lib/consul", "free_mb": free_mb, "free_inodes": free_inodes}}}


def test_w43_a_disk_that_is_full_or_nearly_is_named():
    (problem,) = problems(b=consul_disk(0))
    assert problem.startswith("b: 0 MB are free under /var/lib/consul")
    assert "b: 511 MB are free" in problems(b=consul_disk(511))[0]
    assert problems(b=consul_disk(512)) == []


def test_containers_that_dockerd_could_not_start_are_named():
    """As after a restart of containerd together with dockerd: their restart policy does not try again."""
    (problem,) = problems(c={"containers": CONTAINERS | {"failed": ["shop"]}})
    assert problem == "c: dockerd could not start the container shop: run 'docker start shop' there"


def test_w14_what_a_host_keeps_of_a_group_that_it_has_left_is_named():
    assert problems(b={"balancer": BALANCER}) == [
        "b still runs a load balancer, but is not in load_balancers: site.yml removes it and its token"
    ]
    (problem,) = problems(site={"docker_hosts": ["a", "b"]})
    assert problem.startswith("c still runs a registrator, but is not in docker_hosts")
