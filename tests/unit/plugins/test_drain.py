"""What goes out of names and balancers, and what is refused."""

from ansible_collections.fewnodes.discovery.plugins.modules.maintenance import container, drained, found, to_move
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.drain import drain_plan, drain_request

HOSTS = ["a", "b"]


def asked(**given):
    return drain_request({f"drain_{name}": value for name, value in given.items()}, HOSTS, ["a", "b", "c"])


def service(name, container="", passing=True, host="a"):
    container = container or name
    return {"id": f"{host}:{container}:80", "name": name, "container": container, "passing": passing}


STATES = {
    "a": [service("db"), service("web", "web-1"), service("web", "web-2")],
    "b": [service("web", "web-1", host="b"), service("old", passing=False, host="b")],
}


def plan(states=STATES, last=False, back=False, **given):
    return drain_plan(states, asked(**given), last, back)


def test_a_container_goes_wherever_it_is_called_so():
    chosen = plan(container="web-1")
    assert chosen["problems"] == []
    assert chosen["places"] == ["a a:web-1:80", "b b:web-1:80"]
    assert chosen["hosts"]["b"] == {"node": False, "ids": ["b:web-1:80"], "containers": ["web-1"]}


def test_a_host_beside_it_means_only_there():
    assert plan(container="web-1", host="b")["places"] == ["b b:web-1:80"]
    assert plan(service="web", host="a")["places"] == ["a a:web-1:80", "a a:web-2:80"]


def test_a_host_goes_as_a_whole_even_when_it_has_nothing():
    assert plan(host="b")["hosts"] == {
        "b": {"node": True, "ids": ["b:old:80", "b:web-1:80"], "containers": ["old", "web-1"]}
    }
    assert plan({"a": [], "b": []}, host="b")["hosts"]["b"]["node"]


def test_the_last_instance_stays_unless_it_is_asked_for():
    assert "nothing would be left of db:" in plan(host="a")["problems"][0]
    assert "nothing would be left of web:" in plan(service="web")["problems"][0]
    assert plan(service="web", last=True)["problems"] == []


def test_what_does_not_pass_is_no_instance():
    assert plan(container="old")["problems"] == []
    alone = {"a": [service("web", "web-1")], "b": [service("web", "web-2", passing=False, host="b")]}
    assert "left of web" in plan(alone, container="web-1")["problems"][0]


def test_the_way_back_takes_nothing_from_anybody():
    assert plan(service="web", back=True)["problems"] == []


def test_what_is_not_there_is_told_with_what_is():
    assert plan(service="wbe")["problems"] == [
        "drain_service is 'wbe', which any docker host has not registered; there is db, old, web"
    ]
    assert "'db', which b has not registered; there is old, web-1" in plan(container="db", host="b")["problems"][0]


def test_a_dead_host_is_told():
    assert "drain_host is 'b', whose agent does not answer" in plan({"a": []}, host="b")["problems"][0]


def test_bad_requests_are_told():
    assert "nothing says what to drain" in asked()["problems"][0]
    assert "set one of them" in asked(service="web", container="web")["problems"][0]
    assert "Consul's own" in asked(service="consul")["problems"][0]
    assert asked(host="x")["problems"] == ["drain_host is 'x', which is not in docker_hosts: choose among a, b"]
    assert "the only Consul server" in drain_request({"drain_host": "a"}, HOSTS, ["a"])["problems"][0]
    assert drain_request({"drain_host": "a", "drain_service": "web"}, HOSTS, ["a"])["problems"] == []


# --- the module ---


def check(service_id, status="passing", check_id="", notes=""):
    return {"ServiceID": service_id, "Status": status, "CheckID": check_id, "Notes": notes}


NODE = {"_node_maintenance": check("", "critical", notes="disk")}
WEB = {"_service_maintenance:a:web:80": check("a:web:80", "critical", notes="drained")}


def test_a_service_passes_while_no_check_of_it_or_the_node_is_critical():
    services = {"a:web:80": {"Service": "web"}, "mine": {"Service": "db", "Meta": {"registrator-container": "db-1"}}}
    assert [(one["id"], one["container"], one["passing"]) for one in found(services, WEB)] == [
        ("a:web:80", "web", False), ("mine", "db-1", True),
    ]  # fmt: skip
    assert not any(one["passing"] for one in found(services, NODE))


def test_a_foreign_id_has_no_container():
    assert container("mine", {}) == ""


def test_only_maintenance_is_drained_and_for_its_reason():
    sick = {"service:a:db:80": check("a:db:80", "critical", notes="drained")}
    assert drained({**NODE, **WEB, **sick}) == {"", "a:web:80"}
    assert drained({**NODE, **WEB}, "disk") == {""}


def test_only_what_differs_is_moved():
    assert to_move("drained", {"a:web:80", "a:db:80", ""}, WEB, None) == ["", "a:db:80"]
    assert to_move("in_service", {"a:web:80", "a:db:80"}, WEB, None) == ["a:web:80"]
    assert to_move("in_service", {"a:web:80"}, WEB, "disk") == []
