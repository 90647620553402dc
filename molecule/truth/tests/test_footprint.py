"""What registrator needs itself."""

import re
import time

import pytest
from tests.support.catalog_diff import resync
from tests.support.wait import eventually

MANY = 100
LIMIT = 30  # MB
NAMES = f"$(seq -f test-light-%g {MANY})"


@pytest.mark.more
def test_registrator_is_small_with_a_hundred_containers(site, settled, show):
    """On the host's network: a node of the lab has too few threads for the proxies that dockerd starts for published ports."""
    node = site.docker_hosts[-1]
    run = "docker run -d --init --network host --expose 80 -e SERVICE_NAME=$name --name $name python:3.13-slim sleep infinity"
    catalog = f"/v1/catalog/node-services/{node.name}"

    def light() -> int:
        return len([one for one in site.consul().get(catalog)["Services"] if one["Service"].startswith("test-light-")])

    try:
        node.run(f"for name in {NAMES}; do {run} || exit 1; done")
        eventually(lambda: light() == MANY, 30)
        time.sleep(2 * resync(node) + 5)
        status = node.run("cat /proc/$(docker inspect -f '{{.State.Pid}}' registrator)/status")
    finally:
        node.tries(f"docker rm -f {NAMES}")
    now, peak = (int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) / 1024 for key in ("VmRSS", "VmHWM"))
    show(f"registrator with {MANY} containers: VmRSS {now:.1f} MB, at most {peak:.1f} MB")
    assert peak <= LIMIT
