"""What must hold whatever containers run, whatever they say of themselves, and whatever the agent has."""

import copy
import json
import random
import re
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from registrator.actions import Register, line, plan, registration
from registrator.check import HEALTH_TTL, seconds
from registrator.log import line as log_line
from registrator.marker import Owner, is_ours, is_own_check, is_predecessors, stands_for
from registrator.options import Options
from registrator.wanted import wanted
from registrator_cases import HOST, apply, container

OWNER = Owner(HOST, "engine-1", "token-1")
NAMES = st.sampled_from(["web", "api", "db", "Web", "a.b"])
PORTS = st.sampled_from(["80/tcp", "443/tcp", "53/udp", "53/tcp", "9/sctp"])
KEYS = st.one_of(
    st.sampled_from([
        "SERVICE_NAME", "SERVICE_80_NAME", "SERVICE_TAGS", "SERVICE_ID", "SERVICE_IGNORE", "SERVICE_443_IGNORE",
        "SERVICE_CHECK_HTTP", "SERVICE_CHECK_TCP", "SERVICE_CHECK_TTL", "SERVICE_CHECK_INTERVAL", "SERVICE_X",
        "SERVICE_CHECK_INITIAL_STATUS", "SERVICE_80_CHECK_GRPC", "SERVICE_CHECK_HTTP_METHOD", "SERVICE_CHECK_TIMEOUT",
        "SERVICE_CHECK_DEREGISTER_AFTER", "SERVICE_CHECK_SCRIPT", "SERVICE_", "SERVICE__", "SERVICE_80_", "ip",
        "SERVICE_CONSUL-X", "SERVICE_REGISTRATOR", "SERVICE_" + "k" * 129,
    ]),
    st.text(max_size=8).map("SERVICE_".__add__),
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([
        "", "x", "1", "30s", "9" * 9 + "h", "0.1ns", "/health", "a,b\\,c", "node-1:web:80", "foreign-1", "node-1:gone:80",
        "10.0.0.2/24", "consul", "a\x1bb", "\ud800", "GET /", "y" * 600, "ä" * 300, "z" * 100_000,
    ]),
    st.text(max_size=70),
)  # fmt: skip
TAKEN = st.sampled_from(["foreign-1", "node-1:gone:80", "node-2:web:80", "node-1:steady:80"])  # whose ids these are
LABELS = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"SERVICE_ID": TAKEN, "SERVICE_NAME": NAMES}),
    st.sampled_from([
        {"SERVICE_NAME": "Consul"}, {"SERVICE_NAME": "a_b"}, {"SERVICE_CHECK_TCP": "1"},
        {"SERVICE_CHECK_HTTP": "/", "SERVICE_ID": "x"},
    ]),
    st.dictionaries(KEYS, VALUES, max_size=5),
)  # fmt: skip
STATES = st.sampled_from([
    {}, {"Status": "paused", "Paused": True}, {"Status": "exited", "ExitCode": 1}, {"Status": "exited"},
    {"Health": {"Status": "starting"}}, {"Health": {"Status": "healthy"}}, {"Health": {"Status": "unhealthy"}},
])  # fmt: skip
OPTIONS = st.builds(
    Options, ip=st.sampled_from(["", "192.0.2.1"]), internal=st.booleans(),
    network=st.sampled_from(["", "net", "other"]), explicit=st.booleans(), use_ip_from_label=st.sampled_from(["", "ip"]),
    cleanup=st.booleans(), deregister=st.sampled_from(["always", "on-success"]),
)  # fmt: skip


@st.composite
def engines(draw):
    """Containers; names are unique, as the engine has it."""
    found = []
    ports = st.dictionaries(PORTS, st.one_of(st.none(), st.integers(1, 65535)), max_size=3)
    for number, name in enumerate(draw(st.lists(NAMES, unique=True, max_size=4))):
        found.append(container(
            name, number=number, state=draw(st.just({}) | STATES), ports=draw(st.just({"80/tcp": 32768}) | ports),
            mode=draw(st.sampled_from(["bridge", "default", "host", "net"])),
            labels=draw(LABELS), networks={"net": {"IPAddress": "10.0.0.2"}},
        ))  # fmt: skip
    return found


PARTS = [
    ("Id",), ("Name",), ("Config",), ("Config", "Labels"), ("Config", "Env"), ("Config", "ExposedPorts"), ("Config", "Image"),
    ("State",), ("State", "Status"), ("State", "Health"), ("State", "ExitCode"), ("State", "Paused"), ("HostConfig",),
    ("HostConfig", "NetworkMode"), ("NetworkSettings",), ("NetworkSettings", "Ports"), ("NetworkSettings", "Networks"),
    ("NetworkSettings", "Ports", "80/tcp"), ("NetworkSettings", "Ports", "70000/tcp"), ("NetworkSettings", "Ports", "x"),
    ("NetworkSettings", "Networks", "net"), ("Config", "Labels", "SERVICE_NAME"), ("Config", "ExposedPorts", "80"),
]  # fmt: skip
BINDING = st.fixed_dictionaries({
    "HostIp": st.sampled_from(["", "::", "x", None]), "HostPort": st.sampled_from(["", "99999", "1", 2]),
})  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), VALUES, st.just([]), st.just({})),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3) | st.lists(BINDING),
    max_leaves=5,
)


@st.composite
def odd_engines(draw):
    """Containers whose inspections lack parts or have something else there."""
    found = copy.deepcopy(draw(engines()))
    for one in found:
        for *above, last in draw(st.lists(st.sampled_from(PARTS), max_size=4)):
            place = one
            for key in above:
                place = place.get(key) if isinstance(place, dict) else None
            if isinstance(place, dict):
                if draw(st.booleans()):
                    place.pop(last, None)
                else:
                    place[last] = draw(JSON)
    return found


@st.composite
def agents(draw, more=()):
    """Services and checks that anybody may have left at the agent, as it answers: empty lists may be null.

    :param more: services that are wanted there; the entries' ids, names and addresses are often theirs
    """
    services, checks = {}, {}
    ids = ["node-1:web:80", "node-1:gone:80", "node-1:db:53:udp", "node-2:web:80", "foreign-1", "x"]
    marks = [{}, None, {"registrator": HOST}, {"registrator": "old", "registrator-engine": "engine-1", "version": "v0"},
             {"registrator": HOST, "registrator-engine": "engine-1", "registrator-hash": "0"},
             {"registrator": "node-2", "registrator-engine": "engine-2"}]  # fmt: skip
    places = {service.id: (service.name, service.address) for service in more}
    for service_id in draw(st.lists(st.sampled_from([*places, *ids]), unique=True)):
        name, address = draw(st.tuples(NAMES, st.sampled_from(["", "10.9.9.9"])) | st.just(places.get(service_id, ("web", ""))))
        services[service_id] = {
            "ID": service_id, "Service": name, "Address": address, "Port": draw(st.integers(0, 3)),
            "Tags": draw(st.sampled_from([None, [], ["old"]])), "Meta": draw(st.sampled_from(marks)),
        }  # fmt: skip
        suffixes = ["", ":health", ":http", ":1", ":mine", "0"]
        for suffix in draw(st.lists(st.sampled_from(suffixes), unique=True) | st.just(suffixes)):
            checks[f"service:{service_id}{suffix}"] = {
                "ServiceID": service_id, "Status": draw(st.sampled_from(["passing", "critical"])), "Output": "",
            }  # fmt: skip
        if draw(st.booleans()):
            checks[f"_service_maintenance:{service_id}"] = {
                "ServiceID": service_id, "Status": "critical", "Output": "",
            }  # fmt: skip
    return services, checks


ENGINES = engines()


@st.composite
def worlds(draw, containers=ENGINES):
    """Containers, an agent at which some of what they want may be, in any state, and options."""
    found, options = draw(containers), draw(OPTIONS)
    return found, draw(agents(wanted(found, options, HOST).services)), options


def marked(entry):
    """Is it ours, by host or by engine? Said again in other words than the program's."""
    mark = entry["Meta"] or {}
    return mark.get("registrator") == HOST or mark.get("registrator-engine") == "engine-1"


def may_touch(entry, target, cleanup):
    """Ours, a predecessor's by its id, or with cleanup just the service that is wanted there."""
    if "registrator" in (entry["Meta"] or {}):
        return marked(entry)
    parts = entry["ID"].removesuffix(":udp").split(":")
    if len(parts) == 3 and parts[0] == HOST and parts[2].isdecimal():
        return True
    return cleanup and target is not None and (entry["Service"], entry["Address"]) == (target.name, target.address)


def checks_of(service_id, checks):
    return {key: check for key, check in checks.items() if check["ServiceID"] == service_id}


@given(worlds(engines() | odd_engines()))
def test_it_converges_from_any_state_and_then_rests(world):
    containers, agent, options = world
    target = wanted(containers, options, HOST)
    actions, conflicts = plan(target, *agent, OWNER, options.cleanup)
    services, checks = apply(actions, *agent)
    assert plan(target, services, checks, OWNER, options.cleanup) == ([], conflicts)
    refused = {conflict.container for conflict in conflicts}
    for service in target.services:
        if service.id not in refused:
            payload, entry = registration(service, OWNER), services[service.id]
            assert {"Name": entry["Service"], **{key: entry[key] for key in ("Address", "Port", "Tags", "Meta")}} == {
                key: payload[key] for key in ("Name", "Address", "Port", "Tags", "Meta")
            }
            own = {key for key in checks_of(service.id, checks) if is_own_check(key, service.id)}
            assert own == {payload["Check"]["CheckID"]}
            if service.health:
                (check,) = own
                assert (checks[check]["Status"], checks[check]["Output"]) == service.health
    ours = {service_id for service_id, entry in services.items() if marked(entry)}
    assert ours <= {service.id for service in target.services} | set(target.kept)
    if options.cleanup:
        assert not {key for key, entry in services.items() if is_predecessors(entry, OWNER)} - set(target.kept)


CHANGES = [
    ("Service", "other"), ("Address", "10.9.9.9"), ("Port", 1), ("Tags", ["other"]), ("Meta", {"more": ""}),
    ("Meta", {"registrator-hash": "0"}), ("check", ""), ("Status", "warning"), ("Output", "other"),
]  # fmt: skip


@given(engines(), OPTIONS)
def test_whatever_somebody_changes_in_what_is_ours_is_put_right(containers, options):
    target = wanted(containers, options, HOST)
    before = apply(plan(target, {}, {}, OWNER, False)[0], {}, {})
    for field, value in CHANGES:
        services, checks = copy.deepcopy(before)
        for service_id, entry in services.items():
            if field in entry:
                entry[field] = entry["Meta"] | value if field == "Meta" else value
            for check in checks_of(service_id, checks):
                if field == "check":
                    del checks[check]
                elif field in checks[check] and check.endswith(":health"):
                    checks[check][field] = value
        assert apply(plan(target, services, checks, OWNER, False)[0], services, checks) == before


@given(worlds())
def test_what_is_not_ours_is_never_touched(world):
    containers, agent, options = world
    target = wanted(containers, options, HOST)
    targets = {service.id: service for service in target.services}
    actions, _ = plan(target, *agent, OWNER, options.cleanup)
    after = apply(actions, *agent)
    for service_id, entry in agent[0].items():
        if not may_touch(entry, targets.get(service_id), options.cleanup):
            assert after[0][service_id] == entry
            assert checks_of(service_id, after[1]) == checks_of(service_id, agent[1])
    for key, check in agent[1].items():
        others = key.startswith("_service_maintenance") or key.endswith((":mine", "0"))
        if others and check["ServiceID"] in after[0] and not is_own_check(key, check["ServiceID"]):
            assert after[1][key] == check


@given(worlds(), engines())
def test_two_registrators_at_one_agent_leave_each_other_alone(world, there):
    """One of another host: what it has written stays, and it has nothing to do about that."""
    here, agent, options = world
    other = Owner("node-9", "engine-9", "token-9")
    mine, theirs = wanted(here, options, HOST), wanted(there, options, other.host)
    services, checks = apply(plan(theirs, *agent, other, options.cleanup)[0], *agent)
    written = {service.id: services[service.id] for service in theirs.services if service.id in services}
    written = {service_id: entry for service_id, entry in written.items() if is_ours(entry, other)}
    services, checks = apply(plan(mine, services, checks, OWNER, options.cleanup)[0], services, checks)
    assert {service_id: services.get(service_id) for service_id in written} == written
    assert written.keys().isdisjoint(action.service for action in plan(theirs, services, checks, other, options.cleanup)[0])


@given(worlds(), st.randoms(use_true_random=False))
def test_order_does_not_matter(world, chance: random.Random):
    containers, agent, options = world

    def shuffled(mapping):
        return dict(chance.sample(list(mapping.items()), len(mapping)))

    first = wanted(containers, options, HOST)
    mixed = [
        {**one, "Config": {**one["Config"], "Labels": shuffled(one["Config"]["Labels"])},
         "NetworkSettings": {key: shuffled(part) for key, part in one["NetworkSettings"].items()}}
        for one in chance.sample(containers, len(containers))
    ]  # fmt: skip
    assert wanted(mixed, options, HOST) == first
    services, checks = agent
    target = replace(first, services=chance.sample(first.services, len(first.services)))
    assert plan(target, shuffled(services), shuffled(checks), OWNER, options.cleanup) == plan(
        first, services, checks, OWNER, options.cleanup
    )


def with_odd_parts(test):
    """Each of them in any case, beside what is drawn."""
    for path, value in [
        (("Config", "Env"), "SERVICE_NAME=x"), (("Config", "Env"), 7), (("Config", "Labels"), ["x"]), (("State",), "running"),
        (("NetworkSettings", "Ports"), {"0/tcp": None, "70000/tcp": None, "x": 1}), (("Config", "ExposedPorts"), {"99999": {}}),
        (("NetworkSettings", "Ports", "80/tcp"), [{"HostIp": "", "HostPort": port} for port in ("x", "²", "9" * 5000, "99999")]),
        (("NetworkSettings", "Ports", "80/tcp"), [{"HostPort": 70000}]), (("NetworkSettings", "Ports", "80/tcp"), 80),
    ]:  # fmt: skip
        one = place = container(ports={"80/tcp": 32768})
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        test = example([one], Options(ip="192.0.2.1"))(test)
    return example([container(mode="host", exposed=["0/tcp", "99999/tcp"])], Options())(test)


@with_odd_parts
@given(odd_engines(), OPTIONS)
def test_no_inspection_is_too_odd_and_none_hurts_another(containers, options):
    """Also what is written into the log about it is one line each."""
    networks = {"net": {"IPAddress": "10.0.0.9"}}
    steady = container("steady", ports={"80/tcp": 8080}, labels={"SERVICE_NAME": "steady"}, networks=networks, number=99)
    alone = wanted([steady], options, HOST)
    result = wanted([*containers, steady], options, HOST)
    assert set(map(repr, alone.services)) <= set(map(repr, result.services))
    for item in result.skipped:
        text = log_line("skipped", **item._asdict())
        assert text.isascii() and text.isprintable()


@example(
    [container(exposed=["80/tcp"], networks={"a": {"IPAddress": "10.0.0.2"}, "bridge": {"IPAddress": "172.17.0.2"}})],
    Options(internal=True),
)
@given(engines(), OPTIONS)
def test_old_and_new_versions_of_dockerds_api_give_the_same_services(containers, options):
    """1.52 leaves out the container's only address; `default` became `bridge`; empty maps may be null or missing."""

    def old(one):
        mode = one["HostConfig"]["NetworkMode"].replace("bridge", "default")
        network = {**one["NetworkSettings"], "IPAddress": "172.17.0.2", "Gateway": "172.17.0.1", "SecondaryIPAddresses": None}
        health = {"Health": {"Status": "none"}} if "Health" not in one["State"] else {}
        return {**one, "HostConfig": {"NetworkMode": mode}, "NetworkSettings": network, "State": {**one["State"], **health}}

    def new(one):
        mode = one["HostConfig"]["NetworkMode"].replace("default", "bridge")
        config = {key: part for key, part in one["Config"].items() if part}
        network = {key: part or None for key, part in one["NetworkSettings"].items()}
        return {**one, "HostConfig": {"NetworkMode": mode}, "NetworkSettings": network, "Config": config}

    assert wanted(map(old, containers), options, HOST) == wanted(map(new, containers), options, HOST)


HOSTILE = [
    {f"SERVICE_K{number}": "x" * number for number in range(80)},
    {"SERVICE_NAME": "Consul"}, {"SERVICE_NAME": "a_b"}, {"SERVICE_NAME": "a" * 64}, {"SERVICE_NAME": "a\n"},
    {"SERVICE_ID": "a/b"}, {"SERVICE_X": "ä" * 300}, {"SERVICE_X": "\ud800"}, {"SERVICE_\ud800": "x"},
    {"SERVICE_TAGS": "a\x1bb, ,a"},
    {"SERVICE_CONSUL-X": "1"}, {"SERVICE_" + "k" * 129: "1"}, {"SERVICE_CHECK_HTTP": "/", "SERVICE_CHECK_HTTP_METHOD": "GET /"},
    {"SERVICE_CHECK_TTL": "9" * 9 + "h"}, {"SERVICE_CHECK_TCP": "1", "SERVICE_CHECK_INTERVAL": "0.1ns"},
    {"SERVICE_CHECK_TCP": "1", "SERVICE_CHECK_INITIAL_STATUS": "maintenance"},
]  # fmt: skip


def with_hostile_labels(test):
    """Each of them in any case, beside what is drawn."""
    for labels in HOSTILE:
        test = example([container(labels=labels, ports={"80/tcp": 32768})], Options())(test)
    return test


@with_odd_parts
@with_hostile_labels
@given(st.one_of(engines(), odd_engines()), OPTIONS)
def test_every_service_is_one_that_consul_takes_and_dns_finds(containers, options):
    target = wanted(containers, options, HOST)
    assert len({service.id for service in target.services}) == len(target.services)
    for service in target.services:
        payload = registration(service, OWNER)
        assert json.loads(json.dumps(payload, ensure_ascii=False).encode()) == payload
        assert re.fullmatch("(?!-)[A-Za-z0-9-]{1,63}(?<!-)", payload["Name"]) and payload["Name"].lower() != "consul"
        assert re.fullmatch(r"[\w.:@-]{1,255}", payload["ID"], re.ASCII) and 0 < payload["Port"] < 65536
        assert all(tag and tag == tag.strip() and not re.search(r"[\x00-\x1f\x7f]", tag) for tag in payload["Tags"])
        assert len(set(payload["Tags"])) == len(payload["Tags"]) and len(payload["Meta"]) <= 64
        for key, value in payload["Meta"].items():
            assert re.fullmatch("[A-Za-z0-9_-]{1,128}", key) and len(value.encode()) <= 512 and not key.startswith("consul-")
        check = payload["Check"]
        assert [kind in check for kind in ("TTL", "HTTP", "TCP", "GRPC")].count(True) == 1
        assert ("Interval" in check) == ("TTL" not in check)
        for key in ("TTL", "Interval", "Timeout", "DeregisterCriticalServiceAfter"):
            assert 0.999 < seconds(check.get(key, "1s")) * 1e9 < 2**63  # nanoseconds
        assert re.fullmatch("[A-Za-z]+", check.get("Method", "GET"))
        assert check.get("Status", "passing") in ("passing", "warning", "critical")
        assert (service.health is None) != (service.check.get("TTL") == HEALTH_TTL)


@given(worlds())
def test_every_change_is_one_line_that_says_what_where_and_why(world):
    containers, agent, options = world
    actions, _ = plan(wanted(containers, options, HOST), *agent, OWNER, options.cleanup)
    for action in actions:
        event, fields = line(action)
        text = log_line(event, **fields)
        assert text.isascii() and text.isprintable()
        assert fields["id"] == action.service and fields["reason"] and {"name", "address", "port"} <= set(fields)
        assert text.startswith(f"{event} id=") and OWNER.token not in text
        if isinstance(action, Register):
            for key, value in action.payload["Meta"].items():
                assert f"{key}={value}" not in text


@given(engines())
def test_a_named_network_decides_alone(containers):
    """Whatever other networks a container is in: in the named one its address there counts, else what it publishes."""
    named = Options(ip="192.0.2.1", internal=True, network="other")
    published = replace(named, internal=False, network="")
    assert wanted(containers, named, HOST).services == wanted(containers, published, HOST).services
    inside = [
        {**one, "NetworkSettings": {**one["NetworkSettings"], "Networks": {
            **one["NetworkSettings"]["Networks"], "a": {"IPAddress": "10.0.0.3"}, "other": {"IPAddress": "10.0.0.4"},
        }}}
        for one in containers
    ]  # fmt: skip
    overlays = frozenset(["a", "net", "other"])
    for service in wanted(inside, named, HOST, overlays).services:
        assert service.address in ("10.0.0.4", "192.0.2.1")  # the second on the host's own network


@given(NAMES, NAMES, st.sampled_from([{}, None, {"registrator": "node-2"}]))
def test_only_the_same_service_is_a_predecessors(name, other, mark):
    entry = {"ID": "mine", "Service": name, "Address": "192.0.2.1", "Meta": mark}
    assert stands_for(entry, other, "192.0.2.1") == (name == other and not mark)
    assert not stands_for(entry, name, "192.0.2.2")


@given(st.text() | st.just("x" * 100_000) | st.just("ä" * 100_000), st.lists(st.text()))
def test_a_log_line_is_one_line(value, tags):
    text = log_line("event", value=value, tags=tags)
    assert text.isascii() and text.isprintable() and len(text) < 20_000
