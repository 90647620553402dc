"""L1: an instance that was away for a moment is back at once."""

import time

from tests.support.balancer import synced
from tests.support.clients import http_get
from tests.support.wait import eventually, everywhere


def test_l1_all_instances_away_for_a_second(site, serve, show):
    """Consul is not involved: the balancer has its own observations only."""
    host = site.host_of("test-short")
    instances = [serve(site.docker_hosts[0], "test-short", "http"), serve(site.docker_hosts[-1], "test-short", "http")]
    everywhere(site.balancers, lambda b: http_get(b.address, host).status == 200 and synced(b, "test-short") == 2, 30)
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
