"""R5: a drained instance can end without a failed request, and returns on request."""

import functools
from collections.abc import Iterator

import pytest
from tests.support.catalog_watch import Watch
from tests.support.clients import http_get
from tests.support.http_load import await_served, http_load
from tests.support.playbook import play
from tests.support.wait import eventually, everywhere, side_by_side

SERVICE, IMAGE = "test-drain", "httpbackend:v1.0.0"
OPTIONS = f"-e SERVICE_NAME={SERVICE} -e VERSION={SERVICE} -e SERVICE_TAGS=http"


@pytest.fixture(scope="module")
def running(site):
    """One container on each docker host: the host's name by the name that the instance answers with."""
    site.settle()
    start = f"docker run -d --name {SERVICE} -P {OPTIONS} {IMAGE}"
    try:
        side_by_side(functools.partial(node.run, start) for node in site.docker_hosts)
        yield {node.hostname_of(SERVICE): node.name for node in site.docker_hosts}
    finally:
        side_by_side(functools.partial(node.tries, f"docker rm -f {SERVICE}") for node in site.docker_hosts)
        site.settle()


@pytest.fixture
def instances(site, running) -> dict[str, str]:
    """The same, all of them served by each balancer: one that has only those that an earlier test brought back first would have
    no other instance to ask."""
    eventually(lambda: len(site.passing(SERVICE)) == len(site.docker_hosts), 30)
    everywhere(site.balancers, lambda balancer: running.keys() <= answering(site, balancer), 30)
    return running


def answering(site, balancer) -> set[str]:
    """The names of the instances that answer some requests to a balancer in a row."""
    host = site.host_of(SERVICE)
    return {http_get(balancer.address, host).headers.get("X-Instance", "") for _ in range(4 * len(site.docker_hosts))}


def run(site, playbook: str, **given):
    """Run drain.yml or undrain.yml with these drain_… variables; how it ended."""
    options = [f"-edrain_{name}={value}" for name, value in given.items()]
    return play(site, f"playbooks/{playbook}.yml", *options)[0]


def done(site, playbook: str, **given) -> None:
    ended = run(site, playbook, **given)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-1000:]


def called(instances: dict[str, str], node) -> str:
    """The name that the instance on a node answers with."""
    return next(instance for instance, host in instances.items() if host == node.name)


def test_r5_a_container_is_drained_and_stopped(site, instances, tmp_path, show):
    node = site.docker_hosts[-1]
    goes = called(instances, node)
    with http_load(site, site.backend(SERVICE), tmp_path) as requests:
        eventually(lambda: requests.first(goes), 10)
        done(site, "drain", container=SERVICE, host=node.name, stop="true")
        ended = node.run(f"date -d $(docker inspect -f '{{{{.State.FinishedAt}}}}' {SERVICE}) +%s.%N").strip()
        assert node.run(f"docker inspect -f '{{{{.State.Running}}}}' {SERVICE}").strip() == "false"
        eventually(lambda: (node.name, f"{node.name}:{SERVICE}:8081") not in in_catalog(site), 10)
        show(f"last answer {float(ended) - requests.last(goes):.1f} s before its end; {requests}")
        requests.assert_served()
    node.run(f"docker start {SERVICE}")
    eventually(lambda: len(site.passing(SERVICE)) == len(site.docker_hosts), 30)


def in_catalog(site) -> set[tuple[str, str]]:
    """(node, id) of every instance, healthy or not."""
    return {(one["Node"], one["ServiceID"]) for one in site.consul().get(f"/v1/catalog/service/{SERVICE}")}


@pytest.fixture
def late(site) -> Iterator[str]:
    """The name of a container that a test starts."""
    yield f"{SERVICE}-late"
    site.docker_hosts[-1].tries(f"docker rm -f {SERVICE}-late")


def test_r5_a_host_is_drained_with_what_starts_there(site, instances, late, tmp_path, show):
    node = site.docker_hosts[-1]
    goes = called(instances, node)
    with Watch(site, SERVICE) as watch, http_load(site, site.backend(SERVICE), tmp_path) as requests:
        eventually(lambda: requests.first(goes), 10)
        done(site, "drain", host=node.name)
        left = requests.samples[-1].ended
        node.run(f"docker run -d --name {late} -P {OPTIONS} {IMAGE}")
        starts = (node.name, f"{node.name}:{late}:8081")
        eventually(lambda: starts in in_catalog(site), 10)
        for service in ("httpfront", "httpbackend", SERVICE):
            assert node.address not in {address for address, _ in site.passing(service)}, service
        done(site, "drain", host=node.name)  # a second time is the same
        again = requests.ended_since(left)
        show(f"{len(again)} requests while it is out, {sum(one.instance == goes for one in again)} answered by it; {requests}")
        assert goes not in {one.instance for one in again} and starts not in watch.passing
        done(site, "undrain", host=node.name)
        back = requests.samples[-1].ended
        eventually(lambda: goes in {one.instance for one in requests.ended_since(back)}, 10)
        eventually(lambda: starts in watch.passing, 10)
        requests.assert_served()


def test_r5_the_last_instance_is_drained_only_on_request(site, instances, show):
    host = site.host_of(SERVICE)
    refused = run(site, "drain", service=SERVICE)
    assert refused.returncode != 0 and f"no healthy instance would be left of {SERVICE}" in " ".join(refused.stdout.split())
    assert len(site.passing(SERVICE)) == len(site.docker_hosts)
    done(site, "drain", service=SERVICE, last="true")
    found = {balancer.name: http_get(balancer.address, host).status for balancer in site.balancers}
    show(f"without any instance: {found}")
    assert set(found.values()) == {503}
    done(site, "undrain", service=SERVICE)
    await_served(site, site.backend(SERVICE), 10)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "drain_service, drain_container and drain_host are empty"),
        ({"host": "nowhere"}, "drain_host is 'nowhere', which is not in docker_hosts"),
        ({"container": "test-nobody"}, "drain_container is 'test-nobody', which no docker host has registered"),
    ],
)
@pytest.mark.more
def test_r5_invalid_requests_are_rejected(site, given, words):
    refused = run(site, "drain", **given)
    assert refused.returncode != 0 and words in " ".join(refused.stdout.split()), refused.stdout[-2000:]


def test_r5_a_stop_without_drain_fails_no_request(site, instances, tmp_path, show):
    """Not drained: the name is gone when the signal has been sent, and a balancer asks the next instance."""
    node = site.docker_hosts[-1]
    goes = called(instances, node)
    with http_load(site, site.backend(SERVICE), tmp_path) as requests:
        eventually(lambda: requests.first(goes), 10)
        node.run(f"docker stop {SERVICE}")
        stopped = requests.samples[-1].ended
        eventually(lambda: requests.samples[-1].ended > stopped + 2, 10)
        show(f"{requests}; last answer {max(0.0, requests.last(goes) - stopped):.2f} s after docker stop returned")
        requests.assert_served()
    node.run(f"docker start {SERVICE}")
    eventually(lambda: len(site.passing(SERVICE)) == len(site.docker_hosts), 30)
