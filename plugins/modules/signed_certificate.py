"""Documentation of the action plugin signed_certificate."""

from __future__ import annotations

DOCUMENTATION = r"""
module: signed_certificate
short_description: A certificate of a CA of the site, for a public key of a host
description:
  - Works on the controller. Subject, subject alternative names, usages, constraints and times are those of this task; the host
    gives a public key and nothing else, so it cannot get a certificate for anything that was not asked for it.
  - Names and addresses of other hosts of the inventory are refused, because facts of a host go into its certificate.
  - Writes nothing; the key of the CA is read from the secrets directory.
attributes:
  check_mode:
    description: The same in check mode; nothing is written in either.
    support: full
options:
  public_key:
    description: The host's public key, secp256r1, as PEM.
    type: str
    required: true
  common_name:
    description: Subject.
    type: str
    required: true
  san:
    description: Subject alternative names, such as V(DNS:localhost) and V(IP:127.0.0.1).
    type: list
    elements: str
    default: []
  usage:
    description: Extended key usages.
    type: list
    elements: str
    choices: [clientAuth, serverAuth]
    required: true
  ca:
    description: The CA that signs, by the stem of its two files in the secrets directory.
    type: str
    required: true
  days:
    description: Lifetime. The certificate does not outlive its CA.
    type: int
    required: true
  present:
    description: The present certificate as PEM; it stays when it is the certificate that would be signed.
    type: str
    default: ""
  renew_before:
    description: A present certificate that ends before this is renewed, as ASN.1 writes it (V(20280131235959Z)).
    type: str
    default: ""
  spare_san:
    description: Subject alternative names that a present certificate may have beside I(san). None of them is signed.
    type: list
    elements: str
    default: []
  wildcards:
    description:
      - Wildcards among I(san) that a setting of the site asks for, such as V(DNS:*.hospital.example). Others are refused.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [fewnodes.discovery.secrets]
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Read the public key
  community.crypto.openssl_privatekey_info:
    path: /etc/consul.d/tls/agent.key
  register: key

- name: Sign the certificate
  fewnodes.discovery.signed_certificate:
    public_key: "{{ key.public_key }}"
    common_name: "{{ node }}"
    san: ["DNS:{{ node }}", DNS:localhost, IP:127.0.0.1]
    usage: [serverAuth, clientAuth]
    ca: ca
    days: 730
  register: signed
"""

RETURN = r"""
certificate:
  description: The certificate as PEM; the present one where it is as wanted.
  returned: success
  type: str
"""
