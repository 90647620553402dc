import pytest

from registrator.options import Options, UsageError, dockerd_address, parse


def test_command_line_of_the_original():
    arguments = "-ip 192.0.2.1 -internal -explicit=true --cleanup -resync=30 -deregister on-success " \
        "-useIpFromLabel ip -retry-attempts -1 -retry-interval 500 -tags a,b -ttl 60 -ttl-refresh 30 consul://127.0.0.1:8501"
    assert parse(arguments.split()) == Options(
        ip="192.0.2.1", internal=True, explicit=True, cleanup=True, resync=30, deregister="on-success",
        retry_attempts=-1, retry_interval=500, tags="a,b", ttl=60, ttl_refresh=30,
        use_ip_from_label="ip", uri="consul://127.0.0.1:8501",
    )  # fmt: skip


def test_network_is_ours():
    assert parse(["-internal", "-network", "discovery"]) == Options(internal=True, network="discovery")


def test_nothing_given():
    assert parse([]) == Options()


def test_boolean_does_not_take_the_next_word():
    assert parse(["-internal", "consul://h:1"]) == Options(internal=True, uri="consul://h:1")


@pytest.mark.parametrize("arguments, message", [
    ("-nonsense", "unknown flag -nonsense"),
    ("-ip-from-container", "unknown flag -ip-from-container"),
    ("--version", "unknown flag --version"),
    ("-resync soon", "whole number"),
    ("-ip", "needs a value"),
    ("-internal=perhaps", "true or false"),
    ("-network discovery", "together with -internal"),
    ("-deregister never", "always or on-success"),
    ("-retry-interval 0", "more than 0"),
    ("-resync -1", "0 or more"),
    ("-tags {{.Name}}", "templates"),
    ("etcd://127.0.0.1:4001", "consul://"),
    ("consul://127.0.0.1", "consul://"),
    ("consul://127.0.0.1:port", "consul://"),
    ("consul://a:1 -resync 1", "flags come before"),
])  # fmt: skip
def test_unusable_command_line_says_what_to_write(arguments, message):
    with pytest.raises(UsageError, match=message):
        parse(arguments.split())


@pytest.mark.parametrize("given, present, address", [
    ("unix:///run/x.sock", [], "unix:///run/x.sock"),
    ("", ["/tmp/docker.sock"], "unix:///tmp/docker.sock"),
    ("", ["/tmp/docker.sock", "/var/run/docker.sock"], "unix:///var/run/docker.sock"),
    ("", [], "unix:///var/run/docker.sock"),
])  # fmt: skip
def test_dockerds_socket_is_found(given, present, address):
    assert dockerd_address({"DOCKER_HOST": given}, present.__contains__) == address


def test_a_dockerd_elsewhere_is_refused():
    with pytest.raises(UsageError, match="DOCKER_HOST"):
        dockerd_address({"DOCKER_HOST": "tcp://192.0.2.1:2376"}, lambda path: True)
