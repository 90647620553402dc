"""CAs of a site that sign certificates of clients, as their files are on the controller."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from ansible_collections.fewnodes.discovery.plugins.module_utils.certificate import not_after, not_before

try:
    from cryptography import x509
except ImportError:  # `client_ca_problem` says so
    x509 = None

BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----[ \t]*\n.*?-----END CERTIFICATE-----", re.S)
BEGIN = re.compile(r"-----BEGIN ([^-]*)-----")


def client_ca_problem(text: str, now: datetime | None = None) -> str:
    """Why no load balancer could verify clients with a file, as the end of a sentence; "" when it can. Nothing secret is in it.

    :param text: content of the file: certificates of CAs as PEM, a root and, where there are some, those below it
    :param now: present time with its time zone; the clock's by default
    """
    others = sorted(set(BEGIN.findall(text)) - {"CERTIFICATE"})
    if others:
        return f"has a {others[0]} beside certificates: leave it out, load balancers read certificates of CAs alone"
    if x509 is None:
        return "cannot be checked: install the Python library cryptography beside Ansible"
    try:
        found = [x509.load_pem_x509_certificate(block.encode()) for block in BLOCK.findall(text.replace("\r\n", "\n"))]
        reasons = list(_reasons(found, now or datetime.now(UTC)))
    except Exception as error:  # whatever it is, of the library: the file is none that it can read
        return f"cannot be read: {error}"
    return "; ".join(reasons) if found else "has no certificate as PEM (-----BEGIN CERTIFICATE-----)"


def _reasons(found: list, now: datetime) -> Iterator[str]:
    subjects = {one.subject for one in found}
    for one in found:
        name = one.subject.rfc4514_string() or "a certificate without a name"
        if not _is_ca(one):
            yield f"has {name}, which is no CA"
        if _utc(not_after(one)) <= now:
            yield f"has {name}, which ended on {not_after(one):%Y-%m-%d}"
        if _utc(not_before(one)) > now:
            yield f"has {name}, which begins on {not_before(one):%Y-%m-%d}"
        if one.issuer not in subjects:
            yield f"has {name} without {one.issuer.rfc4514_string()}, which signed it: add the CAs above it, up to the root"


def _is_ca(certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        signs = usage.key_cert_sign
    except x509.ExtensionNotFound:
        signs = True
    try:
        return signs and certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
