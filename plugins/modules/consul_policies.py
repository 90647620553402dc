#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: consul_policies
short_description: ACL policies of Consul, all in one step
description:
  - Writes the policies that are missing or have other rules. Others are left alone.
options:
  policies:
    description: Name of the policy to its rules.
    type: dict
    required: true
  url:
    description: The agent that is asked.
    type: str
    default: http://127.0.0.1:8500
  token:
    description: SecretID with acl write.
    type: str
    required: true
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Write the policies
  fewnodes.discovery.consul_policies:
    policies:
      dns: 'service_prefix "" { policy = "read" }'
    token: "{{ token }}"
"""

RETURN = r"""
written:
  description: Names of the policies that were missing or different.
  returned: success
  type: list
  elements: str
"""

from urllib.parse import quote  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import Api, ApiError  # noqa: E402


def read(api, name: str) -> dict:
    """The policy as the cluster has it, {} for none."""
    try:
        return api.get(f"/v1/acl/policy/name/{quote(name, safe='')}") or {}
    except ApiError as error:
        if error.status != 404:
            raise
        return {}


def ensure(api, policies: dict, check_mode: bool) -> list[str]:
    """Write what differs; the names, sorted."""
    written = []
    for name, rules in sorted(policies.items()):
        found = read(api, name)
        description = f"Component {name}"
        if (found.get("Rules"), found.get("Description")) == (rules, description):
            continue
        written.append(name)
        if not check_mode:
            identity = f"/{found['ID']}" if found else ""
            api.put(f"/v1/acl/policy{identity}", {"Name": name, "Description": description, "Rules": rules})
    return written


def main():
    module = AnsibleModule(
        argument_spec={
            "policies": {"type": "dict", "required": True},
            "url": {"type": "str", "default": "http://127.0.0.1:8500"},
            "token": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        written = ensure(Api(module.params["token"], module.params["url"]), module.params["policies"], module.check_mode)
    except (ApiError, OSError) as error:
        module.fail_json(msg=f"the agent {module.params['url']}: {error}")
    module.exit_json(changed=bool(written), written=written)


if __name__ == "__main__":
    main()
