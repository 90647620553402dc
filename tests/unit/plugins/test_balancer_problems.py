"""Mistakes in the site settings of the role balancer."""

import datetime

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import balancer
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.client_cas import client_ca_problem
from tests.support.certificates import CLIENT, NOW, authority, issued, new_key, pem, private

AUTHORITY = authority()
CA = pem(AUTHORITY[1])
CERTIFICATE = {"names": ["*.hospital.example"], "certificate": "/etc/ssl/chain.pem", "key": "/etc/ssl/key.pem"}
HASH = "$5$abcdefgh$" + "x" * 43
SIGNED = {"names": ["portal.example.org"], "from": "site_ca"}
GOOD = {
    "balancer_domain": "hospital.example", "balancer_deployment": "host", "balancer_network": "", "balancer_http_port": 80,
    "balancer_tls_port": 443, "balancer_tcp_ports": "9990-9999", "balancer_udp_ports": "", "balancer_certificates": [CERTIFICATE],
    "balancer_certificates_from": "files", "balancer_acme_thumbprint": "",
    "balancer_acme_directory": "https://acme-v02.api.letsencrypt.org/directory", "balancer_acme_ca": "",
    "balancer_acme_email": "",
    "balancer_trusted_proxies": ["10.0.0.1", "10.1.0.0/16", "2001:db8::/32"], "balancer_access_log": "/var/log/nginx/access.log",
    "balancer_pages": {503: "<html>ä</html>"},
    "balancer_htpasswd": {"staff": f"# people\nanna:{HASH}\n"}, "balancer_basic_auth": "staff",
    "balancer_client_cas": {"staff": CA}, "balancer_default_host": "", "balancer_maintenance": ["a.example"],
    "balancer_proxy_protocol_from": ["10.0.0.9"], "balancer_allow": ["10.0.0.0/8", "2001:db8::1"],
    "balancer_https_redirect": "false", "balancer_hsts": "", "balancer_response_headers": {"X-Good": 1},
    "balancer_backend": "nginx", "balancer_sync_interval": 15, "balancer_consul_address": "127.0.0.1:8501",
    "balancer_consul_ui": "", "balancer_consul_ui_networks": [], "balancer_consul_servers": [],
    "balancer_consul_server_name": "server.dc1.consul",
    **{f"balancer_{name}": default for name, _, default in balancer._of_the_program("limits").LIMITS},
}  # fmt: skip
WITH_UI = {
    **GOOD, "balancer_consul_ui": "consul.hospital.example", "balancer_consul_ui_networks": ["10.8.0.0/24", "2001:db8:1::/48"],
    "balancer_consul_servers": ["consul-1"], "balancer_trusted_proxies": ["10.0.0.1"],
}  # fmt: skip
BACKENDS = ["nginx", "other"]
OVERLAY = {**GOOD, "balancer_deployment": "overlay", "balancer_network": "discovery", "balancer_access_log": "off"}


def balancer_problems(host, settings):
    return balancer.balancer_problems(host, settings, BACKENDS)


@pytest.mark.parametrize(
    "good",
    [
        GOOD, OVERLAY, {**GOOD, "balancer_https_redirect": 301, "balancer_hsts": 0}, {**GOOD, "balancer_https_redirect": False},
        {**GOOD, "balancer_certificates": [], "balancer_tls_port": "0", "balancer_http_port": "8080"},
        {**GOOD, "balancer_hsts": "31536000"}, {**GOOD, "balancer_hsts": "0", "balancer_tls_port": "8443"},
        {**GOOD, "balancer_certificates": [SIGNED, CERTIFICATE]}, {**GOOD, "balancer_certificates_from": "site_ca"},
        {**GOOD, "balancer_certificates": [{"names": ["a.example"]}, CERTIFICATE], "balancer_certificates_from": "site_ca"},
        {**GOOD, "balancer_acme_thumbprint": "J1NTgMpghBPimlzX4Qtev3qMLDaUHjRHNsBGPoQO2b8"},
        {**GOOD, "balancer_udp_ports": "5140-5149"}, {**OVERLAY, "balancer_udp_ports": "9990-9999"},
        WITH_UI, {**WITH_UI, "balancer_certificates": [{**CERTIFICATE, "names": ["consul.hospital.example"]}]},
    ],
)  # fmt: skip
def test_nothing_is_wrong(good):
    assert balancer_problems("lb-1", good) == []


def test_u1_udp_is_refused_with_haproxy():
    """It would be left out without a word: Consul is not even asked for such services."""
    wanted = {**GOOD, "balancer_backend": "haproxy", "balancer_udp_ports": "5140-5149"}
    (problem,) = balancer.balancer_problems("lb-1", wanted, ["haproxy", "nginx"])
    assert problem == (
        "balancer_udp_ports is '5140-5149' on lb-1: HAProxy balances no UDP: leave it empty, or set discovery_balancer to nginx"
    )
    assert balancer.balancer_problems("lb-1", {**wanted, "balancer_udp_ports": ""}, ["haproxy", "nginx"]) == []


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("balancer_backend", "haproxy", "set discovery_balancer to a known backend: nginx, other"),
        ("balancer_consul_address", "127.0.0.1:8500", "127.0.0.1:8501"),
        ("balancer_https_redirect", "302", "301, 308 or false"), ("balancer_https_redirect", "true", "301, 308 or false"),
        ("balancer_response_headers", {"X A": "1"}, "X A: a name has"),
        ("balancer_response_headers", {"Set-Cookie": "1"}, "Set-Cookie is not a header to add"),
        ("balancer_response_headers", {"X-A": "a\r\nb"}, "X-A: a value has"),
        ("balancer_response_headers", {f"X-{n}": "1" for n in range(9)}, "at most 8"),
        ("balancer_hsts", "1y", "number of seconds"), ("balancer_hsts", -1, "number of seconds"),
        ("balancer_sync_interval", 4, "5 to 30"), ("balancer_sync_interval", "31", "5 to 30"),
        ("balancer_udp_ports", "5140", "such as 5140-5149"), ("balancer_udp_ports", "8000-9000", "those of hosts (53, "),
        ("balancer_domain", "Hospital.example", "discovery_domain"), ("balancer_domain", "", "discovery_domain"),
        ("balancer_http_port", 0, "1 to 65535"), ("balancer_http_port", "x", "1 to 65535"),
        ("balancer_tls_port", 80, "not balancer_http_port"), ("balancer_tls_port", 70000, "not balancer_http_port"),
        ("balancer_deployment", "there", "discovery_balancer_deployment"),
        ("balancer_deployment", "overlay", "discovery_overlay"),
        ("balancer_trusted_proxies", ["proxy.example"], "proxy.example is no IP"),
        ("balancer_trusted_proxies", ["10.1.0.1/16"], "10.1.0.1/16 is no IP"),
        ("balancer_proxy_protocol_from", ["lb.example"], "lb.example is no IP"),
        ("balancer_default_host", "Portal.example", "in lower case"), ("balancer_default_host", "a b", "in lower case"),
        ("balancer_maintenance", ["*.example"], "*.example is no DNS name"),
        ("balancer_basic_auth", "guests", "one of balancer_htpasswd (staff)"),
        ("balancer_pages", {200: "x"}, "200 has no page: there are 401, 403"), ("balancer_pages", {"503": " "}, "503 is empty"),
        ("balancer_pages", {503: "a\0"}, "control characters"),
        ("balancer_allow", ["10.1.0.1/16"], "10.1.0.1/16 is no IP"), ("balancer_allow", ["office"], "office is no IP"),
        ("balancer_certificates", [{**CERTIFICATE, "names": []}], "names are none"),
        ("balancer_certificates", [{**CERTIFICATE, "names": ["A.example"]}], "names are A.example"),
        ("balancer_certificates", [{**CERTIFICATE, "key": "key.pem"}], "key is 'key.pem'"),
        ("balancer_certificates", [{"names": ["a.example"], "key": "/k.pem"}], "certificate is ''"),
        ("balancer_certificates", [{"names": ["a.example"]}], "certificate is ''"),
        ("balancer_certificates", [{**SIGNED, "certificate": "/c.pem"}], "certificate is '/c.pem', and from is site_ca: leave"),
        ("balancer_certificates", [{**SIGNED, "from": "acme.sh"}], "from is 'acme.sh': set it to files, site_ca or acme"),
        ("balancer_certificates", [{"names": ["a.example"], "from": "files"}], "leave both out and set from to site_ca or acme"),
        ("balancer_acme_thumbprint", 'x".y', "43 characters"), ("balancer_acme_thumbprint", "a" * 44, "43 characters"),
        ("balancer_certificates_from", "ca", "set it to files, site_ca or acme"),
        ("balancer_certificates", [CERTIFICATE, CERTIFICATE], "stands in two"),
        ("balancer_client_header_timeout", "15 s", "a time such as 500ms"), ("balancer_read_timeout", "1s; x", "a time such as"),
        ("balancer_client_connections", -1, "a whole number"), ("balancer_client_requests", "10r/s", "a whole number"),
        ("balancer_client_max_body_size", "1t", "a size such as"), ("balancer_response_disk_size", "68k", "a size from 1m"),
        ("balancer_header_size", "3k", "from 4k to 299k"), ("balancer_header_size", 32, "from 4k to 299k"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported(variable, value, words):
    problems = balancer_problems("lb-1", {**GOOD, variable: value})
    assert any(p.startswith(f"{variable} is {value!r} on lb-1: ") and words in p for p in problems)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("staff", "anna:geheim", "user 1 of staff has no hash"),
        ("staff", f"anna:{HASH}\nbert:$apr1$x$geheim", "user 2 of staff"),
        ("staff", "# geheim", "staff has no user"), ("a/b", f"anna:{HASH}", "'a/b' is no name"), ("false", "x", "is no name"),
        ("staff", f"an na:{HASH}", "user 1"), ("staff", f"anna:{HASH} x", "user 1"),
    ],
)  # fmt: skip
def test_p1_a_mistake_in_a_list_of_users_shows_no_hash(name, text, words):
    found = balancer_problems("lb-1", {**GOOD, "balancer_htpasswd": {name: text}, "balancer_basic_auth": ""})
    assert [problem for problem in found if words in problem and "geheim" not in problem and "$" not in problem] == found != []


def test_p1_a_page_fits_into_a_buffer_of_haproxy():
    page, small = {"503": "ä" * 6200}, {**GOOD, "balancer_header_size": "4k"}
    assert balancer_problems("lb-1", {**small, "balancer_pages": page}) == []
    settings = {**small, "balancer_pages": page, "balancer_backend": "haproxy"}
    (problem,) = balancer.balancer_problems("lb-1", settings, ["haproxy"])
    assert "12400 bytes, more than 12288" in problem and len(problem) < 1000
    assert "more than 32768" in balancer_problems("lb-1", {**GOOD, "balancer_pages": {503: "x" * 32769}})[0]


def test_p1_hsts_needs_the_port_that_browsers_ask():
    """RFC 6797, 8.3: https://<host> has no port but 443."""
    (problem,) = balancer_problems("lb-1", {**GOOD, "balancer_hsts": 600, "balancer_tls_port": "8443"})
    assert problem.startswith("balancer_hsts is 600 on lb-1: browsers would ask port 443 only, and balancer_tls_port is 8443")


def test_certificates_need_a_port():
    assert "need a port" in balancer_problems("lb-1", {**GOOD, "balancer_tls_port": 0})[0]
    signed = {**GOOD, "balancer_certificates": [], "balancer_certificates_from": "site_ca", "balancer_tls_port": 0}
    assert "need a port" in balancer_problems("lb-1", signed)[0]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("balancer_tcp_ports", "9990", "lowest and the highest"), ("balancer_tcp_ports", "9999-9990", "lowest and the highest"),
        ("balancer_tcp_ports", "400-500", "80 and 443"), ("balancer_access_log", "/var/log/x", "/dev/stdout"),
    ],
)  # fmt: skip
def test_a_mistake_of_the_container_is_reported(variable, value, words):
    (problem,) = balancer_problems("lb-1", {**OVERLAY, variable: value})
    assert words in problem


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("balancer_consul_ui", "Consul.hospital.example", "set it to a host name in lower case, such as consul.hospital.example"),
        ("balancer_consul_ui", "*.hospital.example", "a host name"), ("balancer_consul_ui", "a.example; evil", "a host name"),
        ("balancer_consul_ui", "consul.clinic.example", "set a certificate in balancer_certificates whose names have it, or *.c"),
        ("balancer_consul_ui", "deep.consul.hospital.example", "or *.consul.hospital.example"),
        ("balancer_consul_ui_networks", [], "set discovery_management_networks to the networks that may see Consul's UI"),
        ("balancer_consul_ui_networks", ["10.8.0.0/24", "office"], "office is no IP address and no network"),
        ("balancer_consul_servers", [], "set it to Consul's servers"),
        ("balancer_consul_server_name", "a b", "such as server.dc1.consul"),
        ("balancer_trusted_proxies", ["10.0.0.1", "10.8.0.7"], "all clients of 10.8.0.7 would see Consul's UI"),
        ("balancer_trusted_proxies", ["10.0.0.0/8"], "all clients of 10.0.0.0/8 would see Consul's UI"),
    ],
)  # fmt: skip
def test_u2_a_mistake_of_the_ui_is_reported(variable, value, words):
    problems = balancer_problems("lb-1", {**WITH_UI, variable: value})
    assert any(p.startswith(f"{variable} is {value!r} on lb-1: ") and words in p for p in problems), problems


def test_u2_without_the_ui_nothing_of_it_matters():
    assert balancer_problems("lb-1", {**WITH_UI, "balancer_consul_ui": "", "balancer_consul_ui_networks": []}) == []


def below(ca):
    """Key and certificate of a CA below this one."""
    key = new_key()
    return key, issued(ca, key, "below", (), (CLIENT,), is_ca=True, signing=True)


def test_p1_a_ca_of_clients_may_have_others_below_it():
    text = f"# of the staff\n{CA}\n{pem(below(AUTHORITY)[1])}".replace("\n", "\r\n")
    assert balancer_problems("lb-1", {**GOOD, "balancer_client_cas": {"staff": text, "a-b_1": CA}}) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no certificate as PEM"), ("geheim", "has no certificate as PEM"),
        ("-----BEGIN CERTIFICATE-----\nZ2VoZWlt\n-----END CERTIFICATE-----\n", "cannot be read"),
        (CA + private(AUTHORITY[0]).decode(), "has a EC PRIVATE KEY beside"), (CA + "-----BEGIN X509 CRL-----", "has a X509 CRL"),
        (pem(issued(AUTHORITY, new_key(), "h1", ())), "has CN=h1, which is no CA"),
        (pem(authority(days=-0.5)[1]), "has CN=site CA, which ended on"),
        (CA + pem(authority(days=-0.5)[1]), "which ended on"),
        (CA + pem(issued(AUTHORITY, new_key(), "h1", ())).replace("-----\n", "----- \n", 1), "has CN=h1"),  # as OpenSSL reads
        (pem(below(AUTHORITY)[1]), "has CN=below without CN=site CA, which signed it"),
    ],
)  # fmt: skip
def test_p1_a_file_that_is_no_ca_of_clients_is_refused(text, words):
    found = balancer_problems("lb-1", {**GOOD, "balancer_client_cas": {"staff": text}})
    assert len(found) == 1 and words in found[0]
    assert found[0].startswith("balancer_client_cas is ['staff'] on lb-1: the file of staff ")
    assert "geheim" not in found[0] and "-----BEGIN EC" not in found[0]


def test_p1_a_ca_of_clients_has_begun():
    assert "which begins on" in client_ca_problem(CA, NOW - datetime.timedelta(7))


@pytest.mark.parametrize("name", ["Staff", "a/b", "false", "", "x" * 33])
def test_p1_a_name_of_a_ca_is_safe_in_paths(name):
    assert "is no name of a CA" in balancer_problems("lb-1", {**GOOD, "balancer_client_cas": {name: CA}})[0]
