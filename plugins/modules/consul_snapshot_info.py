#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: consul_snapshot_info
short_description: Verify a snapshot of Consul and report its content
description:
  - Checks a snapshot with C(consul snapshot inspect), which reads every record and verifies the sums.
  - Reports which of the given secrets it contains. Changes nothing.
options:
  path:
    description: The snapshot, on the node.
    type: path
    required: true
  secrets:
    description: Name to secret. A snapshot holds the secrets of all tokens in clear.
    type: dict
    default: {}
  program:
    description: Consul's program.
    type: path
    default: /usr/local/bin/consul
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Check the snapshot
  fewnodes.discovery.consul_snapshot_info:
    path: /var/backups/consul/dc1-20260102T030405Z.snap
  register: snapshot
"""

RETURN = r"""
index:
  description: The index of Raft at which the snapshot was taken.
  returned: success
  type: int
size:
  description: Bytes of the file.
  returned: success
  type: int
records:
  description: Number of records by kind, as Consul calls them.
  returned: success
  type: dict
known:
  description: Names of the given secrets that the snapshot contains.
  returned: success
  type: list
  elements: str
"""

import json
import os
import tarfile
from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule

BLOCK = 1 << 20  # bytes
STATE = "state.bin"  # Consul's snapshot/archive.go: meta.json, state.bin, SHA256SUMS in a compressed tar archive


def inspected(text: str) -> dict:
    """Index and records from what `consul snapshot inspect -format=json` prints.

    :raises ValueError: it is something else
    """
    try:
        info = json.loads(text)
        records = {kind["Name"]: kind["Count"] for kind in info["Stats"] or []}
        return {"index": int(info["Meta"]["Index"]), "records": records}
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"not what consul snapshot inspect prints: {error!r}") from error


def contained(path: str, secrets: Mapping[str, str]) -> list[str]:
    """Names of the secrets that the state of a snapshot contains, sorted.

    :param path: the snapshot
    :param secrets: name to secret
    :raises OSError, tarfile.TarError, KeyError: no complete snapshot
    """
    wanted = {name: secret.encode() for name, secret in secrets.items() if secret}
    overlap = max((len(secret) for secret in wanted.values()), default=1) - 1
    found: set[str] = set()
    with tarfile.open(path, "r:gz") as archive:
        state = archive.extractfile(STATE)
        kept = b""
        while block := state.read(BLOCK):
            text = kept + block
            found |= {name for name, secret in wanted.items() if secret in text}
            kept = text[-overlap:] if overlap else b""
    return sorted(found)


def main():
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "program": {"type": "path", "default": "/usr/local/bin/consul"},
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    code, out, err = module.run_command([module.params["program"], "snapshot", "inspect", "-format=json", path])
    if code:
        module.fail_json(msg=f"{path} is no complete snapshot of Consul: {err.strip() or out.strip()}")
    try:
        result = inspected(out)
        result["known"] = contained(path, module.params["secrets"] or {})
        result["size"] = os.stat(path).st_size
    except (ValueError, OSError, tarfile.TarError, KeyError, EOFError) as error:
        module.fail_json(msg=f"{path}: {error}")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
