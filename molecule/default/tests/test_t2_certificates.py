"""T2: HTTPS by certificates of the site's CA on load balancers; the site gets them for the test, and loses them again."""

import http.client
import json
import re
import socket
import ssl

import pytest
from tests.support.balancer import CURRENT, backend
from tests.support.playbook import play
from tests.support.wait import everywhere

PLAYBOOK = "playbooks/load_balancer.yml"
FILES = "/etc/discovery-balancer-certificates"
HOST = "t2.example.org"


def get(site, balancer, name: str) -> list:
    """The instance's answer, from a server that proves its name by the site's CA."""
    plain = socket.create_connection((balancer.address, int(balancer.variables.get("balancer_tls_port", 443))), 10)
    with plain, ssl.create_default_context(cafile=str(site.ca)).wrap_socket(plain, server_hostname=name) as client:
        client.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == 200, answer.status
        return json.loads(answer.read())


@pytest.fixture
def signed(site):
    """The site with certificates of its CA, for every name below its domain and one beside it."""
    own = [{"names": [HOST], "from": "site_ca"}]
    wanted = ("-e", json.dumps({"balancer_certificates_from": "site_ca", "balancer_certificates": own}))
    done, seconds = play(site, PLAYBOOK, *wanted)
    assert done.returncode == 0, done.stdout[-3000:]
    yield wanted, seconds
    done, _ = play(site, PLAYBOOK)
    assert done.returncode == 0, done.stdout[-3000:]
    for balancer in site.balancers:
        assert balancer.run(f"ls {FILES}").split() == ["ca.pem"]
        assert backend(site).opens not in balancer.run(f"cat {CURRENT}/*")


@pytest.mark.more
def test_t2_each_virtual_host_has_https_by_the_sites_ca(site, settled, serve, signed, show):
    again, seconds = signed
    serve(site.docker_hosts[0], "test-t2", "http", hosts=HOST)
    serve(site.docker_hosts[0], "test-t2-below", "http")
    names = (HOST, f"test-t2-below.{site.variables['discovery_domain']}")
    took = everywhere(site.balancers, lambda b: all(get(site, b, name) for name in names), 30)
    show(f"certificates after a run of {seconds:.0f} s, answers by HTTPS after: {took}")
    keys = set()
    for balancer in site.balancers:
        listed = balancer.run(f"stat -c '%a %U %n' {FILES}/*.key").splitlines()
        assert [one.split()[:2] for one in listed] == [["400", "root"]] * 2, listed
        keys |= set(balancer.run(f"sha256sum {FILES}/*.key | cut -d' ' -f1").split())
    assert len(keys) == 2 * len(site.balancers), "two balancers have one key"
    assert not list(site.secrets.rglob("*t2*")), "a key is on the controller"
    done, _ = play(site, PLAYBOOK, *again)
    assert set(re.findall(r"changed=(\d+)", done.stdout)) == {"0"}, done.stdout[-3000:]
