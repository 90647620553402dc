from __future__ import annotations

DOCUMENTATION = r"""
module: consul_tokens_held
short_description: Wait until nothing on a node is held under certain Consul tokens
description:
  - An agent writes a service and its checks into the catalog with the token that registered them. When that token is
    deleted, their state in the catalog freezes. This module proves that it is not so, before the token is deleted.
  - Waits until none of the services and checks that the agent keeps on disk is held under one of the tokens, and until
    the catalog shows of this node exactly what its agent knows.
  - Changes nothing. Runs as root, on the node.
options:
  digests:
    description: SHA-256 of the SecretIDs of the tokens that are to be deleted, in hexadecimal.
    type: list
    elements: str
    required: true
  token:
    description: SecretID to read the agent and the catalog with.
    type: str
    required: true
  data_dir:
    description: Directory where the agent keeps its state.
    type: path
    default: /var/lib/consul
  timeout:
    description: How long to wait, in seconds.
    type: int
    default: 90
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Wait until the old tokens are unused
  fewnodes.discovery.consul_tokens_held:
    digests: "{{ rotation.superseded | map(attribute='digest') }}"
    token: "{{ lookup('fewnodes.discovery.secret', 'tokens/agent-' ~ node, host=node) }}"
"""

RETURN = r"""
seconds:
  description: How long it took.
  type: float
  returned: always
services:
  description: Number of services that the agent holds.
  type: int
  returned: always
"""

import hashlib  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import Api, wait_until  # noqa: E402

# Servers register these by themselves, without a token of the site.
OWN_SERVICE = "consul"
OWN_CHECK = "serfHealth"


def kept(data_dir: Path) -> list[tuple[str, str]]:
    """Services and checks that the agent keeps on disk: ("service web-1" or "check …", SecretID of its token)."""
    found = []
    for kind, folder, field in (("service", "services", "Service"), ("check", "checks", "Check")):
        for path in sorted((data_dir / folder).glob("*")):
            if path.is_file() and not path.name.endswith("tmp"):
                found.append(_kept_in(path, kind, field))
    return found


def _kept_in(path: Path, kind: str, field: str) -> tuple[str, str]:
    try:
        content = json.loads(path.read_text())
    except OSError:
        return "", ""  # deregistered just now
    entry = content[field]
    return f"{kind} {entry.get('ID') or entry.get('CheckID')}", content.get("Token", "")


def digest(secret: str) -> str:
    """Identifies a secret without showing it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def unsynced(services: dict, checks: dict, catalog_services: dict, catalog_checks: dict) -> list[str]:
    """Where the catalog differs from the agent: names of services and checks.

    :param services: the agent's, id to entry; `catalog_services` likewise
    :param checks: the agent's, id to entry; `catalog_checks` likewise
    """
    differing = _differing("service", services, catalog_services, ("Service", "Tags", "Meta", "Address", "Port"))
    return differing + _differing("check", checks, catalog_checks, ("Status",))


def _differing(kind: str, own: dict, catalog: dict, fields: tuple) -> list[str]:
    def shown(entries: dict, key: str) -> list | None:
        return [entries[key].get(field) or None for field in fields] if key in entries else None

    return [f"{kind} {key}" for key in sorted(set(own) | set(catalog)) if shown(own, key) != shown(catalog, key)]


def state_of(api: Api) -> tuple[dict, dict, dict, dict]:
    """Services and checks of this node as its agent knows them, and as the catalog shows them."""
    node = api.get("/v1/agent/self")["Config"]["NodeName"]
    catalog = (api.get(f"/v1/catalog/node/{node}") or {}).get("Services") or {}
    checks = {check["CheckID"]: check for check in api.get(f"/v1/health/node/{node}")}
    catalog.pop(OWN_SERVICE, None)
    checks.pop(OWN_CHECK, None)
    return api.get("/v1/agent/services"), api.get("/v1/agent/checks"), catalog, checks


def missing(digests: set[str], data_dir: Path, state: tuple[dict, dict, dict, dict]) -> str:
    """Reason why the tokens must not be deleted yet; '' for none."""
    held = [name for name, token in kept(data_dir) if digest(token) in digests]
    if held:
        return f"still registered with the old token: {', '.join(held)}"
    differing = unsynced(*state)
    return f"not in the catalog as the agent has it: {', '.join(differing)}" if differing else ""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "digests": {"type": "list", "elements": "str", "required": True},
            "token": {"type": "str", "required": True, "no_log": True},
            "data_dir": {"type": "path", "default": "/var/lib/consul"},
            "timeout": {"type": "int", "default": 90},
        },
        supports_check_mode=True,
    )
    api, data_dir = Api(module.params["token"]), Path(module.params["data_dir"])
    digests, start = set(module.params["digests"]), time.monotonic()
    problem = wait_until(lambda: missing(digests, data_dir, state_of(api)), module.params["timeout"], every=1)
    seconds = round(time.monotonic() - start, 1)
    if problem:
        module.fail_json(msg=f"after {seconds} s {problem}", seconds=seconds)
    module.exit_json(changed=False, seconds=seconds, services=len(api.get("/v1/agent/services")))


if __name__ == "__main__":
    main()
