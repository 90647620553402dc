"""What is under way when the balancer reloads goes on (H18); an instance that was away for a moment is back at once (L1)."""

import http.client
import json
import threading
import time

from tests.support.balancer import Reloading, status
from tests.support.clients import Websocket, http_get
from tests.support.wait import eventually, everywhere

RELOADS = 10
LONG = 30  # seconds


def served(balancer, service: str) -> bool:
    """Whether a balancer reports, after its reload, that it serves a service."""
    return service in status(balancer)["http"]


def test_h18_a_long_request_and_a_websocket_survive_ten_reloads(site, serve, show):
    where, host = site.docker_hosts[0], site.host_of("test-long")
    serve(where, "test-long", "http")
    everywhere(site.balancers, lambda b: http_get(b.address, host).status == 200 and served(b, "test-long"), 30)
    answered = {}

    def ask(balancer):
        connection = http.client.HTTPConnection(balancer.address, 80, timeout=LONG + 20)
        connection.request("GET", f"/sleep/{LONG}", headers={"Host": host})
        answer = connection.getresponse()
        answered[balancer.name] = (answer.status, json.loads(answer.read())[1])

    sockets = {balancer.name: Websocket(balancer, host) for balancer in site.balancers}
    threads = [threading.Thread(target=ask, args=(balancer,)) for balancer in site.balancers]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        with Reloading(site, where) as reloading:
            for number in range(RELOADS):
                reloading.once(LONG - (time.monotonic() - start))  # in the time of the request
                assert all(one.echoes(f"{number}") for one in sockets.values())
            reloaded = time.monotonic() - start
    finally:
        for thread in threads:
            thread.join()
    show(f"{RELOADS} reloads in {reloaded:.0f} s; the answers after {time.monotonic() - start:.0f} s: {answered}")
    assert answered == {balancer.name: (200, f"/sleep/{LONG}") for balancer in site.balancers}
    assert all(one.echoes("still there") for one in sockets.values())


def test_l1_all_instances_away_for_a_second(site, serve, show):
    """Consul is not involved: the balancer has its own observations only."""
    host = site.host_of("test-short")
    instances = [serve(site.docker_hosts[0], "test-short", "http"), serve(site.docker_hosts[-1], "test-short", "http")]
    everywhere(site.balancers, lambda b: http_get(b.address, host).status == 200, 30)
    for instance in instances:
        instance.stop()
    gone = time.monotonic()
    found = []
    while time.monotonic() - gone < 1:
        found += [http_get(balancer.address, host).status for balancer in site.balancers for _ in range(4)]
    assert set(found) == {502}
    for instance in instances:
        instance.start()
    back = time.monotonic()
    took = [eventually(lambda b=b: http_get(b.address, host).status == 200, 6, every=0.05)[1] for b in site.balancers]
    show(f"{len(found)} answers 502 while away; 200 again after {', '.join(f'{seconds:.2f} s' for seconds in took)}")
    assert time.monotonic() - back <= 6
