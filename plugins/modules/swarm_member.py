#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_member
short_description: Makes a host's dockerd a member of a swarm
description:
  - Makes a swarm, or joins one, or leaves it. dockerd that is in a swarm stays in it, whichever it is; dockerd that is in
    none has nothing to leave. It comes back when dockerd is an active member.
options:
  state:
    description: Whether it is to be a member.
    type: str
    choices: [present, absent]
    default: present
  address:
    description: Address of the host that the other members reach; it takes requests there only. Required to be present.
    type: str
  managers:
    description: Addresses of managers to join. Empty makes a new swarm.
    type: list
    elements: str
    default: []
  token:
    description: The swarm's token for the part that the host is to have. Required to join.
    type: str
  timeout:
    description: How long to wait for an active member, in seconds.
    type: int
    default: 60
attributes:
  check_mode:
    description: Returns what it would do.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Make the swarm
  fewnodes.discovery.swarm_member:
    address: 192.0.2.1

- name: Join it
  fewnodes.discovery.swarm_member:
    address: 192.0.2.2
    managers: [192.0.2.1]
    token: "{{ answer.json.JoinTokens.Manager }}"
"""

RETURN = r"""
node:
  description: Id of the host's node; empty when it is in no swarm.
  returned: always
  type: str
"""

import time  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.docker_api import DockerApi, DockerError  # noqa: E402

PORT = 2377


def request(address: str, managers: list[str], token: str) -> tuple[str, dict]:
    """The request that makes or joins a swarm: path and body."""
    body = {"ListenAddr": f"{address}:{PORT}", "AdvertiseAddr": address}
    if not managers:
        return "/swarm/init", body | {"Spec": {}}
    return "/swarm/join", body | {"RemoteAddrs": [f"{manager}:{PORT}" for manager in managers], "JoinToken": token}


def present(docker: DockerApi, address: str, managers: list[str], token: str, timeout: float) -> str:
    """Become a member and wait until it is an active one.

    :returns: '', or what is wrong
    """
    path, body = request(address, managers, token)
    refusal = ""
    try:
        docker.post(path, body)
    except DockerError as error:
        refusal = str(error)  # dockerd may still be joining
    end = time.monotonic() + timeout
    while True:
        state = docker.get("/info")["Swarm"]
        if state["LocalNodeState"] == "active":
            return ""
        if state["LocalNodeState"] == "inactive" or time.monotonic() > end:
            return refusal or state.get("Error") or f"still {state['LocalNodeState']} after {timeout} s"
        time.sleep(0.5)


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "address": {"type": "str"},
            "managers": {"type": "list", "elements": "str", "default": []},
            "token": {"type": "str", "no_log": True},
            "timeout": {"type": "int", "default": 60},
        },
        required_if=[("state", "present", ["address"])],
        supports_check_mode=True,
    )
    given = module.params
    if given["managers"] and not given["token"]:
        module.fail_json(msg="swarm_member: managers without token; take the token from one of them")
    docker = DockerApi(timeout=60)
    try:
        member = docker.get("/info")["Swarm"]["LocalNodeState"] != "inactive"
        changed = member != (given["state"] == "present")
        if changed and not module.check_mode:
            if member:
                docker.post("/swarm/leave?force=true")
            elif problem := present(docker, given["address"], given["managers"], given["token"] or "", given["timeout"]):
                what = f"join the swarm of {', '.join(given['managers'])}" if given["managers"] else "make a swarm"
                module.fail_json(msg=f"dockerd could not {what} as {given['address']}: {problem}")
        module.exit_json(changed=changed, node=docker.get("/info")["Swarm"].get("NodeID") or "")
    except (DockerError, OSError) as error:
        module.fail_json(msg=f"dockerd's API: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
