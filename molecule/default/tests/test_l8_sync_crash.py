"""L8: the sync program is killed again and again while services change; what it left is completed, and no request fails."""

import itertools
import random
import time

import pytest
from tests.support.balancer import CURRENT, STATE, backend, status
from tests.support.clients import http_get
from tests.support.http_load import http_load
from tests.support.wait import eventually

SEED = 8  # of the pauses between two kills



def current_is_good(site, node) -> bool:
    """The link leads to a complete generation, which the balancer takes."""
    files = set(node.run(f"ls {CURRENT}/").split())
    return backend(site).files <= files and node.tries(backend(site).test).rc == 0


def well(node, gone: str) -> bool:
    """Whether its status is good, without a service that has gone."""
    return node.tries("discovery-balancer status").rc == 0 and gone not in status(node)["http"]


def killed_while_services_change(site, serve, tmp_path, show, kills: int) -> None:
    balancer, where, pause = site.balancers[0], site.docker_hosts[0], random.Random(SEED)
    serve(where, "test-kept", "http")
    eventually(lambda: http_get(balancer.address, site.host_of("test-kept")).status == 200, 30)
    api = site.consul(where)
    entry = {"ID": "test-toggle", "Name": "test-toggle", "Address": where.address, "Port": 1, "Tags": ["http"]}
    begin = time.monotonic()
    with http_load(site, site.front, tmp_path) as requests:
        for number in itertools.count():
            if number % 2:
                api.send("PUT", "/v1/agent/service/deregister/test-toggle")
            else:
                api.put("/v1/agent/service/register", entry)
            time.sleep(pause.uniform(0, 0.15))  # somewhere in the steps of this change
            balancer.run("pid=$(systemctl show discovery-balancer -p MainPID --value); [ $pid = 0 ] || kill -9 $pid || true")
            assert current_is_good(site, balancer)
            if number + 1 >= kills and number % 2:
                break
            eventually(lambda: balancer.unit("discovery-balancer", "ActiveState") == ["active"], 30, every=0.1)
        _, seconds = eventually(lambda: well(balancer, "test-toggle"), 20)
    show(f"{number + 1} kills in {time.monotonic() - begin:.0f} s; converged {seconds:.1f} s after the last; {requests}")
    requests.assert_served()
    assert balancer.run(f"ls -A {STATE}/generations | grep -c new || true").strip() == "0"


def test_l8_a_killed_sync_program_completes_what_it_left(site, settled, serve, tmp_path, show):
    killed_while_services_change(site, serve, tmp_path, show, 8)


@pytest.mark.more
def test_l8_a_sync_program_that_is_killed_thirty_times(site, settled, serve, tmp_path, show):
    killed_while_services_change(site, serve, tmp_path, show, 30)


def test_l8_a_hung_sync_program_is_restarted_by_its_watchdog(site, settled, show):
    """Its unit says so; the time itself, two minutes, is systemd's."""
    for balancer in site.balancers:
        shown = balancer.unit("discovery-balancer", "Restart", "WatchdogUSec", "NRestarts")
        assert shown[:2] == ["always", "2min"]
        show(f"{balancer.name}: {shown[2]} restarts until now")
