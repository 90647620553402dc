"""Certificates of hosts, built and compared on the controller. A host gives a public key and nothing else: whoever is root on
it may return any text, and what the CA signs is believed by every other host."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ansible_collections.fewnodes.discovery.plugins.module_utils.certificate import not_after

from .addresses import address
from .node_names import node_name
from .variables import as_list

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

    EXTENSIONS = {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: "key identifier of the CA",
        ExtensionOID.BASIC_CONSTRAINTS: "basic constraints",
        ExtensionOID.EXTENDED_KEY_USAGE: "extended key usages",
        ExtensionOID.KEY_USAGE: "key usages",
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: "subject alternative names",
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: "key identifier",
    }
    UNREADABLE = (ValueError, TypeError, AttributeError, x509.ExtensionNotFound, x509.DuplicateExtension, UnsupportedAlgorithm)
except ImportError:  # the functions that need the library say so
    x509 = None

USAGES = {"serverAuth": "SERVER_AUTH", "clientAuth": "CLIENT_AUTH"}  # to their names in cryptography
# Also with underscores, which some host names have.
DNS_NAME = re.compile(r"([*]|[a-z0-9_-]{1,63})([.][a-z0-9_-]{1,63})*")
ASN1_TIME = "%Y%m%d%H%M%SZ"


class CertificateError(Exception):
    """A message for the user."""


@dataclass(frozen=True)
class Wanted:
    """What a certificate says, as the site wants it.

    :param san: subject alternative names, such as DNS:localhost and IP:127.0.0.1
    :param usage: extended key usages, keys of USAGES
    :param spare: subject alternative names that a present certificate may have beside those; none is signed
    """

    common_name: str
    san: tuple[str, ...]
    usage: tuple[str, ...]
    spare: tuple[str, ...] = ()

    @property
    def subject(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)])

    def extensions(self, public_key, issuer: x509.Certificate) -> list[tuple[x509.ExtensionType, bool]]:
        """Every extension that the certificate has, and whether it is critical (RFC 5280, 4.2)."""
        signer = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        found: list[tuple[x509.ExtensionType, bool]] = [
            (x509.KeyUsage(True, *[False] * 8), True),
            (x509.ExtendedKeyUsage([getattr(ExtendedKeyUsageOID, USAGES[one]) for one in self.usage]), False),
            (x509.BasicConstraints(ca=False, path_length=None), False),
            (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
            (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer), False),
        ]
        if self.san:
            found.append((x509.SubjectAlternativeName([_general_name(name) for name in self.san]), False))
        return found


def sign(wanted: Wanted, public_key: str, ca: str, ca_key: str, days: int, now: datetime) -> str:
    """A certificate of the CA for a public key of a host, both as PEM. It does not outlive the CA.

    :param now: present time, UTC
    :raises CertificateError: the key is none that the role makes, or the CA cannot sign
    """
    _require_library()
    try:
        issuer = x509.load_pem_x509_certificate(ca.encode())
        signer = serialization.load_pem_private_key(ca_key.encode(), None)
        end = not_after(issuer)
        if signer.public_key() != issuer.public_key():
            raise CertificateError("the key of the CA does not belong to its certificate")
        key = _public_key(public_key)
        builder = x509.CertificateBuilder(issuer.subject, wanted.subject, key, x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1))
        builder = builder.not_valid_after(min(end, now.replace(tzinfo=end.tzinfo) + timedelta(days=days)))
        for extension, critical in wanted.extensions(key, issuer):
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    except UNREADABLE as error:
        raise CertificateError(f"the certificate of {wanted.common_name} cannot be signed: {error}") from None


def public_numbers(key: str):
    """The numbers n and e of the public half of a private RSA key.

    :param key: as PEM
    :raises CertificateError: it is no such key, or the library is missing
    """
    _require_library()
    try:
        found = serialization.load_pem_private_key(key.encode(), None)
    except UNREADABLE:  # without the reason: nothing of the text is in a message
        found = None
    if not isinstance(found, rsa.RSAPrivateKey):
        raise CertificateError("acme_account.key is no RSA key in PEM: put it back from its backup, or remove it for a new one")
    return found.public_key().public_numbers()


def differences(pem: str, public_key: str, wanted: Wanted, issuer: str, renew_before: str = "") -> list[str]:
    """What of a certificate is not as `sign` makes it, one text each; an extension that nobody asked for differs, too.

    :param pem: what the host has; '' is no certificate
    :param public_key: that of the key beside it, as PEM
    :param issuer: certificate of the CA that signs, as PEM
    :param renew_before: it must not end before this, in the notation of ASN.1 (20280131235959Z), unless its CA does
    :raises CertificateError: the library is missing
    """
    _require_library()
    try:
        return list(_differences(pem, public_key, wanted, issuer, renew_before))
    except UNREADABLE as error:
        return [f"certificate or key cannot be read: {error}"]


def _differences(pem: str, public_key: str, wanted: Wanted, issuer_pem: str, renew_before: str) -> Iterator[str]:
    certificate, issuer = (x509.load_pem_x509_certificate(text.encode()) for text in (pem, issuer_pem))
    key = _public_key(public_key)
    if certificate.public_key() != key:
        yield "not the certificate of this key"
    if certificate.subject != wanted.subject:
        yield f"subject is {certificate.subject.rfc4514_string()}"
    expected = {extension.oid: _comparable(extension, critical) for extension, critical in wanted.extensions(key, issuer)}
    found = {one.oid: _comparable(one.value, one.critical) for one in certificate.extensions}
    spare = frozenset(map(_general_name, wanted.spare))
    for oid in sorted(expected.keys() | found.keys(), key=lambda oid: oid.dotted_string):
        if oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME and oid in expected and oid in found:
            found[oid] = (found[oid][0], found[oid][1] - (spare - expected[oid][1]))
        if expected.get(oid) != found.get(oid):
            yield f"other {EXTENSIONS.get(oid, 'extensions: ' + oid.dotted_string)}"
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        yield "another CA has signed it"
    if min(_end(issuer), renew_before) > _end(certificate):
        yield f"it ends {_end(certificate)}"


# What each host calls itself; an inventory may have the controller under such a name.
EVERYBODYS = {"DNS:localhost", "IP:127.0.0.1", "IP:::1"}


def name_problems(names: Iterable[str], host: str, hostvars: Mapping, wildcards: Iterable[str] = ()) -> list[str]:
    """Names that a certificate of a host cannot have, one text each: what is no name, what belongs to another host of the site,
    and wildcards that the inventory does not ask for. Facts of a host are its own word, and any address can be added to an
    interface. Names are compared as their readers do: without upper case, a dot at the end, or IPv6 around an IPv4 address
    (RFC 4343; RFC 4291, 2.5.5.2).

    :param names: subject alternative names
    :param hostvars: Ansible's, of every host of the inventory
    :param wildcards: those that a setting of the site asks for beside dockerd_certificate_san, such as DNS:*.hospital.example
    """
    site = {name: hostvars[name] for name in hostvars}
    own = _names_of(host, site.get(host, {}))
    asked = _asked(site.get(host, {}))
    wild = asked | _canonical_names(wildcards)
    owners = {found: name for name in site if name != host for found in _asked(site[name]) - asked}
    owners |= {found: name for name in site if name != host for found in _names_of(name, site[name]) - EVERYBODYS}
    found = []
    for name in dict.fromkeys(names):
        try:
            _general_name(name)
            same = _canonical(name)
        except ValueError as error:
            found.append(f"a certificate of {host} cannot have the name {name}: {error}")
            continue
        if "*" in same and same not in wild:
            found.append(
                f"the certificate of {host} would be valid for {name}, which is no name of one host: remove it from {host} (its"
                " facts), or set dockerd_certificate_san in the inventory to a list with it"
            )
        elif same in owners and same not in own:
            found.append(
                f"the certificate of {host} would be valid for {name}, which is {owners[same]}: remove that name or address from"
                f" {host} (its facts, discovery_address, dockerd_certificate_san, balancer_certificates), or correct"
                f" discovery_address of {owners[same]}"
            )
    return found


def _names_of(name: str, variables: Mapping) -> set[str]:
    """What others call a host, in canonical form: its address, and its names alone, in Consul's domain and in the site's."""
    alone = {name.lower(), node_name(name, variables).lower()}
    datacenters = {variables.get(one) for one in ("discovery_datacenter", "consul_datacenter")} - {None} or {"dc1"}
    short = {f"{one}.node" for one in alone} | {f"{one}.node.{datacenter}".lower() for one in alone for datacenter in datacenters}
    domains = {"consul", str(variables.get("consul_domain") or "consul").lower().strip(".")}
    called = alone | short | {f"{one}.{domain}" for one in short for domain in domains}
    if variables.get("discovery_domain"):
        called |= {f"{one}.{variables['discovery_domain']}".lower().rstrip(".") for one in alone}
    found = _address(name, {name: variables})
    return {f"DNS:{one}" for one in called} | ({f"IP:{found}"} if found else set())


def _asked(variables: Mapping) -> set[str]:
    """Names that the inventory asks for by itself, in canonical form."""
    given = as_list(variables.get("dockerd_certificate_san"))
    return _canonical_names(given if isinstance(given, Iterable) and not isinstance(given, str) else [])


def _canonical_names(given: Iterable) -> set[str]:
    found = set()
    for name in given:
        try:
            found.add(_canonical(str(name)))
        except ValueError:  # reported where it is to be signed
            continue
    return found


def _canonical(name: str) -> str:
    """One text for all spellings of a name, such as DNS:consul-2 and IP:192.0.2.2.

    :raises ValueError: it is no name
    """
    kind, _unused, value = name.partition(":")
    value = value.lower().removesuffix(".")
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        if kind == "IP":
            raise
    else:  # some clients look for an address in names, too
        return f"IP:{getattr(found, 'ipv4_mapped', None) or found}"
    if not DNS_NAME.fullmatch(value):
        raise ValueError("a name has letters, digits, hyphens and dots, and a wildcard is its whole first part")
    return f"DNS:{value}"


def _require_library() -> None:
    if x509 is None:
        raise CertificateError("the controller lacks the Python library cryptography: install it beside Ansible")


def _address(name: str, hostvars: Mapping) -> str:
    try:
        return address(name, hostvars)
    except ValueError:
        return ""


def _general_name(name: str) -> x509.GeneralName:
    kind, _unused, value = name.partition(":")
    if kind == "IP":
        return x509.IPAddress(ipaddress.ip_address(value))
    if kind == "DNS":
        return x509.DNSName(value)
    raise ValueError("write DNS:<name> or IP:<address>")


def _public_key(pem: str) -> ec.EllipticCurvePublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise ValueError("the key is of another kind than secp256r1")
    return key


def _comparable(extension: x509.ExtensionType, critical: bool) -> tuple:
    """Without the order of names and usages."""
    ordered = isinstance(extension, Iterable)
    return critical, frozenset(extension) if ordered else extension


def _end(certificate: x509.Certificate) -> str:
    return not_after(certificate).strftime(ASN1_TIME)
