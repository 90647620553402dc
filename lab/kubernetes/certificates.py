"""A CA for a cluster, and what it signs. Made once for a lab, beside its keys."""

import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
DAYS = 365 * DAY
CA = "ca"
UNUSED = (
    "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate, as PEM."""

    key: str
    certificate: str


class Authority:
    """The CA of a folder, which keeps everything that it has signed."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.pair = self._kept(CA) or self._made(CA, [], [], None)

    def issue(self, name: str, organisation: str = "", addresses: Iterable[str] = ()) -> Pair:
        """Key and certificate of a user, who may be a server at addresses, too; those of an earlier call where there are some.

        :param name: the user's
        :param organisation: the user's group
        :param addresses: IP addresses and names
        """
        return self._kept(name) or self._made(name, [organisation] if organisation else [], list(addresses), self.pair)

    def key(self, name: str) -> Pair:
        """A key pair without a certificate; the public half stands in the place of one."""
        if kept := self._kept(name):
            return kept
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return self._keep(name, Pair(_pem(key), public.decode()))

    def _made(self, name: str, organisations: list[str], addresses: list[str], signer: Pair | None) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organisations),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ])  # fmt: skip
        issuer, signing = subject, key
        if signer:
            issuer = x509.load_pem_x509_certificate(signer.certificate.encode()).subject
            signing = serialization.load_pem_private_key(signer.key.encode(), None)
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), now - DAY, now + DAYS)
        builder = builder.add_extension(x509.BasicConstraints(signer is None, None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        usage = dict.fromkeys(UNUSED, False)
        signs = {"digital_signature": True, "key_cert_sign": signer is None, "crl_sign": signer is None}
        builder = builder.add_extension(x509.KeyUsage(**usage, **signs), critical=True)
        if signer:
            both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        if addresses:
            builder = builder.add_extension(x509.SubjectAlternativeName([_san(one) for one in addresses]), critical=False)
        signed = builder.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return self._keep(name, Pair(_pem(key), signed.decode()))

    def _file(self, name: str) -> Path:
        return self.folder / name.replace(":", "-")

    def _kept(self, name: str) -> Pair | None:
        file = self._file(name)
        if not file.with_suffix(".pem").exists():
            return None
        return Pair(file.with_suffix(".key").read_text(), file.with_suffix(".pem").read_text())

    def _keep(self, name: str, pair: Pair) -> Pair:
        file = self._file(name)
        file.with_suffix(".key").write_text(pair.key)
        file.with_suffix(".key").chmod(0o600)
        file.with_suffix(".pem").write_text(pair.certificate)
        return pair


def _san(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()
