"""What must hold whatever containers run and whatever the agent has."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from registrator.actions import plan
from registrator.check import HEALTH_TTL
from registrator.log import line
from registrator.mark import Owner, is_ours, is_predecessors
from registrator.options import Options
from registrator.wanted import ID, NAME, wanted
from registrator_cases import HOST, apply, container

OWNER = Owner(HOST, "engine-1", "token-1")
NAMES = st.sampled_from(["web", "api", "db", "Web", "a.b"])
PORTS = st.sampled_from(["80/tcp", "443/tcp", "53/udp", "53/tcp", "9/sctp"])
KEYS = st.one_of(
    st.sampled_from([
        "SERVICE_NAME", "SERVICE_80_NAME", "SERVICE_TAGS", "SERVICE_ID", "SERVICE_IGNORE", "SERVICE_443_IGNORE",
        "SERVICE_CHECK_HTTP", "SERVICE_CHECK_TCP", "SERVICE_CHECK_TTL", "SERVICE_CHECK_INTERVAL", "SERVICE_X",
        "SERVICE_CHECK_INITIAL_STATUS", "SERVICE_80_CHECK_GRPC", "SERVICE_", "SERVICE__", "SERVICE_80_",
    ]),
    st.text(max_size=8).map("SERVICE_".__add__),
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(["", "x", "1", "30s", "/health", "a,b\\,c", "node-1:web:80", "foreign-1", "node-1:gone:80"]),
    st.text(max_size=70),
)
STATES = st.sampled_from([
    {}, {"Status": "paused", "Paused": True}, {"Status": "exited", "ExitCode": 1}, {"Status": "exited"},
    {"Health": {"Status": "starting"}}, {"Health": {"Status": "healthy"}}, {"Health": {"Status": "unhealthy"}},
])  # fmt: skip
OPTIONS = st.builds(
    Options, ip=st.sampled_from(["", "192.0.2.1"]), internal=st.booleans(),
    network=st.sampled_from(["", "net", "other"]), explicit=st.booleans(),
    cleanup=st.booleans(), deregister=st.sampled_from(["always", "on-success"]),
)  # fmt: skip


@st.composite
def engines(draw):
    """Containers; names are unique, as the engine has it."""
    found = []
    for number, name in enumerate(draw(st.lists(NAMES, unique=True, max_size=4))):
        found.append(container(
            name, number=number, state=draw(STATES), mode=draw(st.sampled_from(["bridge", "host", "net"])),
            ports=draw(st.dictionaries(PORTS, st.one_of(st.none(), st.integers(1, 65535)), max_size=3)),
            labels=draw(st.dictionaries(KEYS, VALUES, max_size=5)),
            networks={"net": {"IPAddress": "10.0.0.2"}},
        ))  # fmt: skip
    return found


@st.composite
def agents(draw):
    """Services and checks that anybody may have left at the agent."""
    services, checks = {}, {}
    ids = ["node-1:web:80", "node-1:gone:80", "node-1:db:53:udp", "node-2:web:80", "foreign-1", "foreign-2"]
    marks = [{}, {"registrator": HOST}, {"registrator": "old", "registrator-engine": "engine-1"},
             {"registrator": "node-2", "registrator-engine": "engine-2"}]  # fmt: skip
    for service_id in draw(st.lists(st.sampled_from(ids), unique=True)):
        services[service_id] = {
            "ID": service_id, "Service": draw(NAMES), "Address": "", "Port": draw(st.integers(0, 3)), "Tags": [],
            "Meta": draw(st.sampled_from(marks)),
        }  # fmt: skip
        for suffix in draw(st.lists(st.sampled_from(["", ":health", ":http", ":1"]), unique=True)):
            checks[f"service:{service_id}{suffix}"] = {
                "ServiceID": service_id, "Status": draw(st.sampled_from(["passing", "critical"])), "Output": "",
            }  # fmt: skip
        if draw(st.booleans()):
            checks[f"_service_maintenance:{service_id}"] = {
                "ServiceID": service_id, "Status": "critical", "Output": "",
            }  # fmt: skip
    return services, checks


@given(engines(), agents(), OPTIONS)
@settings(deadline=None)
def test_it_converges_from_any_state_and_then_rests(containers, agent, options):
    target = wanted(containers, options, HOST)
    actions, conflicts = plan(target, *agent, OWNER, options.cleanup)
    services, checks = apply(actions, *agent)
    assert plan(target, services, checks, OWNER, options.cleanup) == ([], conflicts)
    refused = {conflict.container for conflict in conflicts}
    for service in target.services:
        if service.id not in refused:
            entry = services[service.id]
            assert (entry["Service"], entry["Address"], entry["Port"]) == (service.name, service.address, service.port)
            if service.health:
                assert checks[f"service:{service.id}:health"]["Status"] == service.health[0]
    ours = {service_id for service_id, entry in services.items() if is_ours(entry, OWNER)}
    assert ours <= {service.id for service in target.services} | set(target.kept)


@given(engines(), agents(), OPTIONS)
@settings(deadline=None)
def test_what_is_not_ours_is_never_touched(containers, agent, options):
    services, checks = agent
    actions, _ = plan(wanted(containers, options, HOST), services, checks, OWNER, options.cleanup)
    for action in actions:
        entry = services.get(action.service)
        assert entry is None or is_ours(entry, OWNER) or is_predecessors(entry, OWNER)
        assert not getattr(action, "check", "").startswith("_service_maintenance")


@given(engines(), agents(), OPTIONS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_does_not_matter(containers, agent, options, chance: random.Random):
    def shuffled(mapping):
        return dict(chance.sample(list(mapping.items()), len(mapping)))

    first = wanted(containers, options, HOST)
    mixed = [
        {**one, "Config": {**one["Config"], "Labels": shuffled(one["Config"]["Labels"])}}
        for one in chance.sample(containers, len(containers))
    ]
    assert wanted(mixed, options, HOST) == first
    services, checks = agent
    target = replace(first, services=chance.sample(first.services, len(first.services)))
    assert plan(target, shuffled(services), shuffled(checks), OWNER, options.cleanup) == plan(
        first, services, checks, OWNER, options.cleanup
    )


@given(engines(), OPTIONS)
@settings(deadline=None)
def test_every_service_is_one_that_consul_takes(containers, options):
    target = wanted(containers, options, HOST)
    assert len({service.id for service in target.services}) == len(target.services)
    for service in target.services:
        assert NAME.fullmatch(service.name) and ID.fullmatch(service.id) and 0 < service.port < 65536
        assert len(service.meta) <= 61
        assert (service.health is None) != (service.check.get("TTL") == HEALTH_TTL)


@given(engines())
@settings(deadline=None)
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


@given(st.text(), st.lists(st.text()))
def test_a_log_line_is_one_line(value, tags):
    text = line("event", value=value, tags=tags)
    assert text.isascii() and text.isprintable()
