"""W27: a container that asks for a service and gets none is named with the reason, in the log and in the status of the site."""

from dataclasses import replace

import pytest

from registrator.listing import listing
from registrator.options import Options
from registrator.wanted import wanted
from registrator_cases import HOST, container

OPTIONS = Options(ip="192.0.2.1")
NAMED = {"SERVICE_NAME": "shop"}
LOOPBACK = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]}
ONE = {"80/tcp": 32768}


def skipped(options=OPTIONS, **given):
    return wanted([container(**given)], options, HOST).skipped


@pytest.mark.parametrize("mode", ["host", "bridge", "none", "app", "container:other"])
@pytest.mark.parametrize("key", ["SERVICE_NAME", "SERVICE_TAGS", "SERVICE_ID", "SERVICE_CHECK_HTTP", "SERVICE_BALANCER_HOSTS"])
def test_w27_a_container_without_a_port_is_reported(mode, key):
    (one,) = skipped(mode=mode, labels={key: "shop"})
    assert (one.container, one.item, one.lost) == ("web", "ports", True)
    assert one.reason.startswith("it has no port: publish one (-p)") and "--expose" in one.reason


def test_w27_by_environment_too():
    assert [one.item for one in skipped(mode="host", env=["SERVICE_NAME=shop"])] == ["ports"]


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"SERVICE_ACCOUNT": "x"},
        {"SERVICE_NAME": ""},
        {"SERVICE_NAME": "x", "SERVICE_IGNORE": "1"},
        {"SERVICE_80_IGNORE": "1"},
    ],
)
def test_w27_who_asks_for_nothing_is_not_reported(labels):
    """Applications have variables SERVICE_… of their own."""
    assert skipped(mode="host", labels=labels) == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"ports": {}, "exposed": ["80/tcp"]}, "not published on the host"),
        ({"ports": LOOPBACK}, "published on a loopback address only"),
        ({"ports": {"80/sctp": 1}}, "sctp is not supported"),
        ({"mode": "container:gone", "exposed": ["80/tcp"]}, "the container whose network it uses does not run"),
        ({"mode": "host", "exposed": ["8500/tcp"]}, "port 8500 of a host belongs to the platform: publish another one"),
    ],
)
def test_w27_no_usable_port_is_lost_for_who_asks_and_else_only_logged(given, reason):
    assert [(one.reason, one.lost) for one in skipped(labels=NAMED, **given)] == [(reason, True)]
    assert [(one.reason, one.lost) for one in skipped(**given)] == [(reason, False)]


def test_w27_a_further_port_that_is_not_published_is_no_loss():
    (one,) = skipped(labels=NAMED, ports=ONE, exposed=["443/tcp"])
    assert (one.item, one.lost) == ("port 443/tcp", False)
    assert [one.lost for one in skipped(labels={"SERVICE_443_NAME": "shop"}, ports=ONE, exposed=["443/tcp"])] == [True]


def test_w27_a_port_that_the_container_has_not_is_reported():
    (one,) = skipped(labels={"SERVICE_8080_NAME": "shop"}, ports=ONE)
    assert one == ("web", "port 8080", "the container has no such port", True)
    assert skipped(labels={"SERVICE_8080_URL": "x", "SERVICE_8081_IGNORE": "1", "SERVICE_8082_NAME": ""}, ports=ONE) == []


def test_w27_one_protocol_of_a_port_is_enough():
    (one,) = skipped(labels={"SERVICE_53_NAME": "names"}, ports={"53/tcp": 5353, "53/udp": None})
    assert (one.item, one.lost) == ("port 53/udp", False)


def test_w27_a_port_that_is_ignored_is_no_loss():
    assert skipped(labels=NAMED | {"SERVICE_80_IGNORE": "1"}, ports=ONE) == []
    (one,) = skipped(labels=NAMED | {"SERVICE_80_IGNORE": "1"}, ports=ONE, exposed=["443/tcp"])
    assert (one.item, one.lost) == ("port 443/tcp", True), "the other one is asked for, and there is no service"


def test_w27_without_a_name_where_only_named_ones_are_registered():
    explicit = replace(OPTIONS, explicit=True)
    (one,) = skipped(explicit, labels={"SERVICE_TAGS": "http"}, ports=ONE)
    assert "only containers with SERVICE_NAME" in one.reason and one.lost
    assert skipped(explicit, ports=ONE) == []
    assert skipped(explicit, labels={"SERVICE_80_NAME": "x", "SERVICE_TAGS": "http"}, ports=ONE | {"443/tcp": 32769}) == []


def test_w27_a_name_that_cannot_be_is_a_loss_and_a_bad_setting_is_none():
    assert [one.lost for one in skipped(labels={"SERVICE_NAME": "two words"}, ports=ONE)] == [True]
    assert [one.lost for one in skipped(labels=NAMED | {"SERVICE_CHECK_CMD": "x"}, ports=ONE)] == [False]
    mine, other = (container(name, number=n, labels={"SERVICE_ID": "x"}, ports={"80/tcp": n}) for n, name in enumerate("ab", 1))
    assert [(one.container, one.lost) for one in wanted([mine, other], OPTIONS, HOST).skipped] == [("b", True)]


class Dockerd:
    def containers(self, stopped):
        yield container(mode="host", labels=NAMED)
        yield container("quiet", ports=LOOPBACK, number=2)

    def id(self):
        return "engine-1"


def test_w27_the_status_gets_it_with_container_and_reason():
    (text,) = listing(OPTIONS, Dockerd(), HOST)["lost"]
    assert text.startswith("web: ports: it has no port: publish one (-p)")
    assert listing(OPTIONS, Dockerd(), HOST, other=True)["lost"] == []
