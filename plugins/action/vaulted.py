"""Action vaulted; its documentation is that of the module of this name."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.secrets import SecretError, site_secrets

ARGUMENTS = {
    "secrets": {"type": "bool", "default": False},
    "files": {"type": "list", "elements": "path", "default": []},
    "directory": {"type": "path"},
    "vault_password_file": {"type": "path"},
}


class ActionModule(ActionBase):
    """Works on the controller, whichever host the task is for."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = self.validate_argument_spec(ARGUMENTS)[1]
        places = given["directory"], given["vault_password_file"]
        try:
            secrets = site_secrets(task_vars or {}, self._templar.template, self._loader, *places)
            secrets.check_password()
            plain = secrets.not_encrypted(Path(path) for path in given["files"]) + (secrets.plain() if given["secrets"] else [])
            if not self._task.check_mode:
                for path in plain:
                    secrets.encrypt(path)
        except SecretError as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename}: {error.strerror}") from None
        return result | {"changed": bool(plain), "encrypted": [str(path) for path in plain]}
