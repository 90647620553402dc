"""The balancers: virtual hosts, TCP listeners, and what happens when nothing is left to balance."""

import re
from collections import Counter

import pytest
from tests.support.balancer import skipped
from tests.support.clients import BACKEND_BODY, FRONT_BODY, http_get, tcp_echo, tcp_open
from tests.support.wait import everywhere

REQUESTS = 300
SHARE = 0.2


def echo_version(address: str, port: int) -> str:
    """The version that answers on a TCP port, '' for none."""
    answer = re.fullmatch(r"\[(.+?)\].* \[hello\]", tcp_echo(address, port, "hello") or "")
    return answer.group(1) if answer else ""


@pytest.mark.on("load_balancers")
def test_h8_body_is_exact(site, node):
    answer = http_get(node.address, site.host_of("httpfront"))
    assert (answer.status, answer.body) == (200, FRONT_BODY)


@pytest.mark.on("load_balancers")
def test_h8_instances_share_the_load(site, settled, node, show):
    answers = [http_get(node.address, site.host_of("httpfront")) for _ in range(REQUESTS)]
    assert {answer.status for answer in answers} == {200}
    count = Counter(answer.headers["X-Instance"] for answer in answers)
    show(f"{REQUESTS} requests: {sorted(count.values())}")
    fair = REQUESTS / len(site.docker_hosts)
    assert len(count) == len(site.docker_hosts)
    assert all(abs(found - fair) <= SHARE * fair for found in count.values())


@pytest.mark.on("load_balancers")
def test_h8_backend_sees_host_and_client(site, node):
    answer = http_get(node.address, site.host_of("httpfront"))
    assert answer.headers["X-Seen-Host"] == site.host_of("httpfront")
    assert answer.headers["X-Seen-Forwarded-For"] == answer.source


@pytest.mark.on("load_balancers")
def test_h9_tcp_echo(node):
    assert re.fullmatch(r"\[v1\.0\.0\].+ \[good day\]", tcp_echo(node.address, 9999, "good day"))


def test_h9_new_tcp_service_gets_a_listener(site, settled, start_container, show):
    where = site.docker_hosts[-1]
    start_container(where, "test-9998", "tcpfront:v1.0.0", "-e SERVICE_NAME=my-tcp-9998 -e SERVICE_TAGS=tcp -e VERSION=my")
    took = everywhere(site.balancers, lambda b: echo_version(b.address, 9998) == "my", 30)
    show(f"my-tcp-9998 is served after: {took}")
    where.run("docker rm -f test-9998")
    took = everywhere(site.balancers, lambda b: not tcp_open(b.address, 9998), 30)
    show(f"its listener is gone after: {took}")


def test_h9_name_without_port_is_skipped(site, settled, start_container):
    start_container(site.docker_hosts[0], "test-portless", "tcpfront:v1.0.0", "-e SERVICE_NAME=portless -e SERVICE_TAGS=tcp")
    everywhere(site.balancers, lambda b: "port" in skipped(b).get("portless", ""), 30)
    for balancer in site.balancers:
        assert "portless" in balancer.tries("discovery-balancer status").stdout


def test_w3_a_udp_port_is_not_balanced_as_tcp(site, settled, start_container, show):
    """Its number of TCP is another service's: half of the connections would be."""
    where, name = site.docker_hosts[-1], "syslog-9992"
    options = f"-p 20900:9999/tcp -p 20901:9999/udp -e SERVICE_9999_NAME={name} -e SERVICE_TAGS=tcp -e VERSION=syslog"
    start_container(where, "test-w3-other", "tcpfront:v1.0.0", "-p 20901:9999/tcp -e SERVICE_NAME=test-w3-other -e VERSION=other")
    start_container(where, "test-w3", "tcpfront:v1.0.0", options)
    everywhere(site.balancers, lambda b: "it is a UDP port" in skipped(b).get(name, ""), 30)
    everywhere(site.balancers, lambda b: echo_version(b.address, 9992) == "syslog", 30)
    assert len(site.passing(name)) == 2, "the catalog, and so DNS, has both"
    for balancer in site.balancers:
        versions = Counter(echo_version(balancer.address, 9992) for _ in range(20))
        show(f"{balancer.name}: {dict(versions)}; skipped: {skipped(balancer)[name]}")
        assert versions == {"syslog": 20}
        assert f"skipped: {name}: instance {where.name}:test-w3:9999:udp" in balancer.tries("discovery-balancer status").stdout


def test_x7_names_and_ports_in_use_stay_with_their_owner(site, settled, serve, start_container, show):
    """Two services claim what two others have; their names sort lower. A balancer that starts anew serves the same. When the
    owner has gone, the other one follows."""

    def start(name: str) -> None:
        options = f"-e SERVICE_NAME={name}-9997 -e SERVICE_TAGS=tcp -e VERSION={name}"
        start_container(where, f"test-{name}-9997", "tcpfront:v1.0.0", options)

    def owners(balancer) -> tuple[str, str]:
        body = http_get(balancer.address, "x7.example.org").body
        return echo_version(balancer.address, 9997), body.partition('"')[2][:6] if body.startswith("[") else body

    where = site.docker_hosts[0]
    start("b")
    serve(where, "test-b", "http", hosts="x7.example.org")
    everywhere(site.balancers, lambda b: owners(b) == ("b", "test-b"), 30)
    start("a")
    serve(where, "test-a", "http", hosts="x7.example.org")
    everywhere(site.balancers, lambda b: "9997" in skipped(b).get("a-9997", ""), 30)
    everywhere(site.balancers, lambda b: any("x7.example.org" in reason for reason in skipped(b).values()), 30)
    joining = site.balancers[0]
    joining.run("systemctl stop consul-template && rm /var/lib/discovery-balancer/catalog.json")
    joining.run("systemctl start consul-template")
    for balancer in site.balancers:
        assert owners(balancer) == ("b", "test-b"), skipped(balancer)
        assert "b-9997" not in skipped(balancer)
    where.run("docker rm -f test-b-9997")
    took = everywhere(site.balancers, lambda b: owners(b)[0] == "a", 60)
    show(f"the port of a service that has gone is the other's after: {took}")


def test_h12_no_instance_is_503_for_that_host_only(site, settled, start_container, show):
    def ask(balancer, host: str):
        return http_get(balancer.address, host)

    def masters() -> list[str]:
        return [balancer.unit(site.balancer, "MainPID") for balancer in site.balancers]

    front, other = site.host_of("httpfront"), site.host_of("httpother")
    start_container(site.docker_hosts[0], "test-other", "httpbackend:v1.0.0", "-e SERVICE_NAME=httpother -e SERVICE_TAGS=http")
    everywhere(site.balancers, lambda b: ask(b, other).body == BACKEND_BODY, 30)
    before = masters()
    try:
        for node in site.docker_hosts:
            node.run("docker stop httpfront")
        show(f"503 after: {everywhere(site.balancers, lambda b: ask(b, front).status == 503, 30)}")
        for balancer in site.balancers:
            assert ask(balancer, front).headers["Retry-After"]
            assert ask(balancer, other).status == 200
            assert ask(balancer, site.host_of("never-was")).status == 503
            assert ask(balancer, "external.example.org").status == 404
        site.docker_hosts[0].run("docker start httpfront")
        show(f"200 again after: {everywhere(site.balancers, lambda b: ask(b, front).body == FRONT_BODY, 30)}")
        assert masters() == before
    finally:
        for node in site.docker_hosts:
            node.run("docker start httpfront")
