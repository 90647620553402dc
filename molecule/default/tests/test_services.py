"""The catalog: exactly what runs."""

from tests.support.balancer import CURRENT
from tests.support.clients import FRONT_BODY, http_get
from tests.support.site import SAMPLE_SERVICES


def test_h3_catalog_is_exactly_what_runs(site, settled, show):
    expected = {s["env"]["SERVICE_NAME"]: s["env"].get("SERVICE_TAGS", "") for s in SAMPLE_SERVICES}
    catalog = site.consul().get("/v1/catalog/services")
    show(f"catalog: {catalog}")
    assert {name: ",".join(tags) for name, tags in catalog.items()} == {"consul": "", **expected}


def test_h3_instances_are_the_published_ports(site, settled):
    for service in SAMPLE_SERVICES:
        assert site.passing(service["name"]) == site.published(service["name"]), service["name"]


def test_h7_backend_is_internal(site, settled):
    assert site.passing("httpbackend") == {(node.address, 8081) for node in site.docker_hosts}
    for balancer in site.balancers:
        assert http_get(balancer.address, site.host_of("httpbackend")).status == 503
        assert balancer.tries(f"grep -rq httpbackend {CURRENT}/").rc == 1


def test_h7_front_calls_it_by_name(site, settled):
    for node in site.docker_hosts:
        environment = node.run("docker inspect -f '{{json .Config.Env}}' httpfront")
        assert f"http://{site.name_of('httpbackend')}:8081/" in environment
    for balancer in site.balancers:
        assert http_get(balancer.address, site.host_of("httpfront")).body == FRONT_BODY
