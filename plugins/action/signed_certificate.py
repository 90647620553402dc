"""Action signed_certificate; its documentation is that of the module of this name."""

from __future__ import annotations

from datetime import UTC, datetime

from ansible.errors import AnsibleActionFail

from ..plugin_utils.certificates import USAGES, CertificateError, Wanted, differences, name_problems, sign
from ..plugin_utils.secrets_action import SecretsAction


class ActionModule(SecretsAction):
    arguments = {
        "public_key": {"type": "str", "required": True},
        "common_name": {"type": "str", "required": True},
        "san": {"type": "list", "elements": "str", "default": []},
        "usage": {"type": "list", "elements": "str", "choices": sorted(USAGES), "required": True},
        "ca": {"type": "str", "required": True},
        "days": {"type": "int", "required": True},
        "present": {"type": "str", "default": ""},
        "renew_before": {"type": "str", "default": ""},
        "spare_san": {"type": "list", "elements": "str", "default": []},
        "wildcards": {"type": "list", "elements": "str", "default": []},
    }

    def act(self, secrets, given, variables):
        wanted = Wanted(given["common_name"], tuple(given["san"]), tuple(given["usage"]), tuple(given["spare_san"]))
        try:
            names = [f"DNS:{wanted.common_name}", *wanted.san]
            problems = name_problems(names, variables["inventory_hostname"], variables["hostvars"], given["wildcards"])
            if problems:
                raise CertificateError("; ".join(problems))
            ca = secrets.path(f"{given['ca']}.pem").read_text()
            why = differences(given["present"], given["public_key"], wanted, ca, given["renew_before"])
            if not why:
                return {"changed": False, "certificate": given["present"]}
            ca_key = secrets.read(f"{given['ca']}.key")
            certificate = sign(wanted, given["public_key"], ca, ca_key, given["days"], datetime.now(UTC))
        except CertificateError as error:
            raise AnsibleActionFail(str(error)) from None
        return {"changed": True, "certificate": certificate}
