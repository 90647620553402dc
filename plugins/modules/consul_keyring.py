from __future__ import annotations

DOCUMENTATION = r"""
module: consul_keyring
short_description: Rotate the gossip key of a running Consul cluster
description:
  - Installs the new key on every member, makes every member use it, and then removes every other key. Each step
    follows from the cluster's state at that moment, so an interrupted rotation is resumable.
  - Refuses while a member is not alive, because it could not join again.
  - Run it once, on a server.
options:
  key:
    description: The new key, 32 bytes in base64. When it is empty, the module only checks whether a rotation may start.
    type: str
    default: ""
  current:
    description: The present key of the controller.
    type: str
    required: true
  nodes:
    description: Nodes that must be members of the cluster, and alive.
    type: list
    elements: str
    required: true
  token:
    description: SecretID with the rights keyring write, and node read.
    type: str
    default: ""
  timeout:
    description: How long to wait until the cluster is healthy between two steps, in seconds.
    type: int
    default: 120
attributes:
  check_mode:
    support: full
    description: Reports the first step only.
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Rotate the gossip key
  fewnodes.discovery.consul_keyring:
    key: "{{ new_key }}"
    current: "{{ present_key }}"
    nodes: [consul-1, consul-2, consul-3]
    token: "{{ management_token }}"
  run_once: true
"""

RETURN = r"""
steps:
  description: Steps that were taken, in order.
  type: list
  elements: str
  returned: success
  sample: [install, use, remove]
"""

import time  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import Api, ApiError  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_keyring import Step, next_step  # noqa: E402

KEYRING = "/v1/operator/keyring"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "key": {"type": "str", "default": "", "no_log": True},
            "current": {"type": "str", "required": True, "no_log": True},
            "nodes": {"type": "list", "elements": "str", "required": True},
            "token": {"type": "str", "default": "", "no_log": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    # A member that does not answer is waited for, up to 10 s by the cluster itself.
    rotation = Rotation(module, Api(module.params["token"], timeout=60))
    module.exit_json(steps=rotation.run(), changed=bool(rotation.steps))


class Rotation:
    """Steps until there is none left."""

    def __init__(self, module: AnsibleModule, api: Api):
        self.module, self.api = module, api
        self.steps: list[str] = []

    def run(self) -> list[str]:
        end = time.monotonic() + self.module.params["timeout"]
        while True:
            step, failure = self.step()
            if step.kind == "done":
                return self.steps
            if step.kind == "refuse":
                self.fail(step.reason)
            if step.kind != "wait" and self.module.check_mode:
                self.steps.append(step.kind)
                return self.steps
            if step.kind != "wait" and not (failure := self.take(step)):
                self.steps.append(step.kind)
                end = time.monotonic() + self.module.params["timeout"]
                continue
            if time.monotonic() > end:
                self.fail(failure or step.reason)
            time.sleep(1)

    def step(self) -> tuple[Step, str]:
        """The next step, and what went wrong on the way to it. The members are read last: they verify the rings."""
        try:
            rings = self.api.get(KEYRING)
            members = self.api.get("/v1/agent/members")
        except (ApiError, OSError) as error:
            if isinstance(error, ApiError) and error.status == 403:
                self.fail(f"the cluster does not accept the token: {error}")
            return self.unreadable(error)
        options = self.module.params
        return next_step(rings, members, options["current"], options["key"], options["nodes"]), ""

    def unreadable(self, error: Exception) -> tuple[Step, str]:
        """The step when the keyring is unreadable. A dead member is the likeliest reason, so it is named when there is one."""
        try:
            members = self.api.get("/v1/agent/members")
        except (ApiError, OSError):
            members = []
        options = self.module.params
        ring = {"Keys": {options["current"]: 1}, "PrimaryKeys": {options["current"]: 1}, "NumNodes": 1}
        judged = next_step([ring], members, options["current"], "", options["nodes"]) if members else Step("wait")
        return (judged if judged.kind == "refuse" else Step("wait")), f"the keyring: {error}"

    def take(self, step: Step) -> str:
        """Take a step; '' or what went wrong."""
        how = {"install": self.api.post, "use": self.api.put, "remove": self.api.delete}[step.kind]
        try:
            how(KEYRING, {"Key": step.key})
        except (ApiError, OSError) as error:
            return f"{step.kind} a key: {error}"
        return ""

    def fail(self, problem: str) -> None:
        done = f" Done until here: {', '.join(self.steps)}." if self.steps else " Nothing was changed."
        self.module.fail_json(
            msg=f"The gossip key is not rotated: {problem}.{done} Run again when this is repaired; the rotation is resumable.",
            steps=self.steps,
        )


if __name__ == "__main__":
    main()
