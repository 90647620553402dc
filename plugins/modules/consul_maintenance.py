#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: consul_maintenance
short_description: Drains services of a Consul agent, or ends their drain
description:
  - Uses Consul's maintenance mode. A drained service is critical until its drain ends, so that service DNS and load balancers
    skip it; its process runs on. The state survives a restart of the agent.
  - Without O(state) the module gathers the services and changes nothing.
options:
  state:
    description:
      - V(drained) enables the maintenance of O(ids), or with O(node) of the whole host; V(in_service) disables it.
    type: str
    choices: [drained, in_service]
  ids:
    description: Ids of services of this agent; an id that the agent does not have is ignored.
    type: list
    elements: str
    default: []
  node:
    description: Whether the whole host is meant, with services that are registered later.
    type: bool
    default: false
  reason:
    description: Reason that Consul shows. With V(in_service) and O(only_reason), services with another reason stay drained.
    type: str
    default: drained
  only_reason:
    description: Whether V(in_service) is limited to services that were drained with O(reason).
    type: bool
    default: false
  token:
    description: SecretID that may write the services, with O(node) the node.
    type: str
  token_file:
    description: File on the host with the SecretID, read where O(token) is empty.
    type: path
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Drain a service
  fewnodes.discovery.consul_maintenance:
    state: drained
    ids: ["app-1:web:80"]
    reason: its disk is being replaced
    token_file: /etc/registrator/token
"""

RETURN = r"""
services:
  description: The agent's services before the change.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Id of the service., type: str}
    name: {description: Name of the service., type: str}
    container: {description: Container that the service was registered for; empty where none is known., type: str}
    passing: {description: Whether no check of the service or of its node is critical., type: bool}
drained:
  description: Ids of the services that were drained before the change; an empty text stands for the node.
  returned: success
  type: list
  elements: str
moved:
  description: Ids of the services whose state was changed; an empty text stands for the node.
  returned: success
  type: list
  elements: str
"""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import AGENT, Api, ApiError

# Ids of the checks of Consul's maintenance mode (agent/structs, NodeMaint and ServiceMaintPrefix).
NODE = "_node_maintenance"
SERVICE = "_service_maintenance:"
CONTAINER = "registrator-container"  # in the meta of a service that our registrator has registered


def services_of(services: Mapping[str, Mapping], checks: Mapping[str, Mapping]) -> list[dict]:
    """The services of an agent, sorted by id.

    :param services: answer of /v1/agent/services
    :param checks: answer of /v1/agent/checks; a check without a service is the node's
    """
    bad = {check["ServiceID"] for check in checks.values() if check["Status"] == "critical"}
    return [
        {
            "id": service_id,
            "name": entry["Service"],
            "container": container(service_id, entry.get("Meta") or {}),
            "passing": not bad & {service_id, ""},
        }
        for service_id, entry in sorted(services.items())
    ]


def container(service_id: str, meta: Mapping) -> str:
    """The container's name, from the meta of our registrator, else from an id <host>:<container>:<port>."""
    return meta.get(CONTAINER) or (service_id.split(":") + [""])[1]


def drained(checks: Mapping[str, Mapping], reason: str | None = None) -> set[str]:
    """Ids of drained services, '' for the node; with one reason or (None) with any."""
    return {
        check["ServiceID"]
        for check_id, check in checks.items()
        if (check_id == NODE or check_id.startswith(SERVICE)) and reason in (None, check["Notes"])
    }


def ids_to_change(state: str, wanted: set[str], checks: Mapping[str, Mapping], reason: str | None) -> list[str]:
    """Ids whose state differs from the wanted one, '' for the node."""
    return sorted(wanted - drained(checks) if state == "drained" else wanted & drained(checks, reason))


def set_maintenance(api: Api, service_id: str, enable: bool, reason: str) -> None:
    where = f"/v1/agent/service/maintenance/{quote(service_id, safe='')}" if service_id else "/v1/agent/maintenance"
    api.put(f"{where}?{urlencode({'enable': str(enable).lower(), 'reason': reason})}")


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["drained", "in_service"]},
            "ids": {"type": "list", "elements": "str", "default": []},
            "node": {"type": "bool", "default": False},
            "reason": {"type": "str", "default": "drained"},
            "only_reason": {"type": "bool", "default": False},
            "token": {"type": "str", "no_log": True},
            "token_file": {"type": "path", "no_log": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        token = params["token"] or ""
        if not token and params["token_file"]:
            with open(params["token_file"], encoding="ascii") as file:
                token = file.read().strip()
        api = Api(token)
        services, checks = api.get("/v1/agent/services"), api.get("/v1/agent/checks")
        changed_ids = []
        if params["state"]:
            wanted = (set(params["ids"]) & set(services)) | ({""} if params["node"] else set())
            only = params["reason"] if params["only_reason"] else None
            changed_ids = ids_to_change(params["state"], wanted, checks, only)
            for service_id in [] if module.check_mode else changed_ids:
                set_maintenance(api, service_id, params["state"] == "drained", params["reason"])
    except (ApiError, OSError) as error:
        module.fail_json(msg=f"the agent {AGENT}: {error}")
    module.exit_json(
        changed=bool(changed_ids),
        services=services_of(services, checks),
        drained=sorted(drained(checks)),
        moved=changed_ids,
    )


if __name__ == "__main__":
    main()
