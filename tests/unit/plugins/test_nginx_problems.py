"""Mistakes in the variables of the role nginx."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.nginx import nginx_problems

CERTIFICATE = {"names": ["*.hospital.example"], "certificate": "/etc/ssl/chain.pem", "key": "/etc/ssl/key.pem"}
GOOD = {
    "nginx_domain": "hospital.example", "nginx_placement": "host", "nginx_network": "", "nginx_http_port": 80,
    "nginx_tls_port": 443, "nginx_tcp_ports": "9990-9999", "nginx_certificates": [CERTIFICATE],
    "nginx_trusted_proxies": ["10.0.0.1", "10.1.0.0/16", "2001:db8::/32"], "nginx_access_log": "/var/log/nginx/access.log",
}  # fmt: skip
OVERLAY = {**GOOD, "nginx_placement": "overlay", "nginx_network": "discovery", "nginx_access_log": "off"}


@pytest.mark.parametrize(
    "good", [GOOD, OVERLAY, {**GOOD, "nginx_certificates": [], "nginx_tls_port": "0", "nginx_http_port": "8080"}]
)
def test_nothing_is_wrong(good):
    assert nginx_problems("lb-1", good) == []


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("nginx_domain", "Hospital.example", "discovery_domain"), ("nginx_domain", "", "discovery_domain"),
        ("nginx_http_port", 0, "1 to 65535"), ("nginx_http_port", "x", "1 to 65535"),
        ("nginx_tls_port", 80, "not nginx_http_port"), ("nginx_tls_port", 70000, "not nginx_http_port"),
        ("nginx_placement", "there", "discovery_balancer_placement"), ("nginx_placement", "overlay", "discovery_overlay"),
        ("nginx_trusted_proxies", ["proxy.example"], "proxy.example is no IP"),
        ("nginx_trusted_proxies", ["10.1.0.1/16"], "10.1.0.1/16 is no IP"),
        ("nginx_certificates", [{**CERTIFICATE, "names": []}], "names are none"),
        ("nginx_certificates", [{**CERTIFICATE, "names": ["A.example"]}], "names are A.example"),
        ("nginx_certificates", [{**CERTIFICATE, "key": "key.pem"}], "key is 'key.pem'"),
        ("nginx_certificates", [{"names": ["a.example"], "key": "/k.pem"}], "certificate is ''"),
        ("nginx_certificates", [CERTIFICATE, CERTIFICATE], "stands in two"),
    ],
)  # fmt: skip
def test_a_mistake_is_told(variable, value, told):
    problems = nginx_problems("lb-1", {**GOOD, variable: value})
    assert any(p.startswith(f"{variable} is {value!r} on lb-1: ") and told in p for p in problems)


def test_certificates_need_a_port():
    assert "need a port" in nginx_problems("lb-1", {**GOOD, "nginx_tls_port": 0})[0]


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("nginx_tcp_ports", "9990", "lowest and the highest"), ("nginx_tcp_ports", "9999-9990", "lowest and the highest"),
        ("nginx_tcp_ports", "400-500", "80 and 443"), ("nginx_access_log", "/var/log/x", "/dev/stdout"),
    ],
)  # fmt: skip
def test_a_mistake_of_the_container_is_told(variable, value, told):
    (problem,) = nginx_problems("lb-1", {**OVERLAY, variable: value})
    assert told in problem
