"""Action consul_acl; its documentation is that of the module of this name."""

from __future__ import annotations

import base64
import json

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.consul_acl import Acl, AclError, Site
from ..plugin_utils.secrets import SecretError, site_secrets

SITE = {
    "datacenter": {"type": "str", "required": True},
    "tokens": {"type": "dict", "required": True},
    "site_tokens": {"type": "list", "elements": "str", "default": []},
    "policies": {"type": "dict", "required": True},
    "host_policies": {"type": "dict", "default": {}},
    "services": {"type": "dict", "default": {}},
    "keys": {"type": "dict", "default": {}},
    "left": {"type": "dict", "default": {}},
}
# State to the options that it takes.
STATES = {
    "bootstrapped": (),
    "imported": (),
    "present": (),
    "restored": (),
    "absent": ("host",),
    "rotation_begun": ("component", "hosts", "management"),
    "rotation_finished": ("component", "hosts", "management", "accessor_ids"),
}
ARGUMENTS = {
    "state": {"type": "str", "choices": list(STATES), "default": "present"},
    "site": {"type": "dict", "required": True, "options": SITE},
    "host": {"type": "str"},
    "component": {"type": "str", "default": ""},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "management": {"type": "bool", "default": False},
    "accessor_ids": {"type": "list", "elements": "str", "default": []},
    "pod": {"type": "dict"},
    "directory": {"type": "path"},
    "vault_password_file": {"type": "path"},
}


class ActionModule(ActionBase):
    """Compares and writes secrets on the controller; the module consul_acl_request asks the agent of the host, or of a pod."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        options = self.validate_argument_spec(ARGUMENTS, required_if=[("state", "absent", ("host",))])[1]
        self._variables = task_vars or {}
        try:
            given = options["directory"], options["vault_password_file"]
            self._pod = {"pod": options["pod"]} if options["pod"] else {}
            secrets = site_secrets(self._variables, self._templar.template, self._loader, *given)
            acl = Acl(Site(**options["site"]), secrets, self._ask, self._task.check_mode)
            given = {name: options[name] for name in STATES[options["state"]]}
            return result | getattr(acl, options["state"])(**given)
        except (AclError, SecretError) as error:
            raise AnsibleActionFail(str(error)) from None

    def _ask(self, **options) -> dict:
        options |= self._pod
        options["tokens"] = json.dumps(options.get("tokens", []))
        found = self._execute_module("fewnodes.discovery.consul_acl_request", options, task_vars=self._variables)
        if found.get("failed") or "status" not in found:
            raise AclError(found.get("msg", "the module consul_acl_request gave no result"))
        tokens = json.loads(base64.b64decode(found["tokens"])) if found["tokens"] else []
        return found | {"tokens": tokens}
