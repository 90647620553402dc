"""Action vaulted; its documentation is that of the module of this name."""

from __future__ import annotations

from pathlib import Path

from ..plugin_utils.secrets_action import SecretsAction


class ActionModule(SecretsAction):
    arguments = {
        "secrets": {"type": "bool", "default": False},
        "files": {"type": "list", "elements": "path", "default": []},
    }

    def act(self, secrets, given, variables):
        secrets.check_password()
        plain = secrets.not_encrypted(Path(path) for path in given["files"]) + (secrets.plain() if given["secrets"] else [])
        if not self._task.check_mode:
            for path in plain:
                secrets.encrypt(path)
        return {"changed": bool(plain), "encrypted": [str(path) for path in plain]}
