"""Drain: the services that leave service DNS and the load balancers, and the requests that are refused."""

from ansible_collections.fewnodes.discovery.plugins.modules.consul_maintenance import (
    container,
    drained,
    ids_to_change,
    services_of,
)
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.drain import drain_plan, drain_request

HOSTS = ["a", "b"]


def request(**given):
    return drain_request({f"drain_{name}": value for name, value in given.items()}, HOSTS, ["a", "b", "c"])


def service(name, container="", passing=True, host="a"):
    container = container or name
    return {"id": f"{host}:{container}:80", "name": name, "container": container, "passing": passing}


STATES = {
    "a": [service("db"), service("web", "web-1"), service("web", "web-2")],
    "b": [service("web", "web-1", host="b"), service("old", passing=False, host="b")],
}


def plan(states=STATES, last=False, undrain=False, **given):
    return drain_plan(states, request(**given), last, undrain)


def test_a_container_is_drained_on_every_host_that_has_it():
    chosen = plan(container="web-1")
    assert chosen["problems"] == []
    assert chosen["instances"] == ["a a:web-1:80", "b b:web-1:80"]
    assert chosen["hosts"]["b"] == {"node": False, "ids": ["b:web-1:80"], "containers": ["web-1"]}


def test_a_host_beside_it_limits_the_drain_to_that_host():
    assert plan(container="web-1", host="b")["instances"] == ["b b:web-1:80"]
    assert plan(service="web", host="a")["instances"] == ["a a:web-1:80", "a a:web-2:80"]


def test_a_host_is_drained_as_a_whole_even_when_it_has_no_service():
    assert plan(host="b")["hosts"] == {"b": {"node": True, "ids": ["b:old:80", "b:web-1:80"], "containers": ["old", "web-1"]}}
    assert plan({"a": [], "b": []}, host="b")["hosts"]["b"]["node"]


def test_the_last_instance_stays_unless_drain_last_is_set():
    assert "no healthy instance would be left of db:" in plan(host="a")["problems"][0]
    assert "no healthy instance would be left of web:" in plan(service="web")["problems"][0]
    assert plan(service="web", last=True)["problems"] == []


def test_an_instance_that_does_not_pass_does_not_count():
    assert plan(container="old")["problems"] == []
    alone = {"a": [service("web", "web-1")], "b": [service("web", "web-2", passing=False, host="b")]}
    assert "left of web" in plan(alone, container="web-1")["problems"][0]


def test_undrain_takes_no_instance_away():
    assert plan(service="web", undrain=True)["problems"] == []


def test_an_unknown_name_is_reported_with_the_registered_ones():
    assert plan(service="wbe")["problems"] == [
        "drain_service is 'wbe', which no docker host has registered: choose among db, old, web"
    ]
    assert "'db', which b has not registered: choose among old, web-1" in plan(container="db", host="b")["problems"][0]


def test_a_dead_host_is_reported():
    assert "drain_host is 'b', whose agent does not answer" in plan({"a": []}, host="b")["problems"][0]


def test_invalid_requests_are_reported():
    assert "drain_service, drain_container and drain_host are empty" in request()["problems"][0]
    assert "set one of them" in request(service="web", container="web")["problems"][0]
    assert "Consul's own" in request(service="consul")["problems"][0]
    assert request(host="x")["problems"] == ["drain_host is 'x', which is not in docker_hosts: choose among a, b"]
    assert "the only Consul server" in drain_request({"drain_host": "a"}, HOSTS, ["a"])["problems"][0]
    assert drain_request({"drain_host": "a", "drain_service": "web"}, HOSTS, ["a"])["problems"] == []


# --- the module ---


def check(service_id, status="passing", check_id="", notes=""):
    return {"ServiceID": service_id, "Status": status, "CheckID": check_id, "Notes": notes}


NODE = {"_node_maintenance": check("", "critical", notes="disk")}
WEB = {"_service_maintenance:a:web:80": check("a:web:80", "critical", notes="drained")}


def test_a_service_passes_while_no_check_of_it_or_the_node_is_critical():
    services = {"a:web:80": {"Service": "web"}, "mine": {"Service": "db", "Meta": {"registrator-container": "db-1"}}}
    assert [(one["id"], one["container"], one["passing"]) for one in services_of(services, WEB)] == [
        ("a:web:80", "web", False), ("mine", "db-1", True),
    ]  # fmt: skip
    assert not any(one["passing"] for one in services_of(services, NODE))


def test_a_foreign_id_has_no_container():
    assert container("mine", {}) == ""


def test_only_maintenance_counts_as_drained_and_is_selected_by_its_reason():
    sick = {"service:a:db:80": check("a:db:80", "critical", notes="drained")}
    assert drained({**NODE, **WEB, **sick}) == {"", "a:web:80"}
    assert drained({**NODE, **WEB}, "disk") == {""}


def test_only_a_state_that_differs_is_changed():
    assert ids_to_change("drained", {"a:web:80", "a:db:80", ""}, WEB, None) == ["", "a:db:80"]
    assert ids_to_change("in_service", {"a:web:80", "a:db:80"}, WEB, None) == ["a:web:80"]
    assert ids_to_change("in_service", {"a:web:80"}, WEB, "disk") == []
