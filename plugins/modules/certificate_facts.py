#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_facts
short_description: Compare a host's key and certificate with what the site wants
description:
  - Compares directory, key, certificate and the CAs beside them with those that the role would create, in one round trip.
    Changes nothing. Where it cannot compare (no C(python3-cryptography), another kind of key), something differs.
options:
  directory:
    description: Directory with C(ca.pem), C(<name>.pem) and C(<name>.key).
    type: path
    required: true
  name:
    description: Stem of the file names, such as V(agent).
    type: str
    required: true
  owner:
    description: Owner of the key.
    type: str
    default: root
  group:
    description: Group of the key and of the directory.
    type: str
    default: root
  common_name:
    description: Subject.
    type: str
    required: true
  san:
    description: Subject alternative names, such as V(DNS:localhost) and V(IP:127.0.0.1).
    type: list
    elements: str
    required: true
  usage:
    description: Extended key usages.
    type: list
    elements: str
    choices: [serverAuth, clientAuth]
    required: true
  issuer:
    description: Certificate of the CA that signs, as PEM; empty while there is none.
    type: str
    default: ""
  trusted:
    description: What C(ca.pem) holds.
    type: str
    default: ""
  renew_before:
    description: A certificate that ends before this is to be renewed, as ASN.1 writes it (V(20280131235959Z)).
    type: str
    default: ""
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Compare the certificate of the agent
  fewnodes.discovery.certificate_facts:
    directory: /etc/consul.d/tls
    name: agent
    owner: consul
    group: consul
    common_name: consul-1
    san: [DNS:consul-1, IP:192.0.2.1]
    usage: [serverAuth, clientAuth]
    issuer: "{{ lookup('ansible.builtin.file', 'ca.pem', rstrip=false) }}"
    trusted: "{{ lookup('ansible.builtin.file', 'ca.pem', rstrip=false) }}"
  register: found
"""

RETURN = r"""
certificate:
  description: The present certificate as PEM, without what somebody wrote around it; empty when there is none.
  returned: always
  type: str
differs:
  description: What is not as wanted, one text each; empty when all is.
  returned: always
  type: list
  elements: str
"""

import grp  # noqa: E402
import ipaddress  # noqa: E402
import os  # noqa: E402
import pwd  # noqa: E402
import re  # noqa: E402
import stat  # noqa: E402
from collections.abc import Iterator, Mapping  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.certificate import not_after  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import text  # noqa: E402

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    USAGES = {"serverAuth": ExtendedKeyUsageOID.SERVER_AUTH, "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH}
except ImportError:  # the role installs it with the first certificate
    x509 = None

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*-----END CERTIFICATE-----\n", re.DOTALL)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "common_name": {"type": "str", "required": True},
            "san": {"type": "list", "elements": "str", "required": True},
            "usage": {"type": "list", "elements": "str", "choices": ["serverAuth", "clientAuth"], "required": True},
            "issuer": {"type": "str", "default": ""},
            "trusted": {"type": "str", "default": ""},
            "renew_before": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    stem = os.path.join(module.params["directory"], module.params["name"])
    module.exit_json(changed=False, certificate=present(f"{stem}.pem"), differs=list(differences(module.params)))


def present(path: str) -> str:
    """The certificate in a file, '' when there is none."""
    found = PEM.search(text(path))
    return found.group() if found else ""


def differences(wanted: Mapping) -> Iterator[str]:
    """What is not as wanted.

    :param wanted: the module's options
    """
    directory, stem = wanted["directory"], os.path.join(wanted["directory"], wanted["name"])
    owner, group = wanted["owner"], wanted["group"]
    yield from _file(directory, stat.S_IFDIR | 0o755, "root", group)
    yield from _file(f"{directory}/ca.pem", stat.S_IFREG | 0o444, "root", "root")
    yield from _file(f"{stem}.pem", stat.S_IFREG | 0o444, "root", "root")
    yield from _file(f"{stem}.key", stat.S_IFREG | 0o400, owner, group)
    if text(f"{directory}/ca.pem") != wanted["trusted"]:
        yield f"{directory}/ca.pem is another"
    certificate = text(f"{stem}.pem")
    if certificate.count("-----BEGIN") != 1 or not PEM.fullmatch(certificate):
        yield f"{stem}.pem is no certificate, or more than one"
    elif x509 is None:
        yield "there is no python3-cryptography to read it"
    else:
        try:
            yield from (f"{stem}.pem: {what}" for what in _contents(certificate, text(f"{stem}.key"), wanted))
        except (ValueError, TypeError, AttributeError, x509.ExtensionNotFound) as error:
            yield f"{stem}.pem or its key cannot be read: {error}"


def _file(path: str, mode: int, owner: str, group: str) -> Iterator[str]:
    """Type, mode and owners of a file."""
    try:
        status = os.lstat(path)
        found = status.st_mode, pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
    except (OSError, KeyError) as error:
        yield f"{path}: {error}"
        return
    if found != (mode, owner, group):
        yield f"{path} is {stat.filemode(found[0])} {found[1]}:{found[2]}, not {stat.filemode(mode)} {owner}:{group}"


def _contents(pem: str, key: str, wanted: Mapping) -> Iterator[str]:
    """Differences of a certificate, beside its key and the CA that should have signed it (RFC 5280, 4.1 and 4.2)."""
    certificate, issuer = (x509.load_pem_x509_certificate(part.encode()) for part in (pem, wanted["issuer"]))
    private = serialization.load_pem_private_key(key.encode(), None)
    if private.curve.name != "secp256r1" or _public(private.public_key()) != _public(certificate.public_key()):
        yield "not the certificate of this key"
    if certificate.subject != x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted["common_name"])]):
        yield f"subject is {certificate.subject.rfc4514_string()}"
    extensions = certificate.extensions
    if set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) != {USAGES[one] for one in wanted["usage"]}:
        yield "other extended key usages"
    key_usage = extensions.get_extension_for_class(x509.KeyUsage)
    if not key_usage.critical or key_usage.value != x509.KeyUsage(True, *[False] * 8):
        yield "other key usages"
    if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        yield "it is a CA"
    if names(extensions.get_extension_for_class(x509.SubjectAlternativeName).value) != sorted(map(canonical, wanted["san"])):
        yield "other subject alternative names"
    signer = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    if certificate.issuer != issuer.subject or signer != own:
        yield "another CA has signed it"
    if min(_end(issuer), wanted["renew_before"]) > _end(certificate):
        yield f"it ends {_end(certificate)}"


def names(found: x509.SubjectAlternativeName) -> list[str]:
    """Subject alternative names as the option C(san) writes them."""
    kinds = {x509.DNSName: "DNS", x509.IPAddress: "IP"}
    return sorted(canonical(f"{kinds.get(type(name), 'other')}:{name.value}") for name in found)


def canonical(name: str) -> str:
    """One of a kind: IP:::1 and IP:0:0:0:0:0:0:0:1 are the same."""
    kind, _unused, value = name.partition(":")
    return f"IP:{ipaddress.ip_address(value)}" if kind == "IP" else f"{kind}:{value}"


def _public(key) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _end(certificate) -> str:
    """When a certificate ends, in UTC, as ASN.1 writes it."""
    return not_after(certificate).strftime("%Y%m%d%H%M%SZ")


if __name__ == "__main__":
    main()
