"""Challenges of ACME by HTTP-01: any balancer answers any of them, with nothing but the account's thumbprint."""

import dataclasses
import socket
from pathlib import Path

import pytest

import real_haproxy
import real_nginx
from discovery_balancer.options import Options
from instances import Instance, apply, catalog, certificate, entry
from real_nginx import ADDRESS, DOMAIN

THUMBPRINT = "J1NTgMpghBPimlzX4Qtev3qMLDaUHjRHNsBGPoQO2b8"
TOKEN = "NixeDZpC9jggDiSyEjbHq6xYX-7Ex19V-Zq0nnqvu6E"
UI = {"name": f"consul.{DOMAIN}", "server_name": "server.dc1.consul", "networks": ["10.8.0.0/24"], "servers": ["10.0.0.1:8501"]}
CHALLENGE = f"/.well-known/acme-challenge/{TOKEN}"


def get(balancer, host: str, path: str) -> tuple[int, bytes, bytes]:
    """Status, type and body of an answer in clear."""
    with socket.create_connection((ADDRESS, balancer.http_port), 10) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    (kind,) = [line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-type")] or [b""]
    return int(head.split()[1]), kind, body


@pytest.fixture
def instance():
    made = Instance(None, name="one")
    yield made
    made.close()


@pytest.mark.parametrize("server", [real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def test_a_challenge_is_answered_for_any_name_before_a_redirect(server, tmp_path, instance):
    files = certificate(tmp_path, f"*.{DOMAIN}")
    chosen = [{"names": [f"*.{DOMAIN}"], "certificate": files[0], "key": files[1]}]
    site = {"balancer_certificates": chosen, "balancer_https_redirect": "308", "balancer_acme_thumbprint": THUMBPRINT}
    site |= {"balancer_maintenance": [f"rest.{DOMAIN}"], "balancer_default_host": f"web.{DOMAIN}"}
    with server.Balancer(**site) as balancer:
        balancer.options = dataclasses.replace(balancer.options, consul_ui=UI, consul_ca=Path(files[0]).read_text())
        balancer.sync(catalog())
        balancer.start()
        apply(
            balancer, web=[entry(instance.port)], closed=[entry(instance.port, allow="10.9.9.9/32")],
            api=[entry(instance.port, hosts=f"api.{DOMAIN}", path="/.well-known")],
            own=[entry(instance.port, tags=["http", "tls"])],
        )  # fmt: skip
        asked = [f"{name}.{DOMAIN}" for name in ("web", "closed", "api", "none", "rest", "consul")]
        for host in (*asked, "nobody.example.org"):
            assert get(balancer, host, CHALLENGE) == (200, b"text/plain", f"{TOKEN}.{THUMBPRINT}".encode()), host
        assert THUMBPRINT.encode() not in get(balancer, f"own.{DOMAIN}", CHALLENGE)[2]  # its service has its own certificate
        for path in (f"{CHALLENGE}/", f"{CHALLENGE}%22", "/.well-known/acme-challenge/", f"/x{CHALLENGE}", f"{CHALLENGE}.x"):
            assert THUMBPRINT.encode() not in get(balancer, f"web.{DOMAIN}", path)[2], path
        assert [get(balancer, host, "/")[0] for host in (*asked, "nobody.example.org")] == [308, 308, 503, 503, 503, 404, 308]
        assert [get(balancer, f"consul.{DOMAIN}", path)[0] for path in ("/ui", "/ui/", "/ui/dc1", "/x")] == [404] * 4


@pytest.mark.parametrize("thumbprint", ["x", 'a"' + "a" * 41, "a" * 44])
def test_a_text_that_is_no_thumbprint_is_refused(thumbprint):
    with pytest.raises(ValueError, match="acme_thumbprint"):
        Options(domain=DOMAIN, acme_thumbprint=thumbprint)


@pytest.mark.parametrize("server", [real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def test_a_catalog_adds_nothing_else_beside_challenges(server, instance):
    with server.Balancer(balancer_acme_thumbprint=THUMBPRINT) as balancer:
        balancer.sync(catalog(web=[entry(instance.port)]))
        assert balancer.foreign() == []
