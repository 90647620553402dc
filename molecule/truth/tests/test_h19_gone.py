"""H19: a container that ends, in whatever way, is gone from the balancers."""

import contextlib
import time

import pytest
from tests.support.http_load import Client
from tests.support.wait import eventually

SERVICE = "test-h19"
WITHIN = 3.0  # seconds
WAYS = {
    "removed": f"docker rm -f {SERVICE}",
    "killed": f"docker kill {SERVICE}",
    "exits": f"docker exec {SERVICE} sh -c 'kill -TERM 1'",
}


@pytest.mark.parametrize("way", WAYS)
def test_h19_gone_from_both_balancers(site, settled, start_container, show, way):
    """The only instance: until it is gone a balancer tries it and answers 502, then 503 by itself."""
    node = site.docker_hosts[-1]
    start_container(node, SERVICE, "httpbackend:v1.0.0", f"-e SERVICE_NAME={SERVICE} -e VERSION={SERVICE} -e SERVICE_TAGS=http")
    clients = [Client(balancer.address, 80, site.backend(SERVICE)) for balancer in site.balancers]
    others = [Client(balancer.address, 80, site.front) for balancer in site.balancers]
    with contextlib.ExitStack() as stack:
        for one in (*clients, *others):
            stack.enter_context(one)
        eventually(lambda: all(one.last_ok(1) for one in clients), 30)
        since = int(node.run("date +%s"))
        node.run(WAYS[way])
        eventually(lambda: all(one.samples[-1].status == 503 for one in clients), 10 * WITHIN)
        time.sleep(2)
    chosen = f"--filter container={SERVICE} --filter event=die"
    died = (
        int(node.run(f"docker events --since {since} --until $(date +%s) {chosen} --format '{{{{.TimeNano}}}}'").split()[0]) / 1e9
    )
    gone = [max(sample.ended for sample in one.samples if sample.status != 503) - died for one in clients]
    tried = sum(sample.status not in (200, 503) for one in clients for sample in one.samples)
    show(
        f"{way}: last try {', '.join(f'{seconds:.2f} s' for seconds in gone)} after its end, {tried} requests in vain;"
        f" httpfront meanwhile: {'; '.join(map(str, others))}"
    )
    assert max(gone) <= WITHIN
    for one in others:
        one.assert_served()
