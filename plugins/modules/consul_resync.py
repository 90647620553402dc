#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: consul_resync
short_description: Make the catalog equal to the agent of a node
description:
  - A restored snapshot brings back an old catalog. Agents correct it by themselves, but only within two minutes, and not
    at all when the node has another id than in the snapshot (its name is then reserved).
  - Runs on each node, against its own agent.
options:
  state:
    description:
      - V(cleared) removes from the catalog this node's entry when it has another id, and this node's services and checks that
        the agent does not have.
      - V(left_removed) removes nodes that are no members, only those that an agent had registered. Needed once.
      - V(synced) makes the agent register its services again (by a reload) and waits until the catalog has them.
    type: str
    choices: [cleared, left_removed, synced]
    required: true
  token:
    description:
      - A token that may write the agent and its node, and read services, such as that of the agent itself; with
        V(state=left_removed) it writes all nodes.
    type: str
    required: true
  timeout:
    description: How long to wait, in seconds.
    type: int
    default: 120
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Remove stale entries of the restored catalog
  fewnodes.discovery.consul_resync:
    state: cleared
    token: "{{ agent_token }}"
"""

RETURN = r"""
removed:
  description: Entries that were removed from the catalog.
  returned: state is cleared or left_removed
  type: list
  elements: str
"""

from collections.abc import Iterable, Mapping
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import (
    SECONDS_TO_ACCEPT,
    Api,
    ApiError,
    refusal,
    wait_until,
)

SERF = "serfHealth"
LEFT = 3  # Serf's status of a member that has left


def stale_entries(me: Mapping, local: Mapping, entry: Mapping) -> list[dict]:
    """Stale entries of this node in the catalog, as bodies of /v1/catalog/deregister.

    :param me: name and id of this node
    :param local: services (id to address and port) and checks (ids) that its agent has
    :param entry: id ('' when the catalog has no such node), services and checks of its entry in the catalog; a check of a
        service that is removed anyway need not be among them
    """
    node = {"Node": me["name"]}
    if entry["id"] and entry["id"] != me["id"]:
        return [node]
    checks = sorted(set(entry["checks"]) - set(local["checks"]) - {SERF})
    return [{**node, "ServiceID": service} for service in wrong(local, entry)] + [{**node, "CheckID": check} for check in checks]


def left_nodes(checks: Iterable[Mapping], members: Iterable[Mapping]) -> list[dict]:
    """Nodes of the catalog that are no members, as bodies of /v1/catalog/deregister.

    :param checks: /v1/health/state/any; only an agent's node has a check of Serf: nodes that someone registered by hand stay
    :param members: /v1/agent/members
    """
    known = {check["Node"] for check in checks if check["CheckID"] == SERF}
    return [{"Node": name} for name in sorted(known - {member["Name"] for member in members if member["Status"] != LEFT})]


def wrong(local: Mapping, entry: Mapping) -> list[str]:
    """Ids of the catalog's services that the agent does not have, or has at another address."""
    return sorted(
        service
        for service, place in entry["services"].items()
        if service != "consul" and local["services"].get(service) != place
    )


def differences(me: Mapping, local: Mapping, entry: Mapping, serf: str) -> str:
    """Difference between the catalog and the agent; '' for none.

    :param serf: status of the node's check of Serf in the catalog, '' when it has none
    """
    if entry["id"] != me["id"]:
        return f"the catalog knows {me['name']} as {entry['id'] or 'nothing'}, not as {me['id']}"
    missing = sorted(set(local["services"]) - set(entry["services"]))
    if missing:
        return f"not in the catalog: {', '.join(missing)}"
    if extra := wrong(local, entry):
        return f"in the catalog, but not like that on the agent: {', '.join(extra)}"
    return "" if serf == "passing" else f"{me['name']} is {serf or 'without a check of Serf'} in the catalog"


def places(services: Mapping[str, Mapping]) -> dict[str, str]:
    """Id to address and port, from /v1/agent/services or the services of /v1/catalog/node."""
    return {service: f"{about['Address']}:{about['Port']}" for service, about in services.items()}


def gathered(api: Api) -> tuple[dict, dict, dict, str]:
    """This node, what its agent has, what the catalog has of it, and the status of its check of Serf."""
    config = api.get("/v1/agent/self")["Config"]
    me = {"name": config["NodeName"], "id": config["NodeID"]}
    local = {"services": places(api.get("/v1/agent/services")), "checks": list(api.get("/v1/agent/checks"))}
    known = api.get(f"/v1/catalog/node/{quote(me['name'])}") or {}
    checks = {check["CheckID"]: check for check in api.get(f"/v1/health/node/{quote(me['name'])}") or []}
    entry = {
        "id": (known.get("Node") or {}).get("ID", ""),
        "services": places(known.get("Services") or {}),
        "checks": [name for name, check in checks.items() if check["ServiceID"] in ("", *local["services"])],
    }
    return me, local, entry, checks.get(SERF, {}).get("Status", "")


def clear(api: Api, left: bool, check_mode: bool) -> list[str]:
    if left:
        found = left_nodes(api.get("/v1/health/state/any"), api.get("/v1/agent/members"))
    else:
        found = stale_entries(*gathered(api)[:3])
    for body in found:
        if not check_mode:
            api.put("/v1/catalog/deregister", body)
    return [" ".join(body.values()) for body in found]


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": ["cleared", "left_removed", "synced"]},
            "token": {"type": "str", "required": True, "no_log": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    api = Api(module.params["token"])
    try:
        # The snapshot may have had other rights for it.
        if refused := wait_until(lambda: refusal(api, "/v1/agent/self"), SECONDS_TO_ACCEPT):
            module.fail_json(msg=f"the agent refuses its token: {refused}")
        if module.params["state"] != "synced":
            removed = clear(api, module.params["state"] == "left_removed", module.check_mode)
            module.exit_json(changed=bool(removed), removed=removed)
        if module.check_mode:
            module.exit_json(changed=True)
        api.put("/v1/agent/reload")
    except (ApiError, OSError) as error:
        module.fail_json(msg=f"the agent's API: {error}")

    def missing() -> str:
        me, local, entry, serf = gathered(api)
        return differences(me, local, entry, serf)

    problem = wait_until(missing, module.params["timeout"])
    if problem:
        module.fail_json(msg=f"not within {module.params['timeout']} s: {problem}")
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
