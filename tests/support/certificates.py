"""CAs, keys and certificates for tests, also such as no part of the product makes."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC)
SAN = ["DNS:h1", "DNS:localhost", "IP:192.0.2.1", "IP:::1"]
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def private(key) -> bytes:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def public(key) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def built(subject: str, issuer: str, key, signer, days: int, extensions) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW - datetime.timedelta(1))
    builder = builder.not_valid_after(NOW + datetime.timedelta(days))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())


def authority(days: int = 3650, identifier=None):
    key = new_key()
    own = identifier or x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return key, built("site CA", "site CA", key, key, days, [(own, False), (x509.BasicConstraints(True, 0), True)])


def issued(
    ca, key, subject="h1", san=SAN, usage=(SERVER, CLIENT), days=730, is_ca=False, signing=False, more=(), identifier=None
):
    signer, certificate = ca
    names = [
        x509.DNSName(one[4:]) if one.startswith("DNS:") else x509.IPAddress(ipaddress.ip_address(one[3:])) for one in san
    ]  # fmt: skip
    extensions = [
        *([(x509.SubjectAlternativeName(names), False)] if names else []),
        (x509.ExtendedKeyUsage(usage), False),
        (x509.KeyUsage(True, False, False, False, False, signing, False, False, False), True),
        (x509.BasicConstraints(is_ca, None), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
            if identifier
            else x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            False,
        ),
        *more,
    ]
    return built(subject, certificate.subject.rfc4514_string()[3:], key, signer, days, extensions)


def renewal(days: int) -> str:
    return (NOW + datetime.timedelta(days)).strftime("%Y%m%d%H%M%SZ")
