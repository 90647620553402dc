"""Action signed_certificate; its documentation is that of the module of this name."""

from __future__ import annotations

from datetime import UTC, datetime

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.certificates import USAGES, CertificateError, Wanted, differences, name_problems, sign
from ..plugin_utils.secrets import SecretError, site_secrets

ARGUMENTS = {
    "public_key": {"type": "str", "required": True},
    "common_name": {"type": "str", "required": True},
    "san": {"type": "list", "elements": "str", "default": []},
    "usage": {"type": "list", "elements": "str", "choices": sorted(USAGES), "required": True},
    "ca": {"type": "str", "required": True},
    "days": {"type": "int", "required": True},
    "present": {"type": "str", "default": ""},
    "renew_before": {"type": "str", "default": ""},
    "directory": {"type": "path"},
    "vault_password_file": {"type": "path"},
}


class ActionModule(ActionBase):
    """Works on the controller, whichever host the task is for: the key of the CA stays in this process."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = self.validate_argument_spec(ARGUMENTS)[1]
        variables = task_vars or {}
        wanted = Wanted(given["common_name"], tuple(given["san"]), tuple(given["usage"]))
        try:
            names = [f"DNS:{wanted.common_name}", *wanted.san]
            problems = name_problems(names, variables["inventory_hostname"], variables["hostvars"])
            if problems:
                raise CertificateError("; ".join(problems))
            places = given["directory"], given["vault_password_file"]
            secrets = site_secrets(variables, self._templar.template, self._loader, *places)
            ca = secrets.path(f"{given['ca']}.pem").read_text()
            why = differences(given["present"], given["public_key"], wanted, ca, given["renew_before"])
            if not why:
                return result | {"changed": False, "certificate": given["present"]}
            ca_key = secrets.read(f"{given['ca']}.key")
            certificate = sign(wanted, given["public_key"], ca, ca_key, given["days"], datetime.now(UTC))
        except (CertificateError, SecretError) as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename}: {error.strerror}") from None
        return result | {"changed": True, "certificate": certificate}
