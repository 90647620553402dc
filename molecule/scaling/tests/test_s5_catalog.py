"""S5: containers of the overlay network in the catalog."""

import contextlib
import ipaddress
import time

import pytest
from tests.support.catalog_watch import Watch
from tests.support.reboot import booted, boots, crash, power_on
from tests.support.site import SAMPLE_SERVICES
from tests.support.wait import eventually

SERVICES = [service["name"] for service in SAMPLE_SERVICES]
SICK, DEAD = 2.0, 5.0  # seconds until an unhealthy container is critical, and the instances of a dead dockerd are removed


@pytest.fixture
def watches(site, settled):
    """A watch of each sample service."""
    with contextlib.ExitStack() as stack:
        yield {service: stack.enter_context(Watch(site, service)) for service in SERVICES}


@pytest.fixture
def worker(site):
    """A docker host that is no balancer: its dockerd may die and nothing else needs repair."""
    return [node for node in site.docker_hosts if node not in site.balancers][-1]


@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.more)])
def test_s5_instances_have_overlay_addresses_and_stay_as_they_are(site, watches, show, seconds):
    anyone = next(iter(site.nodes.values())).variables
    subnet = ipaddress.ip_network(anyone.get("discovery_overlay_subnet", "10.90.0.0/16"))
    for service in SERVICES:
        passing = site.passing(service)
        assert passing == site.published(service), service
        assert all(ipaddress.ip_address(address) in subnet for address, _ in passing), f"{service}: {sorted(passing)}"
    time.sleep(seconds)
    for service, watch in watches.items():
        assert len({passing for _, passing, _ in watch.history}) == 1, f"{service} did not pass all the time"
        assert len(watch.changes) == 1, f"{service} was written in the meantime: {watch.changes}"
    show(f"{', '.join(SERVICES)}: passing with overlay addresses, index unchanged for {seconds} s")


def test_s5_unhealthy_is_critical_at_once(site, settled, worker, start_container, show):
    name = f"test-sick-{worker.name}"
    check = "--health-cmd 'test ! -e /tmp/sick' --health-interval 500ms --health-retries 1"
    start_container(worker, name, "httpbackend:v1.0.0", f"-e SERVICE_NAME=test-sick {check}")
    with Watch(site, "test-sick") as watch:
        ((_, instance),) = eventually(lambda: watch.passing, 30)[0]
        before = worker.run("date +%s").strip()
        worker.run(f"docker exec {name} touch /tmp/sick")
        critical, _ = eventually(lambda: watch.left((worker.name, instance), float(before)), 30)
    events = f"docker events --since {before} --until $(($(date +%s) + 1)) --filter container={name} --filter event=health_status"
    lines = worker.run(f"{events} --format '{{{{.TimeNano}}}} {{{{.Action}}}}'").splitlines()
    unhealthy = next(int(line.split()[0]) / 1e9 for line in lines if "unhealthy" in line)
    show(f"critical {critical - unhealthy:.2f} s after dockerd's event")
    assert critical - unhealthy <= SICK


@pytest.mark.more
@pytest.mark.parametrize("seconds", [30, pytest.param(600, marks=pytest.mark.more)])
def test_s5_a_dead_registrator_changes_nothing(site, watches, show, seconds):
    try:
        for node in site.docker_hosts:
            node.run("docker kill registrator")
        time.sleep(seconds)
        running = [node.name for node in site.docker_hosts if node.run("docker ps -q --filter name=^registrator$")]
        assert running == [], "registrator came back too early"
    finally:
        for node in site.docker_hosts:
            node.run("docker start registrator")
    time.sleep(5)
    for service, watch in watches.items():
        assert len({passing for _, passing, _ in watch.history}) == 1, f"{service} did not pass all the time"
        assert len(watch.changes) == 1, f"{service} was written: {watch.changes}"
    show(f"{seconds} s without any registrator and 5 s after: every instance passed, nothing was written")


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("kill -9 $(systemctl show docker -P MainPID)", id="killed"),
        pytest.param("systemctl stop docker docker.socket", id="stopped", marks=pytest.mark.more),
    ],
)
def test_s5_instances_of_a_dead_dockerd_are_removed(site, watches, worker, show, how):
    others = {service: {one for one in watch.passing if one[0] != worker.name} for service, watch in watches.items()}
    begin = time.time()
    try:
        worker.run(how)
        done = time.time()
        took = {}
        for service, watch in watches.items():
            gone, _ = eventually(lambda w=watch: w.gone_from(worker, begin), 30)
            took[service] = gone - begin
    finally:
        worker.run("systemctl start docker.socket docker")
    listed = ", ".join(f"{service} {seconds:.1f} s" for service, seconds in took.items())
    show(f"out of the catalog after: {listed} (the command itself took {done - begin:.1f} s)")
    assert max(took.values()) <= DEAD
    for service, watch in watches.items():
        assert all(others[service] <= passing for _, passing, _ in watch.history), f"{service}: others were out, too"
    show(f"healthy again {site.settle():.0f} s later")


@pytest.mark.more
def test_s5_services_from_before_a_boot_are_removed_before_dockerd_starts(site, settled, worker, start_container, show):
    """Its power was cut, so nothing was deregistered: the agent finds the service on its disk, and dockerd does not start it."""
    name = f"test-boot-{worker.name}"
    start_container(worker, name, "httpbackend:v1.0.0", "-e SERVICE_NAME=test-boot")
    eventually(lambda: site.passing("test-boot"), 30)
    before = boots([worker])
    crash([worker])
    assert site.consul().get("/v1/catalog/service/test-boot"), "it was deregistered: this proves nothing"
    power_on([worker])
    booted([worker], before)
    eventually(lambda: worker.unit("docker", "ActiveState") == ["active"], 120, every=0.1)
    left = site.consul().get("/v1/catalog/service/test-boot")
    assert worker.run(f"docker inspect -f '{{{{.State.Running}}}}' {name}").strip() == "false"
    show(f"{len(left)} instances in the catalog when dockerd has started")
    assert left == []
