#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_shares
short_description: How many of a hundred requests each version of a service gets from the balancers
description:
  - Writes the key C(discovery/traffic/<service>) of Consul's KV store, and only if it is as it was read (compare and set).
  - Refuses, before anything changes, what could not work, and says what there is.
  - Exactly one of O(shift_version) with O(shift_percent), O(shift_shares), O(shift_undo) and O(shift_end) says what shall be.
options:
  shift_service:
    description: Name of the service.
    type: str
  shift_version:
    description: Version that gets O(shift_percent); the others share the rest by the weights of their instances.
    type: str
  shift_percent:
    description: From 0 (no request at all) to 100.
    type: str
  shift_shares:
    description: Several versions at once, each with its percentage.
    type: dict
  shift_undo:
    description: Back to what counted before the last change.
    type: bool
    default: false
  shift_end:
    description: By the weights of the instances again, whatever their version.
    type: bool
    default: false
  url:
    description: The agent that is asked.
    type: str
    default: http://127.0.0.1:8500
  token:
    description: SecretID that reads services and writes the key.
    type: str
    required: true
author: fewnodes.discovery maintainers
"""

EXAMPLES = r"""
- name: Try the new version
  fewnodes.discovery.traffic_shares:
    shift_service: web
    shift_version: v2
    shift_percent: 10
    token: "{{ token }}"
"""

RETURN = r"""
value:
  description: What the key holds now; empty where there is none.
  returned: success
  type: str
shares:
  description: Version to percentage.
  returned: success
  type: dict
versions:
  description: The versions that there are, each with its number of instances and how many of them pass.
  returned: success
  type: dict
"""

from base64 import b64decode  # noqa: E402
from urllib.parse import quote  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import Api, ApiError  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.traffic import (  # noqa: E402
    KEY,
    TAGS,
    decide,
    request,
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


def shift(api, given: dict, check_mode: bool) -> dict:
    """Read, decide, and write by compare-and-set; the result for exit_json, or problems."""
    asked, problems = request(given)
    if problems:
        return {"problems": problems}
    name = quote(asked["service"], safe="")
    path = f"/v1/kv/{KEY}{name}"
    text, index = read(api, path)
    versions = versions_of(api.get(f"/v1/health/service/{name}"))
    known = [] if versions else [n for n, tags in api.get("/v1/catalog/services").items() if TAGS & set(tags)]
    decided = decide(asked, versions, known, text)
    write = not decided["problems"] and decided["changed"] and not check_mode
    if write and not api.put_text(f"{path}?cas={index}", decided["value"]):
        return {"problems": [f"somebody else has just shifted the traffic of {asked['service']}: look, and run again"]}
    return decided | {"versions": versions}


def main():
    module = AnsibleModule(
        argument_spec={
            "shift_service": {"type": "str"},
            "shift_version": {"type": "str"},
            "shift_percent": {"type": "str"},
            "shift_shares": {"type": "dict"},
            "shift_undo": {"type": "bool", "default": False},
            "shift_end": {"type": "bool", "default": False},
            "url": {"type": "str", "default": "http://127.0.0.1:8500"},
            "token": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        result = shift(Api(module.params["token"], module.params["url"]), module.params, module.check_mode)
    except (ApiError, OSError) as error:
        module.fail_json(msg=f"the agent {module.params['url']}: {error}")
    if result["problems"]:
        module.fail_json(msg="; ".join(result["problems"]))
    module.exit_json(**{name: result[name] for name in ("changed", "value", "shares", "versions")})


if __name__ == "__main__":
    main()
