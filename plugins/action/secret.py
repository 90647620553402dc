"""Action secret; its documentation is that of the module of this name."""

from __future__ import annotations

from ..plugin_utils.secrets import GENERATORS, SecretError, Secrets, new_texts
from ..plugin_utils.secrets_action import SecretsAction


class ActionModule(SecretsAction):
    """Its result names secrets and never has their content."""

    arguments = {
        "names": {"type": "list", "elements": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "replaced", "absent"], "default": "present"},
        "value": {"type": "str", "no_log": True},
        "values": {"type": "dict", "no_log": True},
        "generate": {"type": "str", "choices": sorted(GENERATORS)},
        "refuse": {"type": "str"},
    }

    def act(self, secrets, given, variables):
        done = getattr(self, f"_{given['state']}")(secrets, given, self._task.check_mode)
        return {"changed": any(done.values())} | done

    @staticmethod
    def _present(secrets: Secrets, wanted: dict, check_mode: bool) -> dict:
        missing = secrets.missing(wanted["names"])
        if missing and wanted["refuse"]:
            if check_mode:  # what a run before this one would have created is missing in check mode
                return {"created": []}
            raise SecretError(wanted["refuse"])
        if missing:
            secrets.check_password()
        if check_mode:
            return {"created": missing}
        texts = new_texts(missing, wanted["value"], wanted["values"], wanted["generate"] or "")
        return {"created": secrets.create(texts)}

    @staticmethod
    def _replaced(secrets: Secrets, wanted: dict, check_mode: bool) -> dict:
        if check_mode:
            return {"replaced": [name for name in wanted["names"] if secrets.path(f"{name}.next").exists()]}
        return {"replaced": [name for name in wanted["names"] if secrets.replace(name)]}

    @staticmethod
    def _absent(secrets: Secrets, wanted: dict, check_mode: bool) -> dict:
        if check_mode:
            return {"removed": [name for name in wanted["names"] if secrets.path(name).exists()]}
        return {"removed": [name for name in wanted["names"] if secrets.remove(name)]}
