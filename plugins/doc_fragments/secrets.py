from __future__ import annotations


class ModuleDocFragment:
    """Options of plugins that read or write secrets of the site on the controller."""

    DOCUMENTATION = r"""
options:
  directory:
    description: Directory of the secrets; by default C(discovery_secrets_dir), else C(.secrets) beside the inventory.
    type: path
  vault_password_file:
    description: File with the vault password, or a program that prints it; by default C(discovery_vault_password_file).
    type: path
"""
