#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_shares
short_description: Sets the share of a service's requests that each version of it gets from the load balancers
description:
  - Writes the key C(discovery/traffic/<service>) of Consul's KV store, and only if it is still as it was read (compare and set).
  - Refuses shares that no healthy instance could serve, before anything changes. The messages name the variables of the role
    P(fewnodes.discovery.shift#role).
options:
  service:
    description: Name of the service.
    type: str
    required: true
  shares:
    description:
      - Version to percentage, a whole number from 0 (no request) to 100. The other versions share the rest by the weights of
        their instances.
      - Empty means by the weights of the instances alone.
    type: dict
    default: {}
  undo:
    description: Whether the shares before the last shift come back, instead of O(shares).
    type: bool
    default: false
  token:
    description: SecretID that reads services and writes the key.
    type: str
    required: true
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Try the new version
  fewnodes.discovery.traffic_shares:
    service: web
    shares: {v2: 10}
    token: "{{ token }}"
"""

RETURN = r"""
value:
  description: Value of the key after the change; empty where there is no key.
  returned: success
  type: str
shares:
  description: Version to percentage.
  returned: success
  type: dict
versions:
  description: The registered versions, each with the number of its instances and how many of them pass.
  returned: success
  type: dict
"""

from base64 import b64decode  # noqa: E402
from collections.abc import Mapping  # noqa: E402
from urllib.parse import quote  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import AGENT, Api, ApiError  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.version_shares import (  # noqa: E402
    KEY,
    TAGS,
    decide,
    versions_of,
)


def read(api, path: str) -> tuple[str | None, int]:
    """The text of a key and its index; None and 0 where there is none."""
    try:
        entry = api.get(path)[0]
    except ApiError as error:
        if error.status != 404:
            raise
        return None, 0
    return b64decode(entry["Value"] or "").decode(errors="replace"), entry["ModifyIndex"]


def shift(api, service: str, shares: Mapping[str, int] | None, check_mode: bool) -> dict:
    """Read, decide, and write by compare-and-set; the result for exit_json, or problems. Shares None mean undo."""
    name = quote(service, safe="")
    path = f"/v1/kv/{KEY}{name}"
    text, index = read(api, path)
    versions = versions_of(api.get(f"/v1/health/service/{name}"))
    known = [] if versions else [n for n, tags in api.get("/v1/catalog/services").items() if TAGS & set(tags)]
    decided = decide(service, shares, versions, known, text)
    write = not decided["problems"] and decided["changed"] and not check_mode
    if write and not api.put_text(f"{path}?cas={index}", decided["value"]):
        return {"problems": [f"the shares of {service} changed during this run: look at them, and run it again"]}
    return decided | {"versions": versions}


def main():
    module = AnsibleModule(
        argument_spec={
            "service": {"type": "str", "required": True},
            "shares": {"type": "dict", "default": {}},
            "undo": {"type": "bool", "default": False},
            "token": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        shares = None if params["undo"] else params["shares"]
        result = shift(Api(params["token"]), params["service"], shares, module.check_mode)
    except (ApiError, OSError) as error:
        module.fail_json(msg=f"the agent {AGENT}: {error}")
    if result["problems"]:
        module.fail_json(msg="; ".join(result["problems"]))
    module.exit_json(**{name: result[name] for name in ("changed", "value", "shares", "versions")})


if __name__ == "__main__":
    main()
