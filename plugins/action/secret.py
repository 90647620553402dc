"""Action secret; its documentation is that of the module of this name."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.secrets import GENERATORS, SecretError, Secrets, new_texts, site_secrets

ARGUMENTS = {
    "names": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "replaced", "absent"], "default": "present"},
    "value": {"type": "str", "no_log": True},
    "values": {"type": "dict", "no_log": True},
    "generate": {"type": "str", "choices": sorted(GENERATORS)},
    "refuse": {"type": "str"},
    "directory": {"type": "path"},
    "vault_password_file": {"type": "path"},
}


class ActionModule(ActionBase):
    """Works on the controller, whichever host the task is for. Its result names secrets and never has their content."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        wanted = self.validate_argument_spec(ARGUMENTS)[1]
        try:
            given = wanted["directory"], wanted["vault_password_file"]
            secrets = site_secrets(task_vars or {}, self._templar.template, self._loader, *given)
            done = getattr(self, f"_{wanted['state']}")(secrets, wanted, self._task.check_mode)
        except SecretError as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename or wanted['directory']}: {error.strerror}") from None
        return result | {"changed": any(done.values())} | done

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
