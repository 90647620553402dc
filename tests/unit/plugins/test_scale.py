"""Scale: the request, and the containers to start and to end on each host."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.scale import (
    SERVICE,
    SPEC,
    scale_ids,
    scale_plan,
    scale_request,
    scale_waiting,
)
from hypothesis import given
from hypothesis import strategies as st

GOOD = {"scale_service": "web", "scale_image": "web:1.0", "scale_count": "3"}
DOCKER_HOSTS = ["app-1", "lb-1"]


def request(**more):
    return scale_request({**GOOD, **more}, DOCKER_HOSTS, ["store-1", *DOCKER_HOSTS])


def container(name, labels=None, state="running"):
    return {"Names": [f"/{name}"], "State": state, "Labels": labels}


def ours(name, wanted, state="running", spec=None):
    return container(name, {SERVICE: wanted["service"], SPEC: spec or wanted["spec"]}, state)


def test_the_request_has_every_variable():
    assert request() | {"spec": ""} == {
        "service": "web", "image": "web:1.0", "count": 3, "hosts": DOCKER_HOSTS, "env": {}, "network": "", "spec": "",
        "problems": [],
    }  # fmt: skip


@pytest.mark.parametrize("hosts", ["lb-1", " lb-1 ,", ["lb-1"]])
def test_hosts_as_text_or_list(hosts):
    assert request(scale_hosts=hosts)["hosts"] == ["lb-1"]


@pytest.mark.parametrize("env", ['{"A": "1"}', {"A": "1"}])
def test_env_as_json_or_dict(env):
    assert request(scale_env=env)["env"] == {"A": "1"}


def test_another_image_env_or_network_is_another_spec():
    specs = [request(**more)["spec"] for more in ({}, {"scale_image": "x"}, {"scale_env": {"A": "1"}}, {"scale_network": "n"})]
    assert len(set(specs)) == 4
    assert request(scale_count=7, scale_hosts="lb-1")["spec"] == specs[0]


@pytest.mark.parametrize("variable, value, seen", [
    ("scale_service", "", "''"),
    ("scale_service", "My_Web", "'My_Web'"),
    ("scale_service", "a.b", "'a.b'"),
    ("scale_service", "consul", "'consul'"),
    ("scale_image", "", "''"),
    ("scale_image", "a b", "'a b'"),
    ("scale_count", "-1", "'-1'"),
    ("scale_count", "", "''"),
    ("scale_count", "two", "'two'"),
    ("scale_count", "1.5", "'1.5'"),
    ("scale_hosts", "nowhere", "'nowhere', which is not in the inventory"),
    ("scale_hosts", "store-1", "'store-1', which is in the inventory but not in docker_hosts"),
    ("scale_env", "{", "'{', which is no JSON"),
    ("scale_env", "[]", "[]"),
    ("scale_env", {"PORT": 80}, "PORT to 80"),
    ("scale_env", {"SERVICE_NAME": "x"}, "SERVICE_NAME"),
    ("scale_env", {"SERVICE_80_ID": "x"}, "SERVICE_80_ID"),
])  # fmt: skip
def test_invalid_input_is_reported(variable, value, seen):
    (problem,) = request(**{variable: value})["problems"]
    assert problem.startswith(variable) and seen in problem


def test_every_mistake_is_reported_at_once():
    assert len(scale_request({}, DOCKER_HOSTS, DOCKER_HOSTS)["problems"]) == 3


def test_first_containers_are_spread_and_named_by_host():
    plan = scale_plan({"app-1": [], "lb-1": []}, request())
    assert plan == {
        "app-1": {"start": ["web-app-1-1", "web-app-1-2"], "end": [], "keep": []},
        "lb-1": {"start": ["web-lb-1-1"], "end": [], "keep": []},
    }


def test_names_of_other_containers_are_skipped():
    wanted = request(scale_count=2, scale_hosts="app-1")
    plan = scale_plan({"app-1": [container("web-app-1-1"), ours("web-app-1-3", wanted)]}, wanted)
    assert plan["app-1"] == {"start": ["web-app-1-2"], "end": [], "keep": ["web-app-1-3"]}


def test_a_running_container_stays_on_its_host():
    wanted = request(scale_count=1)
    plan = scale_plan({"app-1": [], "lb-1": [ours("web-lb-1-4", wanted)]}, wanted)
    assert [plan[host]["keep"] for host in DOCKER_HOSTS] == [[], ["web-lb-1-4"]]
    assert [plan[host]["start"] + plan[host]["end"] for host in DOCKER_HOSTS] == [[], []]


@pytest.mark.parametrize("state, spec", [("exited", None), ("restarting", None), ("paused", None), ("running", "older")])
def test_a_container_that_does_not_fit_is_replaced(state, spec):
    wanted = request(scale_count=1, scale_hosts="app-1")
    plan = scale_plan({"app-1": [ours("web-app-1-1", wanted, state, spec)]}, wanted)
    assert plan["app-1"] == {"start": ["web-app-1-2"], "end": ["web-app-1-1"], "keep": []}


def test_a_host_that_is_no_longer_named_loses_its_containers():
    wanted = request(scale_count=1, scale_hosts="app-1")
    plan = scale_plan({"app-1": [], "lb-1": [ours("web-lb-1-1", wanted)]}, wanted)
    assert plan["app-1"]["start"] == ["web-app-1-1"] and plan["lb-1"]["end"] == ["web-lb-1-1"]


def test_a_dead_hosts_share_goes_to_the_others():
    plan = scale_plan({"lb-1": []}, request())
    assert plan["lb-1"]["start"] == ["web-lb-1-1", "web-lb-1-2", "web-lb-1-3"]


def test_without_any_dockerd_there_is_no_plan():
    assert scale_plan({}, request()) == {}


@st.composite
def sites(draw):
    """Hosts with containers of ours, of an older spec, and of others; and a request."""
    names = ["a", "b", "c", "d"]
    wanted = scale_request(
        {**GOOD, "scale_count": draw(st.integers(0, 9)), "scale_hosts": draw(st.lists(st.sampled_from(names)))}, names, names
    )
    hosts = {}
    for host in draw(st.lists(st.sampled_from(names), unique=True)):
        numbers = draw(st.lists(st.integers(1, 9), unique=True, max_size=7))
        kinds = [draw(st.sampled_from(["ours", "older", "exited", "other"])) for _ in numbers]
        makers = {
            "ours": lambda name: ours(name, wanted),  # noqa: B023
            "older": lambda name: ours(name, wanted, spec="older"),  # noqa: B023
            "exited": lambda name: ours(name, wanted, "exited"),  # noqa: B023
            "other": container,
        }
        hosts[host] = [makers[kind](f"web-{host}-{number}") for number, kind in zip(numbers, kinds, strict=True)]
    return hosts, wanted


@given(sites())
def test_the_plan_is_even_complete_and_moves_no_more_than_that_needs(site):
    containers, wanted = site
    plan = scale_plan(containers, wanted)
    usable = [host for host in containers if host in wanted["hosts"]]
    after = {host: len(plan[host]["keep"]) + len(plan[host]["start"]) for host in containers}
    assert sum(after.values()) == (wanted["count"] if usable else 0)
    assert not usable or max(after[host] for host in usable) - min(after[host] for host in usable) <= 1
    for host, steps in plan.items():
        present = {one["Names"][0].lstrip("/"): one for one in containers[host]}
        mine = {name for name, one in present.items() if SERVICE in (one["Labels"] or {})}
        assert set(steps["keep"]) | set(steps["end"]) == mine and not set(steps["keep"]) & set(steps["end"])
        assert not set(steps["start"]) & set(present) and len(set(steps["start"])) == len(steps["start"])
        good = [n for n in mine if present[n]["State"] == "running" and present[n]["Labels"][SPEC] == wanted["spec"]]
        assert not steps["start"] or (host in usable and set(good) == set(steps["keep"])), "something good makes room for new"


@given(sites())
def test_once_done_there_is_nothing_to_do(site):
    containers, wanted = site
    plan = scale_plan(containers, wanted)
    done = {
        host: [one for one in listed if one["Names"][0].lstrip("/") not in plan[host]["end"]]
        + [ours(name, wanted) for name in plan[host]["start"]]
        for host, listed in containers.items()
    }
    assert all(steps["start"] == steps["end"] == [] for steps in scale_plan(done, wanted).values())


CHECKS = [
    {"ServiceID": "", "Status": "passing", "ServiceTags": []},
    {"ServiceID": "app-1:web-app-1-1:80", "Status": "passing", "ServiceTags": ["http"]},
    {"ServiceID": "app-1:web-app-1-1:81", "Status": "passing", "ServiceTags": []},
    {"ServiceID": "app-1:web-app-1-2:80", "Status": "critical", "ServiceTags": ["http"]},
    {"ServiceID": "app-1:web-app-1-11:80", "Status": "passing", "ServiceTags": ["http"]},
]


def test_service_ids_of_containers():
    assert scale_ids(CHECKS, ["web-app-1-1"]) == ["app-1:web-app-1-1:80", "app-1:web-app-1-1:81"]
    assert scale_ids(CHECKS, ["web-app-1-1"], ["http", "tcp"]) == ["app-1:web-app-1-1:80"]
    assert scale_ids(CHECKS, ["web-app-1-3"]) == []


def test_containers_that_do_not_pass_are_listed():
    names = ["web-app-1-1", "web-app-1-2", "web-app-1-3"]
    assert scale_waiting(CHECKS, names) == ["web-app-1-2 (critical)", "web-app-1-3 (not registered)"]
