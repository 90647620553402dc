"""Documentation of the action plugin vaulted_copy."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vaulted_copy
short_description: Copy a file that may be encrypted with the vault password of the site
description:
  - M(ansible.builtin.copy) of one file of the controller, decrypted with the password of C(discovery_vault_password_file) where
    it is encrypted. The password that is given to C(ansible-playbook) plays no part.
attributes:
  check_mode:
    description: As M(ansible.builtin.copy).
    support: full
options:
  src:
    description: Absolute path of the file on the controller.
    type: path
    required: true
  dest:
    description: Path on the host.
    type: path
    required: true
  owner:
    description: Owner of the file on the host.
    type: str
  group:
    description: Group of the file on the host.
    type: str
  mode:
    description: Mode of the file on the host.
    type: raw
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Copy a snapshot to the server
  fewnodes.discovery.vaulted_copy:
    src: /srv/site/.backups/dc1-20261130T000000Z.snap
    dest: /root/old.snap
    mode: "0600"
"""

RETURN = r"""
dest:
  description: Path on the host.
  returned: success
  type: str
"""
