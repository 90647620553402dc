#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_nodes
short_description: Promote, demote and remove members of a swarm
description:
  - Runs on a manager. Promotes first and demotes afterwards, node by node, each when the one before has its role; so the managers
    that stay always have a quorum.
  - With O(rotate_tokens) removed members cannot join again. They are demoted, then the tokens for joining change, then all
    members at these addresses are removed, also those that joined with an old token meanwhile.
options:
  roles:
    description: Node id to C(manager) or C(worker).
    type: dict
    default: {}
  remove:
    description: Addresses of members to remove from the swarm, dead or alive; one that is alive should leave it then.
    type: list
    elements: str
    default: []
  rotate_tokens:
    description: Whether the swarm gets new tokens for joining as a manager and as a worker, before members are removed.
    type: bool
    default: false
  timeout:
    description: How long to wait for one node, in seconds.
    type: int
    default: 60
attributes:
  check_mode:
    description: Returns what it would do.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Remove the member that the replaced host was
  fewnodes.discovery.swarm_nodes:
    remove: [192.0.2.2]

- name: Remove a member that shall not join again
  fewnodes.discovery.swarm_nodes:
    remove: [192.0.2.2]
    rotate_tokens: true
"""

RETURN = r"""
done:
  description: The changes, as texts.
  returned: always
  type: list
  elements: str
"""

import time  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.docker_api import DockerApi, DockerError  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.swarm import node  # noqa: E402

ORDER = {"manager": 0, "worker": 1}
ROTATE = "rotateWorkerToken=true&rotateManagerToken=true"


def changes(nodes: list[dict], roles: dict[str, str], remove: list[str]) -> list[tuple[str, str]]:
    """The changes, in order: (node id, 'manager', 'worker' or 'remove').

    :param nodes: as `node` gives them
    """
    gone = [one for one in nodes if one["address"] in remove]
    parts = {one["id"]: "manager" if one["manager"] else "worker" for one in nodes}
    found = [(one["id"], "worker") for one in gone if one["manager"]] + [(one["id"], "remove") for one in gone]
    wanted = sorted((ORDER[part], key, part) for key, part in roles.items() if parts.get(key, part) != part)
    return found + [(key, part) for _unused, key, part in wanted]


def reached(docker: DockerApi, key: str, part: str) -> bool:
    """Whether a node has its part; a manager when the others reach it."""
    entry = docker.get(f"/nodes/{key}")
    status = entry.get("ManagerStatus") or {}
    return status.get("Reachability") == "reachable" if part == "manager" else not status


def change(docker: DockerApi, key: str, part: str) -> None:
    """Request one change."""
    if part == "remove":
        docker.delete(f"/nodes/{key}?force=true")
        return
    entry = docker.get(f"/nodes/{key}")
    docker.post(f"/nodes/{key}/update?version={entry['Version']['Index']}", {**entry["Spec"], "Role": part})


def carry_out(docker: DockerApi, key: str, part: str, timeout: float) -> None:
    """Change a node and wait until it is so. A refusal (somebody else wrote, still a member of Raft) is tried again.

    :raises DockerError: the last refusal, after the timeout
    """
    end = time.monotonic() + timeout
    while True:
        try:
            change(docker, key, part)
            while part != "remove" and not reached(docker, key, part):
                if time.monotonic() > end:
                    raise DockerError(0, f"node {key} is no {part} after {timeout} s")
                time.sleep(0.5)
            return
        except DockerError as error:
            if time.monotonic() > end or error.status == 404:
                raise
            time.sleep(1)


def rotate_tokens(docker: DockerApi, timeout: float) -> None:
    """Give the swarm new tokens for joining. A refusal (somebody else wrote) is tried again.

    :raises DockerError: the last refusal, after the timeout
    """
    end = time.monotonic() + timeout
    while True:
        now = docker.get("/swarm")
        try:
            docker.post(f"/swarm/update?version={now['Version']['Index']}&{ROTATE}", now["Spec"])
            return
        except DockerError:
            if time.monotonic() > end:
                raise
            time.sleep(1)


def listed(docker: DockerApi) -> list[dict]:
    """The nodes of the swarm."""
    return [node(entry) for entry in docker.get("/nodes")]


def run(docker: DockerApi, roles: dict[str, str], remove: list[str], rotate: bool, timeout: float, check_mode: bool) -> list[str]:
    """Carry out the changes; gives them as texts."""
    nodes = listed(docker)
    done = []
    if rotate and not check_mode:
        done, nodes = shut_out(docker, nodes, remove, timeout)
    todo = changes(nodes, roles, remove)
    for key, part in [] if check_mode else todo:
        carry_out(docker, key, part, timeout)
    return done + _texts(nodes, todo) + (["new tokens for joining"] if rotate and check_mode else [])


def shut_out(docker: DockerApi, nodes: list[dict], remove: list[str], timeout: float) -> tuple[list[str], list[dict]]:
    """Demote members, and make new tokens, until none of these is a manager that could have read the last ones.

    :returns: the changes, as texts, and the nodes
    :raises DockerError: members at these addresses become managers again and again
    """
    done: list[str] = []
    end = time.monotonic() + timeout
    while True:
        managing = [(one["id"], "worker") for one in nodes if one["address"] in remove and one["manager"]]
        if done and not managing:
            return done, nodes
        if time.monotonic() > end:
            raise DockerError(0, f"after {timeout} s there are still managers at {', '.join(remove)}")
        for key, part in managing:
            carry_out(docker, key, part, timeout)
        rotate_tokens(docker, timeout)
        done += [*_texts(nodes, managing), "new tokens for joining"]
        nodes = listed(docker)


def _texts(nodes: list[dict], todo: list[tuple[str, str]]) -> list[str]:
    hosts = {one["id"]: one["host"] for one in nodes}
    return [f"{hosts.get(key, key)}: {part}" for key, part in todo]


def main():
    module = AnsibleModule(
        argument_spec={
            "roles": {"type": "dict", "default": {}},
            "remove": {"type": "list", "elements": "str", "default": []},
            "rotate_tokens": {"type": "bool", "default": False, "no_log": False},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        done = run(
            DockerApi(timeout=60), given["roles"], given["remove"], given["rotate_tokens"], given["timeout"], module.check_mode
        )
    except (DockerError, OSError) as error:
        module.fail_json(msg=f"dockerd's API: {type(error).__name__}: {error}")
    module.exit_json(changed=bool(done), done=done)


if __name__ == "__main__":
    main()
