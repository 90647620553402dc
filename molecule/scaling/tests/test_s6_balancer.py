"""The balancer inside the overlay: nginx in a container whose backends have addresses there only.

Nobody else reaches these: what answers from outside has come through the container.
"""

import http.client
import ipaddress
import time

import pytest
from tests.support.balancer import skipped, status, synced
from tests.support.clients import BACKEND_BODY, FRONT_BODY, http_get, tcp_echo
from tests.support.docker import restart_dockerd
from tests.support.http_load import Client, Expected
from tests.support.playbook import play
from tests.support.wait import eventually

HEALED = 5.0  # seconds
CONTAINER = "discovery-nginx"
MASTER = f"docker inspect -f '{{{{.Id}}}} {{{{.State.StartedAt}}}} {{{{.State.Pid}}}}' {CONTAINER}"
KILLS = {
    "kill -9 of its master": f"kill -9 $({MASTER} | cut -d' ' -f3)",
    "docker kill": f"docker kill {CONTAINER}",
    "docker rm -f": f"docker rm -f {CONTAINER}",
    "kill -9 of its docker run": "kill -9 $(systemctl show nginx -p MainPID --value)",
}
USUAL = "kill -9 of its master"


def tcp_ports(node) -> list[int]:
    """The lowest and the highest port that the container publishes for tcp services."""
    return [int(port) for port in node.variables.get("balancer_tcp_ports", "9990-9999").split("-")]


@pytest.fixture(autouse=True)
def in_the_overlay(site):
    deployments = {node.variables.get("discovery_balancer_deployment", "host") for node in site.balancers}
    assert deployments == {"overlay"}, "the balancers of this site are not in the overlay"


@pytest.mark.on("load_balancers")
def test_s6_backends_have_overlay_addresses(site, settled, node):
    subnet = ipaddress.ip_network(node.variables.get("discovery_overlay_subnet", "10.90.0.0/16"))
    places = site.passing("httpfront")
    assert len(places) == len(site.docker_hosts)
    assert all(ipaddress.ip_address(address) in subnet for address, _ in places), places
    answers = [http_get(node.address, site.host_of("httpfront")) for _ in range(20)]
    assert {(answer.status, answer.body) for answer in answers} == {(200, FRONT_BODY)}
    assert len({answer.headers["X-Instance"] for answer in answers}) == len(site.docker_hosts)
    assert all(answer.headers["X-Seen-Forwarded-For"] == answer.source for answer in answers)
    assert "[good day]" in tcp_echo(node.address, 9999, "good day")


@pytest.mark.on("load_balancers")
@pytest.mark.parametrize("how", [USUAL, *(pytest.param(how, marks=pytest.mark.more) for how in KILLS if how != USUAL)])
def test_s6_killed_nginx_is_repaired(site, settled, node, how, show):
    before = node.run(MASTER)
    with Client(node.address, 80, site.front) as requests:
        eventually(lambda: requests.last_ok(10), 10)
        node.run(KILLS[how])
        eventually(lambda: requests.failed() and requests.last_ok(10), 30)
    show(f"{how}: {requests.longest_gap():.1f} s without an answer")
    assert requests.longest_gap() <= HEALED
    assert node.run(MASTER) != before
    eventually(lambda: node.run("discovery-balancer status"), HEALED)
    assert node.run(f"docker ps -aq --filter name={CONTAINER} | wc -l").strip() == "1"


@pytest.mark.on("load_balancers")
def test_s6_nothing_fails_when_consul_template_dies(site, settled, node, start_container, show):
    nginx = node.run(MASTER)
    host = site.host_of("test-after")
    with Client(node.address, 80, site.front) as requests:
        eventually(lambda: requests.last_ok(10), 10)
        seconds = node.kill("consul-template", 30)
        options = "-e SERVICE_NAME=test-after -e SERVICE_TAGS=http"
        start_container(node, "test-after", "httpbackend:v1.0.0", options)
        eventually(lambda: http_get(node.address, host).body == BACKEND_BODY, 30)
    show(f"consul-template is back after {seconds:.1f} s; {requests}")
    assert seconds <= HEALED
    requests.assert_served()
    assert node.run(MASTER) == nginx


@pytest.mark.more
@pytest.mark.on("load_balancers")
def test_s6_changes_reload_and_the_master_stays(site, settled, node, start_container, show):
    """A new service, which leaves again; an option of nginx.conf, and back."""
    host, front, before = site.host_of("test-new"), site.host_of("httpfront"), node.run(MASTER)

    def posted(size: int) -> int:
        connection = http.client.HTTPConnection(node.address, timeout=10)
        try:
            connection.request("POST", "/", headers={"Host": front, "Content-Length": str(size)})
            return connection.getresponse().status
        finally:
            connection.close()

    with Client(node.address, 80, site.front) as requests:
        start_container(node, "test-new", "httpbackend:v1.0.0", "-e SERVICE_NAME=test-new -e SERVICE_TAGS=http")
        eventually(lambda: http_get(node.address, host).body == BACKEND_BODY, 30)
        node.run("docker rm -f test-new")
        _, seconds = eventually(lambda: http_get(node.address, host).status == 503 and not synced(node, "test-new"), 30)
        reloads = status(node)["reloads"]
        for options, refused in ((["-e", "balancer_client_max_body_size=1k"], True), ([], False)):
            done, _ = play(site, "playbooks/load_balancer.yml", *options)
            assert done.returncode == 0, done.stdout[-3000:]
            if refused:
                assert posted(2000) == 413
        assert status(node)["reloads"] == reloads + 2
    show(f"503 {seconds:.1f} s after the last instance ended; {requests}")
    requests.assert_served()
    assert node.run(MASTER) == before


@pytest.mark.more
@pytest.mark.on("load_balancers")
def test_s6_nginx_returns_with_dockerd(site, settled, node, show):
    before, start = node.run(MASTER), time.monotonic()
    restart_dockerd(node)
    eventually(lambda: node.run("discovery-balancer status") and node.run(MASTER) != before, 90)
    show(f"nginx serves {time.monotonic() - start:.0f} s after a restart of dockerd was asked for")
    site.settle()
    show(f"and the whole site {time.monotonic() - start:.0f} s after it")


@pytest.mark.more
@pytest.mark.on("load_balancers")
def test_s6_stopped_dockerd_is_not_started_by_the_balancer(site, settled, node):
    """Its socket would start it; the sync and nginx's unit leave it alone, and report it.

    Registrator reconnects when dockerd has closed the connection: while dockerd stops, that starts it again.
    """
    node.run("docker stop registrator && systemctl stop docker.service 2>&1")
    try:
        eventually(lambda: "not running" in status(node)["reason"], 60)
        node.run("discovery-balancer sync")
        assert "not running" in node.tries("discovery-balancer status").stdout
        assert node.unit("docker", "ActiveState") == ["inactive"]
    finally:
        node.run("systemctl start docker.service")
    eventually(lambda: node.run("discovery-balancer status"), 60)


@pytest.mark.more
@pytest.mark.on("load_balancers")
def test_s6_tcp_service_outside_the_published_ports(site, settled, node, start_container):
    low, high = tcp_ports(node)
    name = f"far-{high + 1}"
    start_container(node, f"test-{name}", "tcpfront:v1.0.0", f"-e SERVICE_NAME={name} -e SERVICE_TAGS=tcp")
    eventually(lambda: name in skipped(node), 30)
    assert skipped(node)[name] == f"port {high + 1} is not one of the balancer's published ports {low}-{high}"
    assert name in node.run("discovery-balancer status")


@pytest.mark.more
@pytest.mark.on("load_balancers")
def test_s6_names_without_an_instance(site, node):
    never = http_get(node.address, site.host_of("never-was"))
    assert (never.status, bool(never.headers["Retry-After"])) == (503, True)
    for external_host in ("external.example.org", "discovery-balancer.invalid"):
        assert http_get(node.address, external_host).status == 404
    assert node.run("stat -c '%a %U' /run/discovery-balancer").strip() == "700 root"


@pytest.mark.more
@pytest.mark.on("load_balancers")
def test_s6_to_the_host_and_back(site, settled, node, show):
    """The other deployment mode by one variable. From the host nginx reaches no overlay address, so only its own pages answer."""
    for deployment, image, containers in (("host", "/usr/sbin/nginx", "0"), ("overlay", "docker run", "1")):
        with Client(node.address, 80, Expected(site.host_of("never-was"), None, 503)) as requests:
            done, seconds = play(site, "playbooks/load_balancer.yml", "-e", f"discovery_balancer_deployment={deployment}")
        assert done.returncode == 0, done.stdout[-3000:]
        assert image in node.run("systemctl show nginx -p ExecStart")
        assert node.run(f"docker ps -aq --filter name={CONTAINER} | wc -l").strip() == containers
        show(f"to the {deployment} in {seconds:.0f} s, {requests.longest_gap():.0f} s of it without an answer")
        eventually(lambda: http_get(node.address, "external.example.org").status == 404, 10)
        again, _ = play(site, "playbooks/load_balancer.yml", "-e", f"discovery_balancer_deployment={deployment}")
        assert "changed=0" in again.stdout, again.stdout[-3000:]
