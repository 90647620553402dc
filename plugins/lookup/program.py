from __future__ import annotations

DOCUMENTATION = r"""
name: program
short_description: A Python package as files for managed_files
description:
  - Lists the directories and C(*.py) files of a Python package on the controller, in the form that the module
    M(fewnodes.discovery.managed_files) takes. The directories have C(purge), so files of an earlier version are removed.
author: fewnodes.discovery maintainers (@fewnodes)
options:
  _terms:
    description: Directory of the package on the controller.
    type: list
    elements: path
    required: true
  dest:
    description: Its directory on the host.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Install the program
  fewnodes.discovery.managed_files:
    files: "{{ query('fewnodes.discovery.program', role_path ~ '/files/clock', dest='/usr/local/lib/clock/clock') }}"
"""

RETURN = r"""
_list:
  description: Directories and files, the directories first.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleLookupError  # noqa: E402
from ansible.plugins.lookup import LookupBase  # noqa: E402

from ..plugin_utils.program import program_files  # noqa: E402


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return [item for term in terms for item in program_files(term, self.get_option("dest"))]
        except OSError as error:
            raise AnsibleLookupError(f"fewnodes.discovery.program: {error}") from error
