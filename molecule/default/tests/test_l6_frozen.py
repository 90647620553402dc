"""L6: a frozen consul-template, balancer or registrator is noticed within 20 s and restarted, because it does not answer (W31).
An agent or a dockerd that hangs restarts nothing."""

import json
import time

import pytest
from tests.support.balancer import status
from tests.support.catalog_watch import Watch
from tests.support.clients import BACKEND_BODY, FRONT_BODY, http_get
from tests.support.wait import eventually, everywhere, side_by_side

NOTICED = 20  # seconds from the freeze
HEALED = 40  # from the freeze: noticed, stopped, started, synced


def restarts(node, unit: str) -> int:
    """How often the sync program has restarted a unit because it hung."""
    return status(node)["restarts"].get(unit, [0])[0]


def freeze(node, unit: str) -> None:
    """Stop all processes of a unit without ending them."""
    node.run(f"systemctl kill --signal=SIGSTOP {unit}")


@pytest.fixture
def balancer(site, settled):
    """A balancer that is well before, and again after."""
    node = site.balancers[-1]
    eventually(lambda: node.run("discovery-balancer status"), 60)
    yield node
    for unit in ("consul-template", site.balancer):
        node.tries(f"systemctl kill --signal=SIGCONT {unit}")
    eventually(lambda: node.run("discovery-balancer status"), 60)


def frozen_consul_template(site, balancer, start_container, show) -> None:
    """An instance that starts meanwhile is served after the restart."""
    unit, before = "consul-template.service", restarts(balancer, "consul-template.service")
    freeze(balancer, unit)
    begin = time.monotonic()
    options = "-e SERVICE_NAME=test-frozen -e SERVICE_TAGS=http"
    start_container(site.docker_hosts[0], "test-frozen", "httpbackend:v1.0.0", options)
    eventually(lambda: restarts(balancer, unit) == before + 1, NOTICED - (time.monotonic() - begin))
    noticed = time.monotonic() - begin
    eventually(lambda: "consul-template hangs" in balancer.run("journalctl --no-pager -q -n 100 -u discovery-balancer"), 10)
    eventually(lambda: http_get(balancer.address, site.host_of("test-frozen")).body == BACKEND_BODY, HEALED - noticed)
    show(f"frozen consul-template: restarted after {noticed:.1f} s, a new service served after {time.monotonic() - begin:.1f} s")


def frozen_balancer(site, balancer, show) -> None:
    """No process of it answers, so nothing is lost by a restart."""
    unit = f"{site.balancer}.service"
    before, master = restarts(balancer, unit), balancer.unit(unit, "MainPID")
    freeze(balancer, unit)
    begin = time.monotonic()
    eventually(lambda: restarts(balancer, unit) == before + 1, NOTICED)
    noticed = time.monotonic() - begin
    eventually(lambda: http_get(balancer.address, site.host_of("httpfront")).body == FRONT_BODY, HEALED - noticed)
    show(f"frozen {site.balancer}: restarted after {noticed:.1f} s, answers after {time.monotonic() - begin:.1f} s")
    assert balancer.unit(unit, "MainPID") != master


def hung(node) -> int:
    """How often the watch has restarted registrator because it hung; its own file, which is there after the first time."""
    return json.loads(node.run("cat /run/registrator-watch/state.json 2>/dev/null || echo {}")).get("restarts", 0)


def registrator(node) -> str:
    """The process id of registrator on its host."""
    return node.run("docker inspect -f '{{.State.Pid}}' registrator").strip()


def frozen_registrator(site, node, start_container, show) -> None:
    """A container that starts meanwhile is in the catalog after the restart, and no other leaves it."""
    before, pid = hung(node), registrator(node)
    with Watch(site, "httpfront") as others:
        node.run(f"kill -STOP {pid}")
        begin, stayed = time.time(), others.passing
        start_container(node, "test-frozen-registrator", "httpbackend:v1.0.0", "-e SERVICE_NAME=test-frozen-registrator")
        eventually(lambda: hung(node) == before + 1, NOTICED - (time.time() - begin))
        noticed = time.time() - begin
        eventually(lambda: site.passing("test-frozen-registrator"), HEALED - noticed)
        show(f"frozen registrator: restarted after {noticed:.1f} s, a new container registered after {time.time() - begin:.1f} s")
        assert [instance for instance in stayed if others.left(instance, begin)] == [], "a restart takes nothing out"
    assert registrator(node) != pid
    logged = "journalctl --no-pager -q -n 20 -u registrator-watch"
    eventually(lambda: "restarted container=registrator" in node.run(logged), 10)


@pytest.fixture
def thawed(site, settled):
    """Balancers that are well before; after the test all processes go on, and the site is healthy."""
    everywhere(site.balancers, lambda node: node.run("discovery-balancer status"), 60)
    yield
    for node in site.balancers:
        node.tries(f"systemctl kill --signal=SIGCONT consul-template; systemctl kill --signal=SIGCONT {site.balancer}")
    for node in site.docker_hosts:
        node.tries("kill -CONT $(docker inspect -f '{{.State.Pid}}' registrator)")
    everywhere(site.balancers, lambda node: node.run("discovery-balancer status"), 60)


def test_l6_w31_frozen_programs_are_noticed_and_restarted(site, thawed, start_container, show):
    """Each on another host, all at the same time: each host notices by itself."""
    one, other = site.balancers[-1], site.balancers[0]
    third = next(node for node in reversed(site.docker_hosts) if node not in (one, other))
    side_by_side([
        lambda: frozen_consul_template(site, one, start_container, show),
        lambda: frozen_balancer(site, other, show),
        lambda: frozen_registrator(site, third, start_container, show),
    ])  # fmt: skip


@pytest.fixture
def docker_host(site, settled):
    """A docker host whose registrator works before, and again after."""
    node = site.docker_hosts[0]
    yield node
    node.tries("systemctl kill --kill-who=main --signal=SIGCONT docker.service")
    node.tries("kill -CONT $(docker inspect -f '{{.State.Pid}}' registrator)")
    site.settle(120)


@pytest.mark.more
def test_l6_a_dockerd_that_hangs_restarts_no_registrator(docker_host, show):
    """It signs on while it waits for an answer."""
    node, before, pid = docker_host, hung(docker_host), registrator(docker_host)
    begin = float(node.run("date +%s"))
    node.run("systemctl kill --kill-who=main --signal=SIGSTOP docker.service")
    try:
        _, seconds = eventually(lambda: float(node.run("stat -c %.Y /run/registrator/alive")) > begin + 2 * NOTICED, 60)
    finally:
        node.run("systemctl kill --kill-who=main --signal=SIGCONT docker.service")
    show(f"dockerd hung for {seconds:.0f} s: registrator signed all the time")
    assert (hung(node), registrator(node)) == (before, pid)


@pytest.mark.more
def test_l6_without_consul_nothing_is_restarted(site, balancer, show):
    """The agent hangs: what does not come back then is not consul-template's fault."""
    before, pid = status(balancer)["restarts"], balancer.unit("consul-template", "MainPID")
    registrators = {node.name: hung(node) for node in site.docker_hosts}
    freeze(balancer, "consul.service")
    try:
        _, seconds = eventually(lambda: "does not answer" in status(balancer)["reason"], 60)
    finally:
        balancer.run("systemctl kill --signal=SIGCONT consul.service")
        site.settle(120)
    eventually(lambda: balancer.run("discovery-balancer status"), 60)
    show(f"hanging agent: reported after {seconds:.0f} s")
    assert (status(balancer)["restarts"], balancer.unit("consul-template", "MainPID")) == (before, pid)
    assert {node.name: hung(node) for node in site.docker_hosts} == registrators


def assert_small(node, unit: str, megabytes: int, show) -> None:
    """A program that stays: the memory of its process, and that systemd is told that it lives."""
    (pid,) = node.unit(unit, "MainPID")
    kibibytes = int(node.run(f"awk '/^VmRSS/ {{print $2}}' /proc/{pid}/status"))
    show(f"{node.name}: {unit} holds {kibibytes / 1024:.1f} MB")
    assert kibibytes <= megabytes * 1024
    assert node.unit(unit, "Type", "WatchdogUSec")[0] == "notify"


@pytest.mark.on("docker_hosts")
def test_l6_the_watch_of_registrator_is_small_and_closed(node, show):
    assert_small(node, "registrator-watch", 25, show)
    assert node.run("stat -c '%a %U' /run/registrator /run/registrator/alive").split() == ["700", "root", "600", "root"]


@pytest.mark.on("load_balancers")
def test_l6_the_sync_program_is_small_and_closed(node, show):
    """The balancer and docker, which it calls, are others."""
    assert_small(node, "discovery-balancer", 30, show)
