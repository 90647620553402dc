#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_facts
short_description: Read a host's certificate and the public part of its key
description:
  - Reads both, and compares modes and owners of their files and the CAs beside them with those that the role would create, in one
    round trip. Changes nothing. What the certificate says is compared on the controller, by the filter
    P(fewnodes.discovery.certificate_problems#filter), because the host may not be trusted with that.
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
  trusted:
    description: What C(ca.pem) holds.
    type: str
    default: ""
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Read the certificate of the agent
  fewnodes.discovery.certificate_facts:
    directory: /etc/consul.d/tls
    name: agent
    owner: consul
    group: consul
    trusted: "{{ lookup('ansible.builtin.file', 'ca.pem', rstrip=false) }}"
  register: found
"""

RETURN = r"""
certificate:
  description: The present certificate as PEM, without what somebody wrote around it; empty when there is none.
  returned: always
  type: str
public_key:
  description: The public part of the key as PEM; empty when there is no key that C(python3-cryptography) can read.
  returned: always
  type: str
differs:
  description: Which files are not as wanted, one text each; empty when all are.
  returned: always
  type: list
  elements: str
"""

import grp  # noqa: E402
import os  # noqa: E402
import pwd  # noqa: E402
import re  # noqa: E402
import stat  # noqa: E402
from collections.abc import Iterator, Mapping  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import text  # noqa: E402

try:
    from cryptography.hazmat.primitives import serialization
except ImportError:  # the role installs it with the first certificate
    serialization = None

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*-----END CERTIFICATE-----\n", re.DOTALL)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "trusted": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    stem = os.path.join(module.params["directory"], module.params["name"])
    module.exit_json(
        changed=False,
        certificate=present(f"{stem}.pem"),
        public_key=public_key(f"{stem}.key"),
        differs=list(differences(module.params)),
    )


def present(path: str) -> str:
    """The certificate in a file, '' when there is none."""
    found = PEM.search(text(path))
    return found.group() if found else ""


def public_key(path: str) -> str:
    """The public part of the key in a file, '' when it cannot be read."""
    try:
        key = serialization.load_pem_private_key(text(path).encode(), None).public_key()
    except (ValueError, TypeError, AttributeError):
        return ""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def differences(wanted: Mapping) -> Iterator[str]:
    """Which files are not as wanted.

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


if __name__ == "__main__":
    main()
