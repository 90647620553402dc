"""Action vaulted_copy; its documentation is that of the module of this name."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action.copy import ActionModule as Copy

from ..plugin_utils.secrets import SecretError, decrypted_file, site_secrets


class ActionModule(Copy):
    """ansible.builtin.copy of a file that may be encrypted with the vault password of the site."""

    def run(self, tmp=None, task_vars=None):
        arguments = self._task.args
        try:
            secrets = site_secrets(task_vars or {}, self._templar.template, self._loader)
            source = decrypted_file(secrets, Path(arguments["src"]))
        except SecretError as error:
            raise AnsibleActionFail(str(error)) from None
        self._task.args = {**arguments, "src": str(source), "decrypt": False}
        try:
            return super().run(tmp, task_vars)
        finally:
            self._task.args = arguments
