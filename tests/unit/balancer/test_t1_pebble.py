"""T1: pebble's CA, the distribution's dehydrated, and the load balancers that answer it: from nothing to HTTPS, renewed under
load, and a CA that is away until the certificate has ended.
"""

import http.client
import json
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.balancer_certificates import thumbprint
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support.acme import Ca
from tests.support.certificates import private

import real_haproxy
import real_nginx
from discovery_acme import client
from discovery_acme.__main__ import main
from instances import Instance, apply, entry, running
from real_nginx import ADDRESS, ROOT
from test_tls import get

NAMES = ["portal.example.org", "www.portal.example.org"]
LASTS = 60  # seconds that a certificate is good
BOUND = 30  # seconds from nothing to HTTPS
DEHYDRATED = ROOT / ".cache/dehydrated/usr/bin/dehydrated"


class Host:
    """What the role writes on a load balancer, and its program with the distribution's client."""

    def __init__(self, folder: Path):
        assert DEHYDRATED.exists(), "no dehydrated to test with: run `make system`"
        self.folder = folder
        for name in ("etc", "state", "served"):
            (folder / name).mkdir()
        key = private(rsa.generate_private_key(65537, 3072)).decode()
        (folder / "etc/account.key").write_text(key)
        self.thumbprint = thumbprint(key)
        stem = f"{folder}/served/{NAMES[0]}"
        self.one = {"names": NAMES, "certificate": f"{stem}.pem", "key": f"{stem}.key"}

    def configure(self, ca: Ca) -> None:
        """The files of the role, with its own template."""
        (self.folder / "etc/options.json").write_text(json.dumps({"directory": ca.directory, "certificates": [self.one]}))
        given = {"balancer_acme_directory": ca.directory, "balancer_acme_ca": str(ca.file)}
        more = {"dehydrated.conf": "{{ lookup('ansible.builtin.template', acme_template) }}"}
        given["acme_template"] = str(ROOT / "roles/balancer/templates/dehydrated.conf.j2")
        text = real_nginx.written_by_the_roles(80, "nginx", "nginx.conf", more, **given).more["dehydrated.conf"]
        text = text.replace("/var/lib/discovery-acme", f"{self.folder}/state").replace("/etc/discovery-acme/ca.pem", str(ca.file))
        (self.folder / "etc/dehydrated.conf").write_text(text)

    def run(self, command: str) -> int:
        return main(["--etc", f"{self.folder}/etc", "--state", f"{self.folder}/state", "--dehydrated", str(DEHYDRATED), command])

    def serial(self) -> str:
        return client._openssl("x509", "-noout", "-serial", "-in", self.one["certificate"]).strip()


class Load:
    """Requests by HTTPS, each on a connection of its own, until the block ends."""

    def __init__(self, balancer, file):
        self.failures, self.sent, self._over = [], 0, threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(balancer, file))

    def _ask(self, balancer, file):
        while not self._over.wait(0.005):
            try:
                status = get(balancer, NAMES[0], file)[0]
                self.failures += [] if status == 200 else [status]
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            self.sent += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


@pytest.mark.more
@pytest.mark.parametrize("server", [real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def test_t1_a_ca_a_client_and_a_balancer(server, tmp_path, capsys):
    instance, host = Instance(name="one"), Host(tmp_path)
    services = {"web": [entry(instance.port, hosts=",".join(NAMES))]}
    served = {"balancer_served_certificates": [host.one], "balancer_acme_thumbprint": host.thumbprint}
    client.stand_in(host.one, host.folder / "state")  # before a load balancer is configured, as the role does
    with running(server, **served, balancer_https_redirect="308") as balancer:
        apply(balancer, **services)
        with Ca(tmp_path, "127.0.0.1", ADDRESS, LASTS, balancer.http_port) as ca:
            host.configure(ca)
            root = tmp_path / "root.pem"
            root.write_text(ca.root)
            with pytest.raises(ssl.SSLCertVerificationError):
                get(balancer, NAMES[0], root)
            began = time.monotonic()
            assert host.run("order") == 0, capsys.readouterr()
            apply(balancer, **services)
            for name in NAMES:
                assert get(balancer, name, root)[0] == 200
            took, first = time.monotonic() - began, host.serial()
            assert took <= BOUND
            assert host.run("order") == 0 and host.serial() == first, "a certificate that is not due was ordered"
            due = time.monotonic() + LASTS * 2 / 3
            while not _due(host, capsys):
                assert time.monotonic() < due + 10
                time.sleep(0.5)
            with Load(balancer, root) as load:
                assert host.run("order") == 0
                apply(balancer, **services)
                again = ssl.create_default_context(cafile=root)
                assert _serial(balancer, again) == host.serial() != first
            assert load.failures == [] and load.sent > 100
        second = host.serial()  # the CA is away from here on
        while not _due(host, capsys, "it has ended"):
            assert time.monotonic() < due + 2 * LASTS
            time.sleep(0.5)
        assert host.run("order") == 1 and host.serial() == second
        reason = json.loads((host.folder / "state/status.json").read_text())["failed"][host.one["certificate"]]["reason"]
        assert "Problem connecting to server" in reason
        apply(balancer, **services)
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            get(balancer, NAMES[0], root)
    instance.close()
    with capsys.disabled():
        print(f"\norder to HTTPS {took:.1f} s; renewal under {load.sent} requests, {len(load.failures)} failed; {reason}")


def _due(host, capsys, why="") -> bool:
    capsys.readouterr()
    assert host.run("due") == 0
    found = capsys.readouterr().out
    return bool(found) and why in found


def _serial(balancer, context) -> str:
    """The serial number of the certificate that the load balancer shows, as openssl prints it."""
    plain = socket.create_connection((ADDRESS, balancer.tls_port), 10)
    with plain, context.wrap_socket(plain, server_hostname=NAMES[0]) as connection:
        return f"serial={connection.getpeercert()['serialNumber']}"
