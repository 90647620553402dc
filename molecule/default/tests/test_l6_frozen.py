"""L6: a frozen consul-template and a frozen nginx are noticed within 20 s and restarted, because they do not answer (W31).
An agent that hangs restarts nothing."""

import time

import pytest
from tests.support.balancer import status
from tests.support.clients import BACKEND_BODY, FRONT_BODY, http_get
from tests.support.wait import eventually

NOTICED = 20  # seconds
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
    for unit in ("consul-template", "nginx"):
        node.tries(f"systemctl kill --signal=SIGCONT {unit}")
    eventually(lambda: node.run("discovery-balancer status"), 60)


def test_l6_w31_frozen_consul_template(site, balancer, start_container, show):
    """An instance that starts meanwhile is served after the restart."""
    unit, before = "consul-template.service", restarts(balancer, "consul-template.service")
    freeze(balancer, unit)
    begin = time.monotonic()
    options = "-e SERVICE_NAME=test-frozen -e SERVICE_TAGS=http"
    start_container(site.docker_hosts[0], "test-frozen", "httpbackend:v1.0.0", options)
    eventually(lambda: restarts(balancer, unit) == before + 1, NOTICED)
    noticed = time.monotonic() - begin
    assert "consul-template hangs" in balancer.run("journalctl --no-pager -q -n 100 -u discovery-balancer")
    eventually(lambda: http_get(balancer.address, site.host_of("test-frozen")).body == BACKEND_BODY, HEALED - noticed)
    show(f"frozen consul-template: restarted after {noticed:.1f} s, a new service served after {time.monotonic() - begin:.1f} s")


def test_l6_frozen_balancer(site, balancer, show):
    """No process of it answers, so nothing is lost by a restart."""
    before, master = restarts(balancer, "nginx.service"), balancer.unit("nginx", "MainPID")
    freeze(balancer, "nginx.service")
    begin = time.monotonic()
    eventually(lambda: restarts(balancer, "nginx.service") == before + 1, NOTICED)
    noticed = time.monotonic() - begin
    eventually(lambda: http_get(balancer.address, site.host_of("httpfront")).body == FRONT_BODY, HEALED - noticed)
    show(f"frozen nginx: restarted after {noticed:.1f} s, answers after {time.monotonic() - begin:.1f} s")
    assert balancer.unit("nginx", "MainPID") != master


@pytest.mark.more
def test_l6_without_consul_nothing_is_restarted(site, balancer, show):
    """The agent hangs: what does not come back then is not consul-template's fault."""
    before, pid = status(balancer)["restarts"], balancer.unit("consul-template", "MainPID")
    freeze(balancer, "consul.service")
    try:
        _, seconds = eventually(lambda: "does not answer" in status(balancer)["reason"], 60)
    finally:
        balancer.run("systemctl kill --signal=SIGCONT consul.service")
        site.settle(120)
    eventually(lambda: balancer.run("discovery-balancer status"), 60)
    show(f"hanging agent: reported after {seconds:.0f} s")
    assert (status(balancer)["restarts"], balancer.unit("consul-template", "MainPID")) == (before, pid)


@pytest.mark.on("load_balancers")
def test_l6_the_sync_program_is_small_and_closed(node, show):
    """Memory of its process; nginx and docker, which it calls, are others."""
    (pid,) = node.unit("discovery-balancer", "MainPID")
    kibibytes = int(node.run(f"awk '/^VmRSS/ {{print $2}}' /proc/{pid}/status"))
    show(f"{node.name}: discovery-balancer holds {kibibytes / 1024:.1f} MB")
    assert kibibytes <= 30 * 1024
    assert node.unit("discovery-balancer", "Type", "WatchdogUSec")[0] == "notify"
