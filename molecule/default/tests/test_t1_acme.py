"""T1: certificates by ACME on load balancers, from a CA on this machine. The site gets them for the test, and loses them."""

import http.client
import json
import re
import socket
import ssl
import threading
import time

import pytest
from lab.inventory import Site as Lab
from tests.support.acme import Ca
from tests.support.playbook import play, status_page
from tests.support.wait import eventually, side_by_side

PLAYBOOK = "playbooks/load_balancer.yml"
HOST = "t1.example.org"
FILES = "/etc/discovery-balancer-acme"
LEFT = f"/etc/discovery-acme {FILES} /var/lib/discovery-acme /usr/local/lib/discovery-acme /usr/local/sbin/discovery-acme"
LASTS = 75  # seconds, so that one is due after 50
BOUND = 30  # seconds from the order to HTTPS


def get(balancer, context) -> str:
    """The serial number of a certificate by which the instance's answer came; the client verifies what its context says."""
    plain = socket.create_connection((balancer.address, int(balancer.variables.get("balancer_tls_port", 443))), 10)
    with plain, context.wrap_socket(plain, server_hostname=HOST) as client:
        client.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == 200, answer.status
        json.loads(answer.read())
        return (client.getpeercert() or {}).get("serialNumber", "")


class Load:
    """Requests by HTTPS to each load balancer, a new connection for each, until the block ends; anything but an answer of the
    instance with a certificate that is good is a failure."""

    def __init__(self, balancers, context):
        self.sent, self.failures, self.serials, self._over = 0, [], {one.name: [] for one in balancers}, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(one, context)) for one in balancers]

    def _ask(self, balancer, context):
        while not self._over.wait(0.02):
            try:
                serial = get(balancer, context)
                if serial not in self.serials[balancer.name]:
                    self.serials[balancer.name].append(serial)
            except (OSError, AssertionError, ValueError, http.client.HTTPException) as error:
                self.failures.append(f"{balancer.name}: {error!r}")
            self.sent += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def ca(site, tmp_path):
    with Ca(tmp_path, str(Lab.read(site.made_from).gateway), site.balancers[0].address, LASTS) as running:
        yield running


@pytest.fixture
def ordered(site, ca):
    """The site with a certificate of that CA; the options of the run."""
    wanted = {"balancer_certificates": [{"names": [HOST], "from": "acme"}]}
    wanted |= {"balancer_acme_directory": ca.directory, "balancer_acme_ca": str(ca.file)}
    yield ("-e", json.dumps(wanted))
    done, _ = play(site, PLAYBOOK)
    assert done.returncode == 0, done.stdout[-3000:]
    for balancer in site.balancers:
        assert balancer.tries(f"ls -d {LEFT}").stdout == ""
        assert balancer.unit("discovery-acme.timer", "LoadState", "ActiveState") == ["not-found", "inactive"]


def since_order(balancer) -> float:
    """Seconds since the last order began."""
    (began,) = balancer.unit("discovery-acme.service", "ExecMainStartTimestampMonotonic")
    return float(balancer.run("cut -d' ' -f1 /proc/uptime")) - int(began) / 1e6


@pytest.mark.more
def test_t1_https_by_acme_from_nothing_renewed_under_load_and_with_a_ca_that_is_away(site, settled, serve, ca, ordered, show):
    serve(site.docker_hosts[0], "test-t1", "http", hosts=HOST)
    done, seconds = play(site, PLAYBOOK, *ordered)
    assert done.returncode == 0, done.stdout[-3000:]
    trusted = ssl.create_default_context(cadata=ca.root)

    def served(balancer) -> float:
        def good():
            try:
                return bool(get(balancer, trusted))
            except (OSError, AssertionError):
                return False

        eventually(good, BOUND, every=0.2)
        return since_order(balancer)

    took = side_by_side(lambda one=one: served(one) for one in site.balancers)
    show(f"a run of {seconds:.0f} s; from the order to HTTPS: {', '.join(f'{one:.1f} s' for one in took)}")
    assert max(took) <= BOUND
    for balancer in site.balancers:
        listed = balancer.run(f"stat -c '%a %U' {FILES}/*.key /etc/discovery-acme/account.key").split("\n")
        assert [one.strip() for one in listed if one] == ["400 root", "600 root"]
    keys = {balancer.run(f"sha256sum {FILES}/*.key").split()[0] for balancer in site.balancers}
    assert len(keys) == len(site.balancers), "two balancers have one key"

    # Each renews under load, by the service, as the timer does.
    for balancer in site.balancers:
        eventually(lambda one=balancer: one.run("discovery-acme due || true"), LASTS)
    trusted_again = ssl.create_default_context(cadata=ca.root)
    with Load(site.balancers, trusted_again) as load:
        eventually(lambda: all(load.serials.values()), 10)
        for balancer in site.balancers:
            balancer.run("systemctl start discovery-acme.service")
        eventually(lambda: all(len(seen) == 2 for seen in load.serials.values()), BOUND, every=0.1)
    show(f"renewal: {load.sent} requests by HTTPS, {len(load.failures)} failed")
    assert load.failures == [] and load.sent > 100

    # The CA goes away for longer than a certificate is good.
    ca.stop()
    until = time.monotonic() + LASTS + 5
    for balancer in site.balancers:
        eventually(lambda one=balancer: one.run("discovery-acme due || true"), LASTS)
        assert balancer.tries("systemctl start discovery-acme.service").rc != 0
        assert balancer.unit("discovery-acme.service", "Result") == ["exit-code"]
    eventually(lambda: time.monotonic() > until, LASTS + 30)
    page, code = status_page(site, "-e", "status_strict=true")
    text = " ".join(page.split())
    assert code != 0
    for balancer in site.balancers:
        told = re.search(
            rf"{balancer.name}: the certificate {FILES}/{HOST}[.]pem, which clients see, (.*?): the last order failed", text
        )
        assert told and "has ended" in told[1], page
    show(f"reported: {re.search(r'the certificate /etc/discovery-balancer-acme.{0,220}', text)[0]}")
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    for balancer in site.balancers:
        get(balancer, anyone)  # the old one serves on

    # It comes back, without a memory of the account.
    ca.start()
    trusted = ssl.create_default_context(cadata=ca.root)
    for balancer in site.balancers:
        balancer.tries("systemctl start discovery-acme.service")  # finds out that the account is gone
        balancer.run("systemctl start discovery-acme.service")
    side_by_side(lambda one=one: served(one) for one in site.balancers)
