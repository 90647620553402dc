"""L7: long connections live as long as the label of their service says, over 50 reloads (W10); new requests are served. H18: a
request and a websocket under way survive ten reloads without a label, too."""

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.balancer import CURRENT, Reloading, backend, status, synced
from tests.support.clients import Websocket, http_get
from tests.support.http_load import http_load
from tests.support.wait import everywhere

HOURS = 24
LABEL = f"{HOURS}h"
LONG = 30  # seconds


@pytest.fixture
def labelled(site, settled, serve) -> str:
    """The virtual host of a service with a label, which each balancer serves."""
    host = site.host_of("test-labelled")
    serve(site.docker_hosts[0], "test-labelled", "http", read_timeout=LABEL)
    everywhere(site.balancers, lambda b: http_get(b.address, host).status == 200 and synced(b, "test-labelled"), 30)
    return host


def long_lived(site, host: str, tmp_path, show, times: int, others: list[Websocket]) -> None:
    """Reload the balancers so often: websockets of a service with a label, and these others, live on, and no request fails."""
    where = site.docker_hosts[0]
    ended = {balancer.name: status(balancer)["ended_workers"] for balancer in site.balancers}
    sockets = [*others, *(Websocket(balancer, host) for balancer in site.balancers for _ in range(5))]
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


def long_answer(balancer, host: str) -> tuple[int, str]:
    """Status and path of the answer to a request that takes its time."""
    connection = http.client.HTTPConnection(balancer.address, 80, timeout=LONG + 20)
    connection.request("GET", f"/sleep/{LONG}", headers={"Host": host})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())[1]


def test_h18_l7_w10_long_connections_live_over_ten_reloads(site, labelled, serve, tmp_path, show):
    """Of a service without a label a request and a websocket on each balancer; of one with a label websockets."""
    where, host = site.docker_hosts[0], site.host_of("test-long")
    serve(where, "test-long", "http")
    # Each balancer reports it after its reload, which is none of the ten.
    everywhere(site.balancers, lambda b: http_get(b.address, host).status == 200 and synced(b, "test-long"), 30)
    sockets, begin = [Websocket(balancer, host) for balancer in site.balancers], time.monotonic()
    with ThreadPoolExecutor(len(site.balancers)) as pool:
        asked = {balancer.name: pool.submit(long_answer, balancer, host) for balancer in site.balancers}
        long_lived(site, labelled, tmp_path, show, 10, sockets)
        reloaded = time.monotonic() - begin
        answered = {name: one.result() for name, one in asked.items()}
    show(f"reloaded until {reloaded:.0f} s after the requests; the answers after {time.monotonic() - begin:.0f} s: {answered}")
    assert reloaded < LONG, "not all reloads were in the time of the requests"
    assert answered == {balancer.name: (200, f"/sleep/{LONG}") for balancer in site.balancers}
    assert all(one.echoes("at the end") for one in sockets)


@pytest.mark.more
def test_l7_w10_websockets_live_over_50_reloads(site, labelled, tmp_path, show):
    long_lived(site, labelled, tmp_path, show, 50, [])


def test_l7_old_workers_are_told_to_stop_by_their_own_generation(site, settled, serve):
    """The label is in the generation that served its connections; the site's own time holds for all others."""
    serve(site.docker_hosts[0], "test-labelled", "http", read_timeout=LABEL)
    limit = backend(site).stop.format(hours=HOURS, ms=HOURS * 3_600_000)
    everywhere(site.balancers, lambda b: limit in b.run(f"cat {CURRENT}/*"), 30)
