from __future__ import annotations

DOCUMENTATION = r"""
name: decrypted_file
short_description: Path of a file of the site that programs can read
description:
  - A file that is encrypted with the vault password of the site is decrypted into Ansible's directory for this run, which only
    its owner may enter and which ends with the run; the path of that copy is returned. The path of another file is returned as
    it is.
author: fewnodes.discovery maintainers (@fewnodes)
options:
  _terms:
    description: Paths.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Ask dockerd
  ansible.builtin.uri:
    url: https://192.0.2.1:2376/_ping
    client_key: "{{ lookup('fewnodes.discovery.decrypted_file', dockerd_client_dir ~ '/key.pem') }}"
"""

RETURN = r"""
_list:
  description: The paths, in the order of the terms.
  type: list
  elements: str
"""

from pathlib import Path  # noqa: E402

from ansible.errors import AnsibleLookupError  # noqa: E402
from ansible.plugins.lookup import LookupBase  # noqa: E402

from ..plugin_utils.secrets import SecretError, decrypted_file, site_secrets  # noqa: E402


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        try:
            secrets = site_secrets(self._templar.available_variables, self._templar.template, self._loader)
            return [str(decrypted_file(secrets, Path(path).expanduser())) for path in self._flatten(terms)]
        except SecretError as error:
            raise AnsibleLookupError(str(error)) from None
        except OSError as error:
            raise AnsibleLookupError(f"{error.filename}: {error.strerror}") from None
