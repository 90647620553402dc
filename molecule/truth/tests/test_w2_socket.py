"""W2: with live-restore, a dockerd that was stopped with its socket is seen again by the registrator that outlived it."""

import contextlib
import json

import pytest
from tests.support.docker import edited
from tests.support.wait import eventually

NAME = "test-w2"
WITHIN = 5  # seconds after dockerd's start
FILE = "/etc/docker/daemon.json"


@contextlib.contextmanager
def live_restore(node):
    """dockerd takes it by a reload. A key that goes from the file changes nothing, so it is false before."""
    content = json.loads(node.run(f"cat {FILE}"))

    def set_to(value: bool) -> None:
        node.feed(f"tee {FILE}", json.dumps(content | {"live-restore": value}))
        node.run("systemctl reload docker")
        eventually(lambda: node.run("docker info -f '{{.LiveRestoreEnabled}}'").strip() == str(value).lower(), 20)

    with edited(node, FILE):
        set_to(True)
        try:
            yield
        finally:
            set_to(False)
    node.run("systemctl reload docker")


@pytest.fixture
def worker(site):
    """A docker host that is no balancer, nor the server that the tests ask."""
    return [node for node in site.docker_hosts if node not in site.balancers][-1]


def test_w2_a_socket_that_was_made_anew_is_seen(site, settled, worker, start_container, show):
    def registered() -> bool:
        return bool(site.consul().get(f"/v1/catalog/service/{NAME}"))

    start_container(worker, NAME, "httpbackend:v1.0.0", f"-e SERVICE_NAME={NAME}")
    eventually(registered, 30)
    with live_restore(worker):
        before = worker.run("stat -c %i /run/docker.sock; docker inspect -f '{{.Id}}' registrator").split()
        worker.run("systemctl stop docker.service docker.socket && systemctl start docker.service")
        worker.run(f"docker rm -f {NAME}")
        _, gone = eventually(lambda: not registered(), WITHIN)
        after = worker.run("stat -c %i /run/docker.sock; docker inspect -f '{{.Id}}' registrator").split()
        assert before[0] != after[0] and before[1] == after[1], "another socket, and the same container"
        eventually(lambda: "made anew" in worker.run("journalctl --no-pager -q -n 20 -u registrator-watch"), 10)
        show(f"a container that ended was gone {gone:.1f} s after dockerd's start")
