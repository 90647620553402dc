"""The contract: one case for each form of label and environment (R4)."""

from dataclasses import replace

import pytest

from registrator.options import Options
from registrator.wanted import Service, wanted
from registrator_cases import HOST, container

HEALTH = {"Name": "health", "TTL": "8760h", "Notes": "state of the container in the engine"}
OPTIONS = Options(ip="192.0.2.1")


def run(*containers, options=OPTIONS, **more):
    return wanted(containers, options, HOST, **more)


def only(*containers, options=OPTIONS, **more):
    result = run(*containers, options=options, **more)
    assert len(result.services) == 1, result
    return result.services[0]


def reasons(*containers, **more):
    return [item.reason for item in run(*containers, **more).skipped]


def test_default_service():
    assert only(container(image="registry:5000/team/web:1.0@sha256:abc", ports={"80/tcp": 32768})) == Service(
        id="node-1:web:80", name="web", address="192.0.2.1", port=32768, check=HEALTH, health=("passing", "")
    )


@pytest.mark.parametrize("labels, ports, names", [
    ({}, {"80/tcp": 1, "443/tcp": 2}, ["httpfront-443", "httpfront-80"]),
    ({"SERVICE_NAME": "x"}, {"80/tcp": 1}, ["x"]),
    ({"SERVICE_NAME": ""}, {"80/tcp": 1}, ["httpfront"]),
    ({"SERVICE_NAME": "x"}, {"80/tcp": 1, "443/tcp": 2}, ["x-443", "x-80"]),
    ({"SERVICE_80_NAME": "y"}, {"80/tcp": 1, "443/tcp": 2}, ["httpfront-443", "y"]),
    ({"SERVICE_NAME": "x", "SERVICE_80_NAME": "y"}, {"80/tcp": 1, "443/tcp": 2}, ["x-443", "y"]),
    ({"SERVICE_8080_NAME": "y"}, {"80/tcp": 1}, ["httpfront"]),
    ({}, {"53/tcp": 1, "53/udp": 2}, ["httpfront-53", "httpfront-53"]),
    ({}, {"80/tcp": 1, "443/tcp": None}, ["httpfront"]),
    ({"SERVICE_443_IGNORE": "1"}, {"80/tcp": 1, "443/tcp": 2}, ["httpfront-80"]),
])  # fmt: skip
def test_names(labels, ports, names):
    assert sorted(service.name for service in run(container(labels=labels, ports=ports)).services) == names


def test_environment_counts_like_labels_and_labels_win():
    service = only(container(
        env=["SERVICE_NAME=from-env", "SERVICE_TAGS=env", "SERVICE_80_TAGS=port"],
        labels={"SERVICE_NAME": "from-label"}, ports={"80/tcp": 1},
    ))  # fmt: skip
    assert (service.name, service.tags) == ("from-label", ("port",))


@pytest.mark.parametrize("text, tags", [
    ("", ()), ("a", ("a",)), ("a,b", ("a", "b")), (r"a\,b,c", ("a,b", "c")), (" a , b ,,", ("a", "b")),
    ("a,b,a", ("a", "b")),
])  # fmt: skip
def test_tags(text, tags):
    assert only(container(labels={"SERVICE_TAGS": text}, ports={"80/tcp": 1})).tags == tags


def test_tags_of_all_services():
    options = replace(OPTIONS, tags="x,y")
    assert only(container(labels={"SERVICE_TAGS": "a"}, ports={"80/tcp": 1}), options=options).tags == ("a", "x", "y")


def test_udp_has_its_own_id_and_a_tag():
    service = only(container(ports={"53/udp": 5353}))
    assert (service.id, service.tags) == ("node-1:web:53:udp", ("udp",))


def test_id():
    assert only(container(labels={"SERVICE_ID": "mine"}, ports={"80/tcp": 1})).id == "mine"


@pytest.mark.parametrize("value, count", [("1", 0), ("false", 0), ("", 1)])
def test_ignore(value, count):
    assert len(run(container(labels={"SERVICE_IGNORE": value}, ports={"80/tcp": 1})).services) == count
    assert len(run(container(labels={"SERVICE_80_IGNORE": value}, ports={"80/tcp": 1})).services) == count


def test_explicit_wants_a_name():
    options = replace(OPTIONS, explicit=True)
    assert run(container(ports={"80/tcp": 1}), options=options).services == []
    assert only(container(labels={"SERVICE_NAME": "x"}, ports={"80/tcp": 1}), options=options).name == "x"


def test_everything_else_is_meta_in_lower_case():
    labels = {"SERVICE_VERSION": "v1", "SERVICE_80_Weight": "3", "SERVICE_81_OTHER": "no", "OTHER": "no"}
    assert only(container(labels=labels, ports={"80/tcp": 1})).meta == {"version": "v1", "weight": "3"}


def test_meta_that_consul_refuses_is_left_out_and_reported():
    labels = {
        "SERVICE_FOO.BAR": "1", "SERVICE_LONG": "x" * 513, "SERVICE_CONSUL-X": "1", "SERVICE_REGISTRATOR": "1",
        "SERVICE_GOOD": "x" * 512,
    }  # fmt: skip
    result = run(container(labels=labels, ports={"80/tcp": 1}))
    assert list(result.services[0].meta) == ["good"]
    assert len(result.skipped) == 4


def test_more_meta_than_consul_takes_is_left_out_and_reported():
    result = run(container(labels={f"SERVICE_K{n:02}": "1" for n in range(70)}, ports={"80/tcp": 1}))
    assert len(result.services[0].meta) == 61
    assert len(result.skipped) == 9


@pytest.mark.parametrize("name", ["a_b", "a.b", "-a", "a-", "a" * 64, "a b", "a/b", "ä", "a\n", "consul", "Consul"])
def test_name_that_dns_or_consul_refuses_is_reported(name):
    result = run(container(labels={"SERVICE_NAME": name}, ports={"80/tcp": 1}))
    assert result.services == []
    assert "SERVICE_NAME" in result.skipped[0].reason


def test_image_without_a_name_is_reported():
    assert "SERVICE_NAME" in reasons(container(image="my_image", ports={"80/tcp": 1}))[0]


@pytest.mark.parametrize("service_id", ["a b", "../x", "a/b", ".", "a\n", "x" * 256])
def test_id_that_consul_refuses_is_reported(service_id):
    assert "service id" in reasons(container(labels={"SERVICE_ID": service_id}, ports={"80/tcp": 1}))[0]


def test_one_bad_container_does_not_hurt_another():
    bad = container("bad", labels={"SERVICE_NAME": "a b"}, ports={"80/tcp": 1}, number=1)
    good = container("good", ports={"80/tcp": 2}, number=2)
    assert only(bad, good).id == "node-1:good:80"


def test_nobody_takes_the_id_of_another_container():
    thief = container("a-thief", labels={"SERVICE_ID": "node-1:web:80"}, ports={"80/tcp": 1}, number=1)
    owner = container("web", ports={"80/tcp": 2}, number=2)
    result = run(thief, owner)
    assert [service.port for service in result.services] == [2]
    assert "taken by container web" in result.skipped[0].reason


def test_control_characters_in_tags_are_left_out():
    result = run(container(labels={"SERVICE_TAGS": "ok,a\x1bb"}, ports={"80/tcp": 1}))
    assert result.services[0].tags == ("ok",)
    assert result.skipped[0].reason == "control characters"


# --- checks ---

TARGET = "192.0.2.1:80"


@pytest.mark.parametrize("labels, check", [
    ({"HTTP": "/health"}, {"Name": "http", "HTTP": f"http://{TARGET}/health", "Interval": "5s"}),
    ({"HTTP": "health"}, {"Name": "http", "HTTP": f"http://{TARGET}/health", "Interval": "5s"}),
    ({"HTTPS": "/h", "TLS_SKIP_VERIFY": "1"},
     {"Name": "https", "HTTP": f"https://{TARGET}/h", "Interval": "5s", "TLSSkipVerify": True}),
    ({"HTTP": "/", "HTTP_METHOD": "HEAD"},
     {"Name": "http", "HTTP": f"http://{TARGET}/", "Interval": "5s", "Method": "HEAD"}),
    ({"TCP": "true"}, {"Name": "tcp", "TCP": TARGET, "Interval": "5s"}),
    ({"GRPC": "true", "GRPC_USE_TLS": "1"},
     {"Name": "grpc", "GRPC": TARGET, "Interval": "5s", "GRPCUseTLS": True}),
    ({"TTL": "30s"}, {"Name": "ttl", "TTL": "30s"}),
    ({"TCP": "true", "INTERVAL": "1m30s", "TIMEOUT": "2s", "INITIAL_STATUS": "passing", "DEREGISTER_AFTER": "10m"},
     {"Name": "tcp", "TCP": TARGET, "Interval": "1m30s", "Timeout": "2s", "Status": "passing",
      "DeregisterCriticalServiceAfter": "10m"}),
    ({"TCP": "true", "HTTP": "/"}, {"Name": "http", "HTTP": f"http://{TARGET}/", "Interval": "5s"}),
])  # fmt: skip
def test_checks(labels, check):
    labels = {f"SERVICE_CHECK_{key}": value for key, value in labels.items()}
    service = only(container(labels=labels, ports={"80/tcp": 80}))
    assert (service.check, service.health, service.meta) == (check, None, {})


def test_check_of_one_port_wins():
    labels = {"SERVICE_CHECK_HTTP": "/all", "SERVICE_80_CHECK_HTTP": "/one"}
    assert only(container(labels=labels, ports={"80/tcp": 80})).check["HTTP"].endswith("/one")


def test_check_with_an_ipv6_address():
    service = only(container(labels={"SERVICE_CHECK_TCP": "1"}, ports={"80/tcp": 80}), options=Options(ip="2001:db8::1"))
    assert service.check["TCP"] == "[2001:db8::1]:80"


@pytest.mark.parametrize("labels, reason", [
    ({"CMD": "rm -rf /"}, "HEALTHCHECK"),
    ({"SCRIPT": "curl $SERVICE_IP"}, "HEALTHCHECK"),
    ({"TTL": "soon"}, "not a duration"),
    ({"TTL": "0s"}, "not a duration"),
    ({"HTTP": "/a b"}, "replaced by the engine's state"),
    ({"NONSENSE": "1"}, "unknown"),
])  # fmt: skip
def test_check_that_cannot_be_had_is_reported_and_the_engine_counts(labels, reason):
    labels = {f"SERVICE_CHECK_{key}": value for key, value in labels.items()}
    result = run(container(labels=labels, ports={"80/tcp": 80}))
    assert result.services[0].check == HEALTH
    assert any(reason in item.reason for item in result.skipped)


@pytest.mark.parametrize("key", ["INTERVAL", "TIMEOUT", "INITIAL_STATUS", "DEREGISTER_AFTER"])
def test_bad_check_setting_is_reported_and_the_default_taken(key):
    result = run(container(labels={"SERVICE_CHECK_TCP": "1", f"SERVICE_CHECK_{key}": "soon"}, ports={"80/tcp": 80}))
    assert result.services[0].check == {"Name": "tcp", "TCP": TARGET, "Interval": "5s"}
    assert len(result.skipped) == 1


@pytest.mark.parametrize("state, health", [
    ({}, ("passing", "")),
    ({"Health": {"Status": "none"}}, ("passing", "")),
    ({"Health": {"Status": "healthy"}}, ("passing", "")),
    ({"Health": {"Status": "starting"}}, ("critical", "starting")),
    ({"Health": {"Status": "unhealthy"}}, ("critical", "unhealthy")),
    ({"Status": "paused", "Paused": True}, ("critical", "paused")),
    ({"Status": "paused", "Paused": True, "Health": {"Status": "healthy"}}, ("critical", "paused")),
])  # fmt: skip
def test_health_is_the_engines_state(state, health):
    assert only(container(ports={"80/tcp": 1}, state=state)).health == health
