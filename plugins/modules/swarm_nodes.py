#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_nodes
short_description: Gives the members of a swarm their parts, and forgets some
description:
  - Runs on a manager. Promotes first and demotes afterwards, one node after the other, each when the one before has its
    part; so the managers that stay always have a quorum.
options:
  roles:
    description: Node id to C(manager) or C(worker).
    type: dict
    default: {}
  forget:
    description: Addresses. Members there are taken out of the swarm, dead or alive; one that is alive should leave it then.
    type: list
    elements: str
    default: []
  timeout:
    description: How long to wait for one node, in seconds.
    type: int
    default: 60
attributes:
  check_mode:
    description: Tells what it would do.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Forget what the replaced host was
  fewnodes.discovery.swarm_nodes:
    forget: [192.0.2.2]
"""

RETURN = r"""
done:
  description: What was done, as texts.
  returned: always
  type: list
  elements: str
"""

import time  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.docker_api import DockerApi, DockerError  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.swarm import node  # noqa: E402

ORDER = {"manager": 0, "worker": 1}


def changes(nodes: list[dict], roles: dict[str, str], forget: list[str]) -> list[tuple[str, str]]:
    """What is to be done, in order: (node id, 'manager', 'worker' or 'forget').

    :param nodes: as `node` gives them
    """
    gone = [one for one in nodes if one["address"] in forget]
    parts = {one["id"]: "manager" if one["manager"] else "worker" for one in nodes}
    found = [(one["id"], "worker") for one in gone if one["manager"]] + [(one["id"], "forget") for one in gone]
    wanted = sorted((ORDER[part], key, part) for key, part in roles.items() if parts.get(key, part) != part)
    return found + [(key, part) for _unused, key, part in wanted]


def reached(docker: DockerApi, key: str, part: str) -> bool:
    """Whether a node has its part; a manager when the others reach it."""
    told = docker.get(f"/nodes/{key}")
    status = told.get("ManagerStatus") or {}
    return status.get("Reachability") == "reachable" if part == "manager" else not status


def change(docker: DockerApi, key: str, part: str) -> None:
    """Ask for one change."""
    if part == "forget":
        docker.delete(f"/nodes/{key}?force=true")
        return
    told = docker.get(f"/nodes/{key}")
    docker.post(f"/nodes/{key}/update?version={told['Version']['Index']}", {**told["Spec"], "Role": part})


def carry_out(docker: DockerApi, key: str, part: str, timeout: float) -> None:
    """Change a node and wait until it is so. A refusal (somebody else wrote, still a member of Raft) is tried again.

    :raises DockerError: the last refusal, after the timeout
    """
    end = time.monotonic() + timeout
    while True:
        try:
            change(docker, key, part)
            while part != "forget" and not reached(docker, key, part):
                if time.monotonic() > end:
                    raise DockerError(0, f"node {key} is no {part} after {timeout} s")
                time.sleep(0.5)
            return
        except DockerError as error:
            if time.monotonic() > end or error.status == 404:
                raise
            time.sleep(1)


def main():
    module = AnsibleModule(
        argument_spec={
            "roles": {"type": "dict", "default": {}},
            "forget": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    docker = DockerApi(timeout=60)
    try:
        nodes = [node(told) for told in docker.get("/nodes")]
        todo = changes(nodes, module.params["roles"], module.params["forget"])
        for key, part in [] if module.check_mode else todo:
            carry_out(docker, key, part, module.params["timeout"])
    except (DockerError, OSError) as error:
        module.fail_json(msg=f"dockerd's API: {type(error).__name__}: {error}")
    hosts = {one["id"]: one["host"] for one in nodes}
    module.exit_json(changed=bool(todo), done=[f"{hosts.get(key, key)}: {part}" for key, part in todo])


if __name__ == "__main__":
    main()
