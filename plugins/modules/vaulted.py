"""Documentation of the action plugin vaulted."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vaulted
short_description: Encrypt files of the controller with the vault password of the site
description:
  - Works on the controller, whichever host the task is for. Files that are encrypted already stay as they are. Without a vault
    password file nothing is done; one that gives no password fails before anything is written.
  - A file is replaced in one step, and what it held before is overwritten.
attributes:
  check_mode:
    description: Predicts what would be encrypted and writes nothing.
    support: full
options:
  secrets:
    description: Whether all secrets of the site are encrypted. Certificates are public and stay readable.
    type: bool
    default: false
  files:
    description: Other files, such as snapshots.
    type: list
    elements: path
    default: []
extends_documentation_fragment: [fewnodes.discovery.secrets]
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Encrypt a snapshot
  fewnodes.discovery.vaulted:
    files: [/srv/site/.backups/dc1-20261130T000000Z.snap]

- name: Encrypt secrets that are older than the vault password
  fewnodes.discovery.vaulted:
    secrets: true
"""

RETURN = r"""
encrypted:
  description: Paths of the files that were encrypted.
  returned: success
  type: list
  elements: str
"""
