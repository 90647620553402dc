"""W12: a port that is published on IPv6 only is not registered by IPv4, where nobody answers: it is named instead."""

import json

from tests.support.wait import eventually

NAME = "test-w12"


def test_w12_a_port_on_ipv6_only_is_named_and_not_registered(site, settled, start_container, show):
    node = site.docker_hosts[-1]
    start_container(node, NAME, "httpbackend:v1.0.0", f"-p '[::]:8079:8081' -e SERVICE_NAME={NAME} -e SERVICE_TAGS=http")
    log = f"docker logs --tail 200 registrator 2>&1 | grep 'skipped container={NAME} '"
    eventually(lambda: "published on IPv6 only" in node.tries(log).stdout, 10)
    (lost,) = [text for text in json.loads(node.run("registrator-services"))["lost"] if text.startswith(f"{NAME}: ")]
    show(lost)
    assert "port 8081/tcp: published on IPv6 only, and the host is registered by IPv4" in lost
    assert NAME not in site.consul().get("/v1/catalog/services")


def test_w12_a_port_on_both_families_is_registered(site, settled, start_container):
    node = site.docker_hosts[-1]
    start_container(node, NAME, "httpbackend:v1.0.0", f"-p '[::]:8079:8081' -p 0.0.0.0:8079:8081 -e SERVICE_NAME={NAME}")
    eventually(lambda: site.passing(NAME) == {(node.address, 8079)}, 10)
