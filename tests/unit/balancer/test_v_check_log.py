"""The check of the floating addresses asks the distribution's servers four times a second: they answer, and log none of it."""

import http.client

import pytest
from tests.support.wait import eventually

import real_haproxy
import real_nginx
from floating_address.__main__ import answers
from floating_address.judge import HOST
from instances import running


@pytest.mark.parametrize("server", [real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def test_v3_the_check_is_answered_and_not_logged(server, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "access"
    with running(server, balancer_access_log=str(log), discovery_floating_addresses=["192.0.2.100"]) as balancer:
        place = (real_nginx.ADDRESS, balancer.http_port)
        assert answers(place, patience=5) == (True, False)
        connection = http.client.HTTPConnection(*place, timeout=5)
        connection.request("GET", "/", headers={"Host": "nobody.example.org"})
        assert connection.getresponse().status == 404
        eventually(lambda: log.exists() and "nobody.example.org" in log.read_text(), 10)
        assert HOST not in log.read_text()


@pytest.mark.parametrize("server", [real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def test_v3_without_floating_addresses_nobody_hides_by_the_host_of_their_check(server, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "access"
    with running(server, balancer_access_log=str(log)) as balancer:
        assert answers((real_nginx.ADDRESS, balancer.http_port), patience=5) == (True, False)
        eventually(lambda: log.exists() and HOST in log.read_text(), 10)
