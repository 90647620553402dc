"""TLS pass-through: routed by the name that a client requests, and never decrypted on the way."""

import http.client
import json
import socket
import ssl
import subprocess

import pytest
from tests.support.balancer import CURRENT, STATE, backend
from tests.support.clients import tcp_open
from tests.support.wait import eventually, everywhere

HOST = "secure.example.org"


@pytest.fixture
def certificate(tmp_path):
    """Certificate and key of the application, in one text, and a file to verify it with."""
    files = tmp_path / "own.pem", tmp_path / "own.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-out", files[0], "-keyout", files[1]],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return files[0].read_text() + files[1].read_text(), files[0]


def port_of(balancer) -> int:
    return int(balancer.variables.get("balancer_tls_port", 443))


def get(balancer, name: str, ca) -> list:
    """The instance's answer, over TLS that its own certificate verifies."""
    context = ssl.create_default_context(cafile=str(ca))
    plain = socket.create_connection((balancer.address, port_of(balancer)), 10)
    with plain, context.wrap_socket(plain, server_hostname=name) as client:
        client.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return json.loads(answer.read())


def closed(balancer, name: str | None) -> bool:
    """Whether a TLS client that asks for this name gets nothing but the end of the connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((balancer.address, port_of(balancer)), 10) as plain:
        try:
            context.wrap_socket(plain, server_hostname=name).close()
        except (ssl.SSLEOFError, ConnectionResetError):
            return True
    return False


def test_h10_tls_goes_through_by_name(site, serve, certificate, show):
    text, ca = certificate
    one = serve(site.docker_hosts[0], "test-secure", "tls", certificate=text, hosts=HOST)
    other = serve(site.docker_hosts[-1], "test-secure", "tls", certificate=text, hosts=HOST)
    both = {f"test-secure-{instance.port}" for instance in (one, other)}
    took = everywhere(site.balancers, lambda b: {get(b, HOST, ca)[0] for _ in range(10)} == both, 30)
    show(f"both instances answer through TLS after: {took}")
    for balancer in site.balancers:
        assert closed(balancer, "external.example.org")
        assert closed(balancer, None)
        assert "X-Forwarded-For" not in get(balancer, HOST, ca)[2]  # nobody could have put it there
        key = text.splitlines()[-2]
        found = balancer.tries(f"grep -rlF -e {key} {' '.join(backend(site).places)} {STATE}").stdout
        assert (found, backend(site).opens in balancer.run(f"cat {CURRENT}/*")) == ("", False)
    one.stop()
    for balancer in site.balancers:  # not deregistered yet
        assert {get(balancer, HOST, ca)[0] for _ in range(6)} == {f"test-secure-{other.port}"}


def test_h10_no_listener_without_a_tls_service(site, settled):
    published = [b for b in site.balancers if b.variables.get("discovery_balancer_deployment", "host") == "overlay"]
    for balancer in site.balancers:
        if balancer not in published:
            eventually(lambda b=balancer: not tcp_open(b.address, port_of(b)), 30)
