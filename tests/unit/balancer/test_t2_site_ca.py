"""T2: a leaf of the site's CA on the distribution's servers, verified by a client that trusts the CA, and renewed in place."""

import ssl
from pathlib import Path

import pytest
from tests.support.certificates import SERVER, authority, issued, new_key, pem, private

import real_haproxy
import real_nginx
from instances import Instance, apply, catalog, entry, running
from real_nginx import DOMAIN, written_by_the_roles
from test_tls import get


def put(folder: Path, ca, name: str, *san: str):
    """Key and certificate, in place as the role swaps them."""
    key = new_key()
    for end, content in ((".key", private(key)), (".pem", pem(issued(ca, key, "lb-1", san, [SERVER])).encode())):
        (folder / f"{name}{end}.next").write_bytes(content)
        (folder / f"{name}{end}.next").chmod(0o400)
    for end in (".key", ".pem"):
        (folder / f"{name}{end}.next").rename(folder / f"{name}{end}")


@pytest.fixture
def instance():
    made = Instance(name="one")
    yield made
    made.close()


@pytest.mark.parametrize("server", [real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def test_t2_every_virtual_host_has_https_and_a_new_ca_is_loaded(server, tmp_path, instance):
    """A key that does not fit its certificate, as between the two swaps, keeps the last good one."""
    ca, old = authority(), tmp_path / "ca.pem"
    old.write_text(pem(ca[1]))
    below, beside = (f"DNS:*.{DOMAIN}",), ("DNS:portal.example.org",)
    put(tmp_path, ca, "_", *below)
    put(tmp_path, ca, "portal", *beside)
    served = [
        {"names": [one[4:] for one in names], "certificate": f"{tmp_path}/{stem}.pem", "key": f"{tmp_path}/{stem}.key"}
        for stem, names in (("_", below), ("portal", beside))
    ]
    hosts = ["portal.example.org", f"web.{DOMAIN}"]
    with running(server, balancer_served_certificates=served) as balancer:
        apply(balancer, web=[entry(instance.port, hosts=",".join(hosts))], other=[entry(instance.port)])
        for host in (*hosts, f"other.{DOMAIN}"):
            assert get(balancer, host, old)[0] == 200
        new, new_ca = authority(), tmp_path / "new.pem"
        new_ca.write_text(pem(new[1]))
        kept = (tmp_path / "_.key").read_bytes()
        put(tmp_path, new, "_", *below)
        fitting = (tmp_path / "_.key").read_bytes()
        (tmp_path / "_.key").chmod(0o600)
        (tmp_path / "_.key").write_bytes(kept)
        assert balancer.sync(catalog(web=[entry(instance.port)]))["state"] != "ok"
        assert get(balancer, hosts[1], old)[0] == 200
        (tmp_path / "_.key").write_bytes(fitting)
        apply(balancer, web=[entry(instance.port)], other=[entry(instance.port)])
        assert get(balancer, hosts[1], new_ca)[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            get(balancer, hosts[1], old)


@pytest.mark.parametrize("backend", ["nginx", "haproxy"])
def test_t2_the_program_gets_the_files_of_the_role(backend):
    main = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[backend]
    given = [
        {"names": ["portal.example.org"], "from": "site_ca"},
        {"names": ["a.example"], "certificate": "/c.pem", "key": "/k.pem"},
    ]
    options = written_by_the_roles(80, backend, main, balancer_certificates=given, balancer_certificates_from="site_ca").options
    folder = "/etc/discovery-balancer-certificates"
    assert [one["certificate"] for one in options["certificates"]] == [
        f"{folder}/portal.example.org.pem", "/c.pem", f"{folder}/_.{DOMAIN}.pem",
    ]  # fmt: skip
    assert {tuple(sorted(one)) for one in options["certificates"]} == {("certificate", "key", "names")}


def test_t2_nginx_in_its_container_sees_them():
    more = {"run": "{{ __nginx_container_run | to_json }}"}
    given = {"balancer_certificates_from": "site_ca", "balancer_deployment": "overlay", "balancer_network": "discovery"}
    made = written_by_the_roles(80, "nginx", "nginx.conf", more, **given).more["run"]
    folder = "/etc/discovery-balancer-certificates"
    assert f"--mount=type=bind,src={folder},dst={folder},readonly" in made
