#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: consul_acl_request
short_description: Requests to the access control of Consul, in one step (internal)
description:
  - Part of the action M(fewnodes.discovery.consul_acl) that runs on the host. It decides nothing. It is internal and may
    change at any time.
  - In this order, it verifies the management token, writes policies, deletes tokens, writes tokens, deletes policies, and
    lists the tokens.
options:
  token:
    description: SecretID of the management token.
    type: str
    required: true
  bootstrap:
    description: Bootstrap a cluster that has no access control yet, with O(token).
    type: bool
    default: false
  policies:
    description: Name of the policy to its rules. Policies that are missing or differ are written; others stay.
    type: dict
    default: {}
  tokens:
    description:
      - Requests that write tokens, a JSON list of objects with C(path), below C(/v1), and C(body).
      - One text, because Ansible masks each value of a secret option in the result, also a host's name such as C(a).
    type: str
    default: "[]"
  absent_tokens:
    description: AccessorIDs of tokens to delete.
    type: list
    elements: str
    default: []
  absent_policies:
    description: Names of policies to delete.
    type: list
    elements: str
    default: []
  list_tokens:
    description: Whether to list the tokens.
    type: bool
    default: true
attributes:
  check_mode:
    description: Predicts the change and does nothing.
    support: full
extends_documentation_fragment: [fewnodes.discovery.pod]
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Write a policy
  fewnodes.discovery.consul_acl_request:
    token: "{{ lookup('fewnodes.discovery.secret', 'management_token') }}"
    policies:
      dns: 'service_prefix "" { policy = "read" }'
    list_tokens: false
"""

RETURN = r"""
status:
  description: >-
    V(accepted), V(bootstrapped) with the token just now, V(rejected), V(leaderless) when the cluster has no leader, or
    V(unreachable) when the agent does not answer.
  returned: always
  type: str
error:
  description: Text of the answer where the agent does not answer as it should.
  returned: always
  type: str
policies:
  description: Names of the policies that were written or deleted.
  returned: always
  type: list
  elements: str
tokens:
  description:
    - The tokens, JSON in base64; empty when they were not listed.
    - Encoded, because Ansible takes the values of a module's secret options out of its result.
  returned: always
  type: str
"""

import base64  # noqa: E402
import json  # noqa: E402
from urllib.parse import quote  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import AGENT, Api, ApiError  # noqa: E402

POD = {
    "kubeconfig": {"type": "str", "default": ""},
    "context": {"type": "str", "default": ""},
    "namespace": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "server": {"type": "str", "required": True},
    "ca": {"type": "str", "required": True},
}
FORBIDDEN = 403
NOT_FOUND = 404


def status(api, token: str, bootstrap: bool) -> tuple[str, str]:
    """Whether the cluster accepts the management token: status and error, as in RETURN.

    A bootstrap happens once in the life of a cluster; a second one is refused, whatever the token.
    """
    try:
        api.get("/v1/acl/token/self")
        return "accepted", ""
    except OSError as error:
        return "unreachable", str(error)
    except ApiError as error:
        if error.status != FORBIDDEN:
            return "leaderless", str(error)
        if not bootstrap:
            return "rejected", str(error)
    try:
        api.put("/v1/acl/bootstrap", {"BootstrapSecret": token})
        return "bootstrapped", ""
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
        return "rejected", str(error)


def read_policy(api, name: str) -> dict:
    """The policy as the cluster has it, {} for none."""
    try:
        return api.get(f"/v1/acl/policy/name/{quote(name, safe='')}") or {}
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return {}


def ensure_policies(api, policies: dict, check_mode: bool) -> list[str]:
    """Write what differs; the names, sorted."""
    written = []
    for name, rules in sorted(policies.items()):
        found = read_policy(api, name)
        description = f"Component {name}"
        if (found.get("Rules"), found.get("Description")) == (rules, description):
            continue
        written.append(name)
        if not check_mode:
            identity = f"/{found['ID']}" if found else ""
            api.put(f"/v1/acl/policy{identity}", {"Name": name, "Description": description, "Rules": rules})
    return written


def delete_policies(api, names: list, check_mode: bool) -> list[str]:
    """Delete policies; the names of those that existed."""
    deleted = []
    for name in names:
        if not (found := read_policy(api, name)):
            continue
        deleted.append(name)
        if not check_mode:
            api.delete(f"/v1/acl/policy/{found['ID']}")
    return deleted


def delete_tokens(api, accessor_ids: list) -> None:
    """Delete tokens; one that is gone already is no error."""
    for accessor_id in accessor_ids:
        try:
            api.delete(f"/v1/acl/token/{accessor_id}")
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise


def perform(api, options: dict, check_mode: bool) -> dict:
    """Everything, in the order of DOCUMENTATION; the result as in RETURN."""
    found, error = status(api, options["token"], options["bootstrap"] and not check_mode)
    requests = json.loads(options["tokens"])
    result = {"changed": found == "bootstrapped", "status": found, "error": error, "policies": [], "tokens": ""}
    if found not in ("accepted", "bootstrapped"):
        return result
    result["policies"] = ensure_policies(api, options["policies"], check_mode)
    if not check_mode:
        delete_tokens(api, options["absent_tokens"])
    if not check_mode:
        for request in requests:
            api.put(f"/v1/{request['path']}", request["body"])
    result["policies"] += delete_policies(api, options["absent_policies"], check_mode)
    if options["list_tokens"]:
        result["tokens"] = base64.b64encode(json.dumps(api.get("/v1/acl/tokens")).encode()).decode()
    result["changed"] |= bool(result["policies"] or options["absent_tokens"] or requests)
    return result


def of_pod(pod: dict, token: str) -> Api:
    """Consul in a pod.

    :raises OSError: the kubeconfig cannot be used, or the Python package of its client is missing
    """
    # Not on hosts, which may have that package, and would load it for nothing.
    from ansible_collections.fewnodes.discovery.plugins.module_utils.kubernetes_api import Cluster, ClusterError, PodApi

    try:
        cluster = Cluster(pod["kubeconfig"], pod["context"])
    except ClusterError as error:
        raise OSError(str(error)) from None
    return PodApi(lambda: cluster.connect(pod["namespace"], pod["name"]), pod["server"], pod["ca"], token)


def main():
    module = AnsibleModule(
        argument_spec={
            "token": {"type": "str", "required": True, "no_log": True},
            "bootstrap": {"type": "bool", "default": False},
            "policies": {"type": "dict", "default": {}},
            "tokens": {"type": "str", "default": "[]", "no_log": True},
            "absent_tokens": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "absent_policies": {"type": "list", "elements": "str", "default": []},
            "list_tokens": {"type": "bool", "default": True, "no_log": False},
            "pod": {"type": "dict", "options": POD},
        },
        supports_check_mode=True,
    )
    pod = module.params["pod"]
    try:
        api = of_pod(pod, module.params["token"]) if pod else Api(module.params["token"])
        result = perform(api, module.params, module.check_mode)
    except (ApiError, OSError) as error:
        module.fail_json(msg=f"{'pod ' + pod['name'] if pod else 'the agent ' + AGENT}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
