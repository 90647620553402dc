"""W27: a container that asks for a service and cannot have one is named with the reason, in the log and in the status."""

import json

import pytest
from tests.support.playbook import play
from tests.support.wait import eventually

NAME = "test-w27"


@pytest.fixture
def container(site, settled_after):
    """Its docker host; the container has the host's network, and its image exposes nothing."""
    node = site.docker_hosts[-1]
    node.run(f"docker run -d --init --name {NAME} --net=host -e SERVICE_NAME={NAME} python:3.13-slim sleep infinity")
    yield node
    node.run(f"docker rm -f {NAME}")


def test_w27_a_container_without_a_port_is_named(site, container, show):
    node, reason = container, "it has no port: publish one (-p)"
    log = f"docker logs --tail 200 registrator 2>&1 | grep 'skipped container={NAME} item=ports'"
    eventually(lambda: reason in node.tries(log).stdout, 10)
    (lost,) = [text for text in json.loads(node.run("registrator-services"))["lost"] if text.startswith(f"{NAME}: ")]
    assert reason in lost
    done, seconds = play(site, "playbooks/status.yml")
    assert f"{node.name}: a service that a container asks for is not registered: {NAME}: ports: {reason}" in done.stdout
    show(f"named in log and status; the page took {seconds:.0f} s")
