"""D2: HAProxy follows the instances of two hosts that use the same ports."""

import re
from collections import Counter

from tests.support.balancer import status, synced
from tests.support.clients import http_get
from tests.support.http_load import await_served, http_load
from tests.support.scaling import remove, up_and_down
from tests.support.wait import eventually

PORT, MANY = 8090, 6
NAME = re.compile(r"^\s+server (\S+) (\S+)", re.MULTILINE)


def test_d2_equal_ports_have_different_names(site, settled, start_container, tmp_path):
    """And each instance gets its turn."""
    for node in site.docker_hosts:
        options = f"-p {PORT}:8081 -e SERVICE_NAME=test-equal -e VERSION=test-equal -e SERVICE_TAGS=http"
        start_container(node, f"test-equal-{node.name}", "httpbackend:v1.0.0", options)
    await_served(site, site.backend("test-equal"))
    (balancer,) = site.balancers
    eventually(lambda: synced(balancer, "test-equal") == len(site.docker_hosts), 30)  # the first one may have been there before
    servers = NAME.findall(balancer.run("cat /etc/haproxy/discovery/services.cfg"))
    mine = {name for name, address in servers if address.endswith(f":{PORT}")}
    assert len(mine) == len(site.docker_hosts), servers
    answers = Counter(http_get(balancer.address, site.host_of("test-equal")).headers["X-Instance"] for _ in range(100))
    assert len(answers) == len(site.docker_hosts) and min(answers.values()) >= 40, answers


def test_d2_scaled_under_load_without_a_reload(site, settled, tmp_path, show):
    """1→6→1: no request fails; the service is known after its first instance, so nothing is reloaded from then on."""
    (balancer,) = site.balancers
    reloads = []

    def count() -> None:
        reloads.append(status(balancer)["reloads"])

    try:
        up_and_down(site, site.docker_hosts, MANY, tmp_path, show, at_many=count, at_one=count)
        count()
    finally:
        remove(site.docker_hosts)
    show(f"reloads with 1, {MANY} and 1 instances: {reloads}")
    assert len(reloads) == 3 and len(set(reloads)) == 1


def test_d2_a_killed_haproxy_is_back(site, settled, tmp_path, show):
    (balancer,) = site.balancers
    with http_load(site, site.front, tmp_path) as requests:
        seconds = balancer.kill("haproxy")
        await_served(site, site.front)
    show(f"active again after {seconds:.1f} s; longest gap {requests.longest_gap():.1f} s; {requests}")
    assert requests.longest_gap() <= 5
