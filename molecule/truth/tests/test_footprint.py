"""What registrator needs itself."""

import re
import time

import pytest

from compared import agrees
from helpers import eventually

MANY = 100
LIMIT = 30  # MB
NAMES = "$(seq -f test-light-%g 100)"


@pytest.mark.more
def test_registrator_is_small_with_a_hundred_containers(site, settled, show):
    node = site.docker_hosts[-1]
    run = "docker run -d --init -P --expose 80 -e SERVICE_NAME=$name --name $name python:3.13-slim sleep infinity"
    try:
        node.run(f"for name in {NAMES}; do {run} || exit 1; done")
        eventually(lambda: agrees(site), 60, every=2)
        time.sleep(65)  # two comparisons of everything
        status = node.run("cat /proc/$(docker inspect -f '{{.State.Pid}}' registrator)/status")
    finally:
        node.run(f"docker rm -f {NAMES}")
    now, peak = (int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) / 1024 for key in ("VmRSS", "VmHWM"))
    show(f"registrator with {MANY} containers: VmRSS {now:.1f} MB, at most {peak:.1f} MB")
    assert peak <= LIMIT
