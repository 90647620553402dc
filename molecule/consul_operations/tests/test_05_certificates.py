"""K5: new certificates, and a new CA, for the running cluster."""

import re
import socket
import ssl

import pytest
from tests.support.cluster import starts
from tests.support.playbook import play

PLAYBOOK = "playbooks/rotate_certificates.yml"
TLS = "/etc/consul.d/tls"
RPC_TLS = b"\x03"  # the first byte of a TLS connection to the RPC port


def served(address: str, port: int, ca=None) -> bytes:
    """The certificate that a port serves, as DER; verified when a CA's file is given."""
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    with socket.create_connection((address, port), timeout=5) as connection:
        if port == 8300:
            connection.sendall(RPC_TLS)
        with context.wrap_socket(connection) as tls:
            return tls.getpeercert(binary_form=True)


def all_served(site, ca=None) -> dict[tuple[str, int], bytes]:
    return {(node.name, port): served(node.address, port, ca) for node in site.servers for port in (8501, 8300)}


def assert_in_order(site) -> None:
    """Every agent serves what stands in its files, from the site's one CA, and no file of the work is left."""
    for (name, port), der in all_served(site, site.ca).items():
        assert ssl.PEM_cert_to_DER_cert(site.nodes[name].run(f"cat {TLS}/agent.pem")) == der, f"{name}:{port}"
    for node in site.servers:
        assert node.run(f"cat {TLS}/ca.pem").strip() == site.ca.read_text().strip(), node.name
        assert node.run(f"ls {TLS}").split() == ["agent.key", "agent.pem", "ca.pem"], node.name
    assert {path.name for path in site.secrets.glob("ca*")} == {"ca.key", "ca.pem"}


@pytest.mark.parametrize("new_ca", [True, pytest.param(False, marks=pytest.mark.more)], ids=["new CA", "same CA"])
def test_k5_certificates_are_rotated_without_a_restart(site, settled, load, show, tmp_path, new_ca):
    before, certificates, old_ca = starts(site), all_served(site), tmp_path / "ca.pem"
    old_ca.write_text(site.ca.read_text())
    keys = {node.name: node.run(f"sha256sum {TLS}/agent.key") for node in site.servers}
    with load.planned("certificates"):
        done, seconds = play(site, PLAYBOOK, *(("-e", "rotate_ca=true") if new_ca else ()))
        assert done.returncode == 0, done.stdout[-3000:]
    after = all_served(site)
    assert [where for where in after if after[where] == certificates[where]] == []
    assert [node.name for node in site.servers if node.run(f"sha256sum {TLS}/agent.key") == keys[node.name]] == []
    assert (site.ca.read_text() != old_ca.read_text()) == new_ca
    assert starts(site) == before
    assert_in_order(site)
    if new_ca:
        for node in site.servers:
            with pytest.raises(ssl.SSLCertVerificationError):
                served(node.address, 8501, old_ca)
    show(f"new certificates on {len(site.servers)} agents in {seconds:.0f} s")


@pytest.mark.more
def test_k5_new_ca_also_when_the_run_dies_in_the_middle(site, settled, load, show):
    """The first run fails between key and certificate of one agent, when the new CA signs already."""
    before, old_ca = starts(site), site.secrets.parent / "ca.before.pem"
    old_ca.write_text(site.ca.read_text())
    stubborn = site.servers[-1]
    stubborn.run(f"mount --bind {TLS}/agent.pem {TLS}/agent.pem")  # cannot be replaced
    try:
        with load.planned("new CA, first run"):
            done, _ = play(site, PLAYBOOK, "-e", "rotate_ca=true")
    finally:
        stubborn.run(f"umount {TLS}/agent.pem")
    assert done.returncode != 0 and "Swap key and certificate" in done.stdout, done.stdout[-3000:]
    new = site.ca.read_text()
    assert new != old_ca.read_text() and (site.secrets / "ca.old.pem").read_text() == old_ca.read_text()
    with load.planned("new CA, second run"):
        done, seconds = play(site, PLAYBOOK, "-e", "rotate_ca=true")
        assert done.returncode == 0, done.stdout[-3000:]
    assert site.ca.read_text() == new, "the second run made yet another CA"
    assert_in_order(site)
    assert starts(site) == before
    for node in site.servers:
        with pytest.raises(ssl.SSLCertVerificationError):
            served(node.address, 8501, old_ca)
    old_ca.unlink()
    show(f"the second run with a new CA took {seconds:.0f} s")


@pytest.mark.more
def test_k5_refused_without_all_agents(site):
    before = all_served(site)
    done, _ = play(site, PLAYBOOK, "--limit", site.servers[0].name)
    assert done.returncode != 0
    output = " ".join(done.stdout.split())
    assert "excluded by --limit: " + ", ".join(node.name for node in site.servers[1:]) in output, done.stdout[-3000:]
    assert all_served(site) == before


def test_k5_a_ca_near_its_end_stops_the_run_and_names_the_rotation(site):
    options = ("--limit", site.servers[0].name, "-e", "common_certificate_renew_days=4000")
    done, _ = play(site, "playbooks/preflight.yml", *options)
    assert done.returncode != 0
    output = " ".join(done.stdout.split())
    assert re.search(r"/ca\.pem, the CA of \S+, ends on \d{4}-\d\d-\d\d .* playbooks/rotate_certificates\.yml", output), output


@pytest.mark.more
def test_k4_k5_nothing_is_left_to_change(site, settled):
    """The configuration and the certificates are what the role would write."""
    before = starts(site)
    done, _ = play(site, "playbooks/consul.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.findall(r"changed=(\d+)", done.stdout) == ["0"] * len(site.servers), done.stdout[-3000:]
    assert starts(site) == before
