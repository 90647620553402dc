"""What labels cannot have: it is reported, and nothing else suffers (the forms themselves: test_registrator_contract.py)."""

from dataclasses import replace

import pytest

from registrator.check import seconds
from registrator.options import Options
from registrator.wanted import wanted
from registrator_cases import HOST, container

HEALTH = {"Name": "health", "TTL": "8760h", "Notes": "state of the container in dockerd"}
OPTIONS = Options(ip="192.0.2.1")


def run(*containers, options=OPTIONS, **more):
    return wanted(containers, options, HOST, **more)


def only(*containers, options=OPTIONS, **more):
    result = run(*containers, options=options, **more)
    assert len(result.services) == 1, result
    return result.services[0]


def reasons(*containers, **more):
    return [item.reason for item in run(*containers, **more).skipped]


def test_meta_that_consul_refuses_is_skipped_and_reported():
    labels = {
        "SERVICE_FOO.BAR": "1", "SERVICE_LONG": "x" * 513, "SERVICE_CONSUL-X": "1", "SERVICE_REGISTRATOR": "1",
        "SERVICE_GOOD": "x" * 512,
    }  # fmt: skip
    result = run(container(labels=labels, ports={"80/tcp": 1}))
    assert list(result.services[0].meta) == ["good"]
    assert len(result.skipped) == 4


@pytest.mark.parametrize(("port", "most"), [("80/tcp", 60), ("80/udp", 59)])
def test_more_meta_than_consul_takes_is_skipped_and_reported(port, most):
    result = run(container(labels={f"SERVICE_K{n:02}": "1" for n in range(70)}, ports={port: 1}))
    assert len(result.services[0].meta) == most
    assert len(result.skipped) == 70 - most


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


def test_a_template_in_tags_is_text():
    assert only(container(labels={"SERVICE_TAGS": "{{.Name}}"}, ports={"80/tcp": 1})).tags == ("{{.Name}}",)


# --- checks ---

TARGET = "192.0.2.1:80"


@pytest.mark.parametrize("labels, reason", [
    ({"CMD": "rm -rf /"}, "HEALTHCHECK"),
    ({"SCRIPT": "curl $SERVICE_IP"}, "HEALTHCHECK"),
    ({"TTL": "soon"}, "not a duration"),
    ({"TTL": "0s"}, "not a duration"),
    ({"HTTP": "/a b"}, "replaced by the state in dockerd"),
    ({"NONSENSE": "1"}, "unknown"),
])  # fmt: skip
def test_check_that_is_rejected_is_replaced_by_the_state_in_dockerd(labels, reason):
    labels = {f"SERVICE_CHECK_{key}": value for key, value in labels.items()}
    result = run(container(labels=labels, ports={"80/tcp": 80}))
    assert result.services[0].check == HEALTH
    assert any(reason in item.reason for item in result.skipped)


@pytest.mark.parametrize("key, value", [
    *((key, "soon") for key in ("INTERVAL", "TIMEOUT", "INITIAL_STATUS", "DEREGISTER_AFTER")),
    ("INTERVAL", "0s"), ("INTERVAL", "2600000h"), ("INTERVAL", "1d"), ("INTERVAL", "-1s"), ("TIMEOUT", "0.0000000001s"),
])  # fmt: skip
def test_bad_check_setting_is_reported_and_the_default_taken(key, value):
    result = run(container(labels={"SERVICE_CHECK_TCP": "1", f"SERVICE_CHECK_{key}": value}, ports={"80/tcp": 80}))
    assert result.services[0].check == {"Name": "tcp", "TCP": TARGET, "Interval": "5s", "Timeout": "5s"}
    assert len(result.skipped) == 1


@pytest.mark.parametrize("text, length", [
    ("1s", 1), ("1m30s", 90), ("1.5h", 5400), ("100ms", 0.1), ("8760h", 31536000), ("10", 0), ("s", 0), ("1s ", 0), ("", 0),
])  # fmt: skip
def test_durations_are_gos(text, length):
    assert seconds(text) == pytest.approx(length)


def test_a_method_that_is_none_is_reported():
    labels = {"SERVICE_CHECK_HTTP": "/", "SERVICE_CHECK_HTTP_METHOD": "GET /x"}
    result = run(container(labels=labels, ports={"80/tcp": 80}))
    assert "Method" not in result.services[0].check
    assert "none of GET, HEAD" in result.skipped[0].reason


@pytest.mark.parametrize("kind", ["HTTP", "HTTPS"])
@pytest.mark.parametrize("method", ["", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS"])
def test_x8_a_check_follows_no_redirect_and_shows_little(kind, method):
    """Whatever the labels are: the agent asks the container, and only reads."""
    labels = {f"SERVICE_CHECK_{kind}": "/", "SERVICE_CHECK_HTTP_METHOD": method, "SERVICE_CHECK_OUTPUT_MAX_SIZE": "4096",
              "SERVICE_CHECK_DISABLE_REDIRECTS": "false", "SERVICE_CHECK_HEADER": "X: y", "SERVICE_CHECK_BODY": "z"}  # fmt: skip
    found = only(container(labels=labels, ports={"80/tcp": 80})).check
    assert found["DisableRedirects"] is True and found["OutputMaxSize"] <= 128
    assert found.get("Method", "GET") in ("GET", "HEAD") and not {"Header", "Body"} & set(found)
    assert found["HTTP"].startswith(f"{kind.lower()}://{TARGET}/")


# --- what comes with the image ---

IMAGE = {"Labels": {"SERVICE_NAME": "patients", "SERVICE_IP": "192.0.2.66", "v": "1"}, "Env": ["PATH=/bin", "SERVICE_ID=mine"]}


def imaged(labels=None, env=(), **more):
    """A container of that image, as dockerd shows it: with the image's labels and environment beneath its own."""
    given = {"labels": IMAGE["Labels"] | (labels or {}), "env": [*IMAGE["Env"][1:], *env], "ports": {"80/tcp": 80}}
    return container(**given, **more)


def test_what_the_image_says_does_not_apply():
    result = run(imaged(ImageConfig=IMAGE), options=replace(OPTIONS, use_ip_from_label="SERVICE_IP"))
    (service,) = result.services
    assert (service.name, service.id, service.address) == ("httpfront", "node-1:web:80", "192.0.2.1")
    assert [item.item for item in result.skipped] == ["SERVICE_ID", "SERVICE_IP", "SERVICE_NAME"]


def test_the_containers_own_value_applies_beside_the_images():
    service = only(imaged({"SERVICE_NAME": "shop"}, ["SERVICE_ID=yours"], ImageConfig=IMAGE))
    assert (service.name, service.id) == ("shop", "yours")


@pytest.mark.parametrize("more", [{}, {"ImageConfig": {}}, {"ImageConfig": {"Labels": None, "Env": 7}}])
def test_without_the_images_configuration_all_labels_apply(more):
    assert only(imaged(**more)).name == "patients"


def test_a_gone_image_is_reported_once_where_it_matters():
    assert reasons(imaged(ImageConfig=None)) == ["it is gone, so its labels apply as those of the container"]
    assert reasons(container(ports={"80/tcp": 80}, ImageConfig=None)) == []


@pytest.mark.parametrize("state, health", [
    ({}, ("passing", "")),
    ({"Health": {"Status": "none"}}, ("passing", "")),
    ({"Health": {"Status": "healthy"}}, ("passing", "")),
    ({"Health": {"Status": "starting"}}, ("critical", "starting")),
    ({"Health": {"Status": "unhealthy"}}, ("critical", "unhealthy")),
    ({"Status": "paused", "Paused": True}, ("critical", "paused")),
    ({"Status": "paused", "Paused": True, "Health": {"Status": "healthy"}}, ("critical", "paused")),
])  # fmt: skip
def test_health_is_the_state_in_dockerd(state, health):
    assert only(container(ports={"80/tcp": 1}, state=state)).health == health
