import pytest

from registrator.actions import Deregister, Register, plan
from registrator.marker import Owner
from registrator.options import Options
from registrator.wanted import Wanted, wanted
from registrator_cases import HOST, apply, container

OWNER = Owner(HOST, "engine-1", "token-1")
OPTIONS = Options(ip="192.0.2.1")
FOREIGN = {"ID": "x", "Service": "x", "Address": "", "Port": 1, "Tags": [], "Meta": {}}


def want(*containers, **more):
    return wanted(containers, OPTIONS, HOST, **more)


def steps(target, services=None, checks=None, owner=OWNER, cleanup=False):
    return plan(target, services or {}, checks or {}, owner, cleanup)[0]


def short(actions):
    """What is done, without what the log says about it."""
    return [(type(action).__name__, action.service, *([action.check] if hasattr(action, "check") else [])) for action in actions]


def state(target, owner=OWNER):
    return apply(steps(target, owner=owner), {}, {})


WEB = want(container(ports={"80/tcp": 32768}))
ID, CHECK = "node-1:web:80", "service:node-1:web:80:health"


def test_a_new_service_is_registered_with_its_health():
    (action,) = steps(WEB)
    assert isinstance(action, Register) and action.health == ("passing", "")
    assert action.payload["Check"] == {
        "CheckID": CHECK, "Name": "health", "TTL": "8760h", "Status": "passing",
        "Notes": "state of the container in dockerd",
    }  # fmt: skip
    assert set(action.payload["Meta"]) == {"registrator", "registrator-engine", "registrator-hash", "registrator-container"}


def test_w3_a_udp_port_is_marked_and_no_other():
    """Its tags are the container's, and a SERVICE_ID does not show it."""
    labels = {"SERVICE_53_ID": "mine"}
    (action,) = steps(want(container(ports={"53/udp": 5353}, labels=labels)))
    assert (action.service, action.payload["Meta"]["registrator-protocol"]) == ("mine", "udp")
    earlier = {"ID": "mine", "Service": "httpfront", "Address": "192.0.2.1", "Port": 5353, "Tags": ["udp"]}
    unmarked = {key: value for key, value in action.payload["Meta"].items() if key != "registrator-protocol"}
    services = {"mine": earlier | {"Meta": unmarked}}
    assert steps(want(container(ports={"53/udp": 5353}, labels=labels)), services)[0].reason == "meta changed"
    assert "registrator-protocol" not in steps(WEB)[0].payload["Meta"]


def test_nothing_changed_is_nothing_to_do():
    assert steps(WEB, *state(WEB)) == []


def test_a_container_that_is_gone_leaves():
    assert short(steps(want(), *state(WEB))) == [("Deregister", ID)]


def test_health_alone_is_one_update():
    sick = want(container(ports={"80/tcp": 32768}, state={"Health": {"Status": "unhealthy"}}))
    (action,) = steps(sick, *state(WEB))
    assert short([action]) == [("SetHealth", ID, CHECK)] and (action.status, action.output) == ("critical", "unhealthy")


def test_another_port_is_a_difference():
    (action,) = steps(want(container(ports={"80/tcp": 32769})), *state(WEB))
    assert action.payload["Port"] == 32769


def test_another_token_is_a_difference():
    assert isinstance(steps(WEB, *state(WEB), owner=Owner(HOST, "engine-1", "token-2"))[0], Register)


def test_another_check_is_a_difference_and_the_old_one_goes():
    checked = want(container(ports={"80/tcp": 32768}, labels={"SERVICE_CHECK_TCP": "1"}))
    register, drop = steps(checked, *state(WEB))
    assert register.payload["Check"]["TCP"] and short([drop]) == [("DropCheck", ID, CHECK)]


def test_another_interval_of_a_check_is_a_difference():
    def checked(interval):
        labels = {"SERVICE_CHECK_TCP": "1", "SERVICE_CHECK_INTERVAL": interval}
        return want(container(ports={"80/tcp": 32768}, labels=labels))

    assert len(steps(checked("3s"), *state(checked("2s")))) == 1


def test_a_lost_check_is_a_difference():
    services, _ = state(WEB)
    assert isinstance(steps(WEB, services, {})[0], Register)


def test_maintenance_and_checks_of_others_stay():
    services, checks = state(WEB)
    checks[f"_service_maintenance:{ID}"] = {"ServiceID": ID, "Status": "critical", "Output": ""}
    for mine in ("mine", f"service:{ID}0", f"service:{ID}:mine", f"service:{ID}0:health"):
        checks[mine] = {"ServiceID": ID, "Status": "critical", "Output": ""}
    assert steps(WEB, services, checks) == []
    moved = want(container(ports={"80/tcp": 1}))
    assert [type(step) for step in steps(moved, services, checks)] == [Register]


def test_what_is_not_ours_stays():
    other_host = {**FOREIGN, "ID": "node-2:web:80"}
    other_registrator = {**FOREIGN, "Meta": {"registrator": "node-2", "registrator-engine": "engine-2"}}
    for entry in (FOREIGN, other_host, other_registrator):
        assert steps(want(), {entry["ID"]: entry}, cleanup=True) == []


def test_an_id_that_somebody_else_registered_is_reported_and_left_alone():
    target = want(container(ports={"80/tcp": 1}, labels={"SERVICE_ID": "x"}))
    actions, conflicts = plan(target, {"x": FOREIGN}, {}, OWNER, True)
    assert actions == [] and len(conflicts) == 1


def test_a_predecessors_entry_is_adopted_when_wanted_and_removed_only_with_cleanup():
    entry = {**FOREIGN, "ID": ID}
    assert [type(step) for step in steps(WEB, {ID: entry})] == [Register]
    assert steps(want(), {ID: entry}) == []
    assert short(steps(want(), {ID: entry}, cleanup=True)) == [("Deregister", ID)]


def test_after_a_new_host_name_the_old_entries_go():
    renamed = wanted([container(ports={"80/tcp": 32768})], OPTIONS, "node-9")
    actions = steps(renamed, *state(WEB), owner=Owner("node-9", "engine-1", "token-1"))
    assert [(type(step), step.service) for step in actions] == [(Register, "node-9:web:80"), (Deregister, ID)]


def test_after_dockerds_data_were_wiped_the_old_entries_go():
    assert short(steps(want(), *state(WEB), owner=Owner(HOST, "engine-2"))) == [("Deregister", ID)]


def test_a_dockerd_without_an_id_owns_nothing():
    marked = {**FOREIGN, "Meta": {"registrator": "node-2", "registrator-engine": ""}}
    assert steps(want(), {"x": marked}, owner=Owner(HOST, "")) == []


def test_entries_go_before_others_come():
    other = want(container("zz", ports={"80/tcp": 32768}, labels={"SERVICE_NAME": "other"}))
    assert [type(step) for step in steps(other, *state(WEB))] == [Deregister, Register]


def test_w61_of_a_renamed_container_the_new_entry_comes_before_the_old_one_goes():
    renamed = want(container("live", ports={"80/tcp": 32768}))
    actions = steps(renamed, *state(WEB))
    assert short(actions) == [("Register", "node-1:live:80"), ("Deregister", ID)]
    assert actions[1].reason == "it is node-1:live:80 now"
    assert steps(renamed, *apply(actions, *state(WEB))) == []


def test_w61_each_port_of_a_renamed_container_has_its_own_entry_all_the_time():
    ports = {"80/tcp": 1, "81/tcp": 2, "82/udp": 3}
    before, after = want(container("a", ports=ports)), want(container("b", ports=ports))
    services, checks = state(before)
    wanted_now = {(service.name, service.port) for service in after.services}
    for action in steps(after, services, checks):
        services, checks = apply([action], services, checks)
        assert {(entry["Service"], entry["Port"]) for entry in services.values()} == wanted_now
    assert sorted(services) == ["node-1:b:80", "node-1:b:81", "node-1:b:82:udp"]


@pytest.mark.parametrize(
    "other",
    [container("zz", ports={"80/tcp": 32769}), container("zz", ports={"80/udp": 32768})],
    ids=["port", "protocol"],
)
def test_w61_an_entry_for_another_place_goes_first(other):
    assert [type(step) for step in steps(want(other), *state(WEB))] == [Deregister, Register]


def checked(name):
    return want(container(name, ports={"80/tcp": 1}, labels={"SERVICE_CHECK_HTTP": "/", "SERVICE_NAME": "web"}))


@pytest.mark.parametrize(("status", "renamed", "new"), [
    ("passing", "live", "passing"), ("critical", "live", None), ("passing", "other", None),
])  # fmt: skip
def test_w61_a_renamed_container_keeps_the_status_that_consul_has_found(status, renamed, new):
    """A container that is another one under the old one's port does not."""
    services, checks = state(checked("web"))
    checks = {check_id: check | {"Status": status} for check_id, check in checks.items()}
    register, deregister = plan(checked("live"), services, checks, OWNER, False, frozenset({renamed}))[0]
    assert register.payload["Check"].get("Status") == new
    hashed = plan(checked("live"), {}, {}, OWNER, False)[0][0].payload["Meta"]
    assert register.payload["Meta"] == hashed, "or the next comparison would find a difference"


def test_a_failed_containers_service_stays_and_is_critical():
    failed = Wanted([], [], {ID: "exited (1)"})
    services, checks = state(WEB)
    actions = steps(failed, services, checks)
    assert short(actions) == [("SetHealth", ID, CHECK)] and actions[0].output == "exited (1)"
    assert steps(failed, *apply(actions, services, checks)) == []
    assert steps(failed) == []
