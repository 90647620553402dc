"""S7: a service is scaled over two docker hosts under load, and one of them dies."""

import datetime
import shutil
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.clients import http_get
from tests.support.http_load import http_load
from tests.support.playbook import assert_unchanged
from tests.support.reboot import crash, power_on
from tests.support.scaling import SERVICE, instances, ran, remove, run_scale, up_and_down
from tests.support.wait import eventually

MANY = 6
CRASH = 10.0  # seconds after a crash in which a request may fail


@pytest.fixture
def hosts(site):
    """The two docker hosts that share the service: the last of the inventory, so that the balancer's own is among them."""
    return site.docker_hosts[-2:]


@pytest.fixture
def scale(site, settled, hosts):
    """scale(count, **variables): run the playbook; how it ended. Nothing is left of the service after the test."""

    def scale(count: int, **variables):
        return run_scale(site, hosts, count, **variables)

    yield scale
    if instances(site.docker_hosts):
        ran(scale(0))


def test_h11_s7_one_on_each_host_and_back_under_load(site, settled, tmp_path, show):
    try:
        up_and_down(site, site.docker_hosts, len(site.docker_hosts), tmp_path, show)
    finally:
        remove(site.docker_hosts)


@pytest.mark.more
def test_s7_one_to_many_to_one_under_load(site, scale, hosts, tmp_path, show):
    up_and_down(site, hosts, MANY, tmp_path, show, at_many=lambda: assert_unchanged(scale(MANY)))


@pytest.mark.more
def test_s7_a_host_crashes_under_load(site, scale, hosts, tmp_path, show):
    victim = next(node for node in hosts if node not in site.balancers)
    survivor = next(node for node in hosts if node is not victim)
    ran(scale(4))
    with http_load(site, site.backend(SERVICE), tmp_path) as requests:
        crash([victim])
        try:
            crashed = time.time()
            time.sleep(2 * CRASH)
            done = scale(4)
            ran(done)
            assert f"no dockerd answers on {victim.name}" in done.stdout
            assert len(instances([survivor])) == 4
        finally:
            power_on([victim])
        eventually(lambda: len(instances([victim])) == 2, 120, every=1)
        ran(scale(4))
        assert sorted(node for node, _, _ in instances(hosts).values()) == sorted([victim.name, survivor.name] * 2)
        time.sleep(2)
    early = [one for one in requests.failed(crashed) if one.ended < crashed + CRASH]
    show(f"{requests}; {len(early)} of the failed within {CRASH:.0f} s of the crash")
    assert len(requests.failed()) == len(early)


@pytest.mark.more
def test_s7_dockerd_refuses_clients_without_a_certificate(site, scale, hosts, tmp_path):
    bundle = site.secrets / "docker-client"
    missing, expired, foreign = (tmp_path / name for name in ("missing", "expired", "foreign"))
    for folder in (missing, expired, foreign):
        shutil.copytree(bundle, folder)
    (missing / "key.pem").unlink()
    ca = x509.load_pem_x509_certificate((site.secrets / "docker-ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key((site.secrets / "docker-ca.key").read_bytes(), None)
    (expired / "cert.pem").write_bytes(client_certificate(expired / "key.pem", ca.subject, ca_key, -1))
    own = ec.generate_private_key(ec.SECP256R1())
    (foreign / "cert.pem").write_bytes(client_certificate(foreign / "key.pem", ca.subject, own, 1))

    for folder, words in (
        (missing, f"{missing}/key.pem is missing"),
        (expired, f"{expired}/cert.pem ended on"),
        (foreign, "refuses the client certificate"),
    ):
        done = scale(2, scale_client_dir=str(folder))
        assert done.returncode != 0
        assert words in " ".join(done.stdout.split()), done.stdout[-3000:]
        assert "scale_client_dir" in done.stdout
        assert instances(site.docker_hosts) == {}


def client_certificate(key, issuer, signer, days: int) -> bytes:
    """A client certificate for a key, that ends some days from now."""
    public = serialization.load_pem_private_key(key.read_bytes(), None).public_key()
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "docker-admin")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


@pytest.mark.more
def test_s7_invalid_input_is_rejected_before_any_change(site, scale, hosts):
    done = scale(-1, scale_service="not_a_name", scale_hosts="nowhere")
    assert done.returncode != 0
    for words in ("scale_count is", "scale_service is", "scale_hosts names", "nowhere"):
        assert words in done.stdout
    done = scale(2, scale_image="no-such-image:v0")
    assert done.returncode != 0 and "scale_image is no-such-image:v0" in " ".join(done.stdout.split())
    assert instances(site.docker_hosts) == {}
    answer = http_get(site.balancers[0].address, site.host_of(SERVICE))
    assert answer.status == 503
