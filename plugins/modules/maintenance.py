#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance
short_description: Takes services of an agent out of names and balancers, or brings them back
description:
  - Uses the maintenance of Consul, which makes a service critical until it is ended; the service itself goes on, and the
    state outlives a restart of the agent.
  - Without O(state) it only looks.
options:
  state:
    description:
      - V(drained) puts O(ids), or with O(node) the whole host, into maintenance, V(in_service) ends it.
    type: str
    choices: [drained, in_service]
  ids:
    description: Ids of services of this agent; one that it does not have is left out.
    type: list
    elements: str
    default: []
  node:
    description: The whole host, with services that are registered later.
    type: bool
    default: false
  reason:
    description: Why, for people. With V(in_service) and O(only_reason), only what was drained for this reason comes back.
    type: str
    default: drained
  only_reason:
    description: See O(reason).
    type: bool
    default: false
  url:
    description: The agent.
    type: str
    default: http://127.0.0.1:8500
  ca_path:
    description: What an https O(url) is verified by.
    type: path
  token:
    description: Writes the services, with O(node) the node.
    type: str
  token_file:
    description: A file on the host with the token, where O(token) is not given.
    type: path
author: fewnodes.discovery maintainers
"""

EXAMPLES = r"""
- name: Take a service out
  fewnodes.discovery.maintenance:
    state: drained
    ids: ["app-1:web:80"]
    reason: its disk is being replaced
    token_file: /etc/registrator/token
"""

RETURN = r"""
services:
  description: The agent's services as they were found.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Its id., type: str}
    name: {description: Its name., type: str}
    container: {description: Name of the container that it was registered for; empty where none is known., type: str}
    passing: {description: Whether no check of it says otherwise., type: bool}
drained:
  description: Ids of the services that were in maintenance, as found.
  returned: success
  type: list
  elements: str
moved:
  description: Ids of the services whose state was changed.
  returned: success
  type: list
  elements: str
"""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import Api, ApiError

# What Consul calls the checks of its maintenance (agent/structs, NodeMaint and ServiceMaintPrefix).
NODE = "_node_maintenance"
SERVICE = "_service_maintenance:"
CONTAINER = "registrator-container"  # in the meta of what the registrator registers


def found(services: Mapping[str, Mapping], checks: Mapping[str, Mapping]) -> list[dict]:
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
    """Of the registrator's mark, else of an id as registrators make them: <host>:<container>:<port>."""
    return meta.get(CONTAINER) or (service_id.split(":") + [""])[1]


def drained(checks: Mapping[str, Mapping], reason: str | None = None) -> set[str]:
    """Ids of what is in maintenance, '' for the node; for one reason or (None) for any."""
    return {
        check["ServiceID"]
        for check_id, check in checks.items()
        if (check_id == NODE or check_id.startswith(SERVICE)) and reason in (None, check["Notes"])
    }


def to_move(state: str, wanted: set[str], checks: Mapping[str, Mapping], reason: str | None) -> list[str]:
    """Ids whose state must change, '' for the node."""
    return sorted(wanted - drained(checks) if state == "drained" else wanted & drained(checks, reason))


def move(api: Api, service_id: str, enable: bool, reason: str) -> None:
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
            "url": {"type": "str", "default": "http://127.0.0.1:8500"},
            "ca_path": {"type": "path"},
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
        api = Api(token, params["url"], ca_path=params["ca_path"])
        services, checks = api.get("/v1/agent/services"), api.get("/v1/agent/checks")
        moved = []
        if params["state"]:
            wanted = (set(params["ids"]) & set(services)) | ({""} if params["node"] else set())
            only = params["reason"] if params["only_reason"] else None
            moved = to_move(params["state"], wanted, checks, only)
            for service_id in [] if module.check_mode else moved:
                move(api, service_id, params["state"] == "drained", params["reason"])
    except (ApiError, OSError) as error:
        module.fail_json(msg=f"the agent {params['url']}: {error}")
    module.exit_json(
        changed=bool(moved), services=found(services, checks), drained=sorted(drained(checks)), moved=moved
    )


if __name__ == "__main__":
    main()
