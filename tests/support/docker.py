"""dockerd's API from outside, certificates for it, and its restarts."""

import contextlib
import http.client
import json
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PORT = 2376
REFUSED = (ssl.SSLError, ConnectionError)


def bundle(site) -> Path:
    """The administrator's client bundle."""
    return site.secrets / "docker-client"


def ask(site, node, path: str, certificate: Path | None, key: Path | None, name: str | None = None):
    """GET a path of dockerd's API over TLS, verified; the decoded JSON.

    :param certificate, key: of the client, or None for none
    :param name: what the server's certificate must be good for (default: the address)
    """
    context = ssl.create_default_context(cafile=str(bundle(site) / "ca.pem"))
    if certificate:
        context.load_cert_chain(certificate, key)
    connection = http.client.HTTPSConnection(node.address, PORT, timeout=10, context=context)
    if name:
        connection.connect = lambda: _connect(connection, context, name)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, f"{answer.status} {content[:200]}"
        return json.loads(content)
    finally:
        connection.close()


def _connect(connection, context, name: str) -> None:
    http.client.HTTPConnection.connect(connection)
    connection.sock = context.wrap_socket(connection.sock, server_hostname=name)


def as_admin(site, node, path: str, name: str | None = None):
    """GET a path with the client bundle."""
    return ask(site, node, path, bundle(site) / "cert.pem", bundle(site) / "key.pem", name)


def usages(certificate: x509.Certificate) -> list:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def expired_client(site, folder: Path) -> tuple[Path, Path]:
    """A client certificate of dockerd's CA that ended an hour ago, and its key."""
    ca = x509.load_pem_x509_certificate((site.secrets / "docker-ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key((site.secrets / "docker-ca.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "late")]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=20))
        .not_valid_after(now - timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem, kind, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, kind, plain))
    return folder / "cert.pem", folder / "key.pem"


def seconds_of(node, command: str) -> float:
    """How long a command takes on a node, with the way there."""
    start = time.monotonic()
    node.run(command)
    return time.monotonic() - start


def restart_dockerd(node) -> float:
    """Restart the daemon of a node; the seconds until it answered."""
    return seconds_of(node, "systemctl restart docker && docker version")


@contextlib.contextmanager
def edited(node, path: str):
    """A file of a node that is as before afterwards."""
    node.run(f"cp -a {path} {path}.kept")
    try:
        yield
    finally:
        node.run(f"mv {path}.kept {path}")
