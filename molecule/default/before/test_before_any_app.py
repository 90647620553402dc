"""The site before anything runs on it."""

from tests.support.clients import http_get


def test_h3_only_consul_is_in_the_catalog(site):
    assert set(site.consul().get("/v1/catalog/services")) == {"consul"}


def test_h12_balancers_answer_before_any_service_exists(site):
    for balancer in site.balancers:
        answer = http_get(balancer.address, site.host_of("httpfront"))
        assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        assert http_get(balancer.address, "elsewhere.example").status == 404
