from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: Read secrets of the site
description:
  - Reads secrets from the secrets directory on the controller, without white space at their end, and decrypts those that
    are encrypted with Ansible's vault. It writes nothing; the module M(fewnodes.discovery.secret) creates secrets.
  - A file is decrypted once in each process.
extends_documentation_fragment: [fewnodes.discovery.secrets]
author: fewnodes.discovery maintainers (@fewnodes)
options:
  _terms:
    description: Names of secrets, which are paths below the directory. Example, V(tokens/operations).
    type: list
    elements: str
    required: true
  host:
    description:
      - Name of the node that gets the secret. Then only its tokens are read, V(tokens/<component>-<node>), and any other name is
        an error.
    type: str
  missing:
    description: Text of the error when a secret is missing, instead of the standard one.
    type: str
  default:
    description: Value of a missing secret, instead of an error.
    type: str
  check_mode_default:
    description:
      - Value of a missing secret in check mode, where no secret is created; so templates render there, and a real run still
        fails.
    type: str
"""

EXAMPLES = r"""
- name: List the tokens
  ansible.builtin.uri:
    url: https://127.0.0.1:8501/v1/acl/tokens
    ca_path: /etc/consul.d/tls/ca.pem
    use_proxy: false
    headers:
      X-Consul-Token: "{{ lookup('fewnodes.discovery.secret', 'management_token') }}"

- name: Read two secrets
  ansible.builtin.set_fact:
    tokens: "{{ query('fewnodes.discovery.secret', 'tokens/operations', 'tokens/ui', default='') }}"
  no_log: true
"""

RETURN = r"""
_list:
  description: The contents, in the order of the names.
  type: list
  elements: str
"""

from ansible.errors import AnsibleLookupError  # noqa: E402
from ansible.plugins.lookup import LookupBase  # noqa: E402

from ..plugin_utils.secrets import SecretError, Secrets, check_host, site_secrets  # noqa: E402


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        try:
            variables, template = (self._templar.available_variables, self._templar.template) if self._templar else ({}, None)
            given = self.get_option("directory"), self.get_option("vault_password_file")
            secrets = site_secrets(variables, template, self._loader, *given)
            names = [str(name) for name in self._flatten(terms)]
            host = self.get_option("host")
            if host is not None:
                check_host(names, host)
            return [self._read(secrets, name) for name in names]
        except SecretError as error:
            raise AnsibleLookupError(str(error)) from None

    def _read(self, secrets: Secrets, name: str) -> str:
        try:
            return secrets.read(name)
        except FileNotFoundError:
            default = self.get_option("default")
            if default is None and self._variable("ansible_check_mode"):
                default = self.get_option("check_mode_default")
            if default is not None:
                return default
            raise SecretError(
                self.get_option("missing")
                or f"{secrets.directory} has no {name}: set discovery_secrets_dir to the secrets of this site, or run"
                " playbooks/site.yml, which creates the missing ones"
            ) from None

    def _variable(self, name: str):
        """A variable of the host; its templates are resolved."""
        variables = self._templar.available_variables if self._templar else {}
        return self._templar.template(variables[name]) if name in variables else None
