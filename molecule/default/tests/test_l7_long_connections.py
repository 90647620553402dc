"""L7: long connections live as long as the label of their service says, over 50 reloads (W10); new requests are served."""

import time

import pytest
from tests.support.balancer import CURRENT, Reloading, backend, status
from tests.support.clients import Websocket, http_get
from tests.support.http_load import http_load
from tests.support.wait import everywhere

HOURS = 24
LABEL = f"{HOURS}h"


def long_lived(site, serve, tmp_path, show, times: int) -> None:
    where, host = site.docker_hosts[0], site.host_of("test-labelled")
    serve(where, "test-labelled", "http", read_timeout=LABEL)
    everywhere(site.balancers, lambda b: http_get(b.address, host).status == 200, 30)
    ended = {balancer.name: status(balancer)["ended_workers"] for balancer in site.balancers}
    sockets = [Websocket(balancer, host) for balancer in site.balancers for _ in range(5)]
    begin = time.monotonic()
    with http_load(site, site.front, tmp_path) as requests, Reloading(site, where) as reloading:
        for number in range(times):
            reloading.once(20)
            assert all(one.echoes(f"{number}") for one in sockets), f"cut at reload {number}"
    old = {balancer.name: status(balancer)["old_workers"] for balancer in site.balancers}
    show(f"{times} reloads in {time.monotonic() - begin:.0f} s; {requests}; old workers: {old}")
    requests.assert_served()
    assert all(one.echoes("still there") for one in sockets)
    assert {balancer.name: status(balancer)["ended_workers"] for balancer in site.balancers} == ended


def test_l7_w10_websockets_live_over_ten_reloads(site, settled, serve, tmp_path, show):
    long_lived(site, serve, tmp_path, show, 10)


@pytest.mark.more
def test_l7_w10_websockets_live_over_50_reloads(site, settled, serve, tmp_path, show):
    long_lived(site, serve, tmp_path, show, 50)


def test_l7_old_workers_are_told_to_stop_by_their_own_generation(site, settled, serve):
    """The label is in the generation that served its connections; the site's own time holds for all others."""
    serve(site.docker_hosts[0], "test-labelled", "http", read_timeout=LABEL)
    limit = backend(site).stop.format(hours=HOURS, ms=HOURS * 3_600_000)
    everywhere(site.balancers, lambda b: limit in b.run(f"cat {CURRENT}/*"), 30)
