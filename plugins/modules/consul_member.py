from __future__ import annotations

DOCUMENTATION = r"""
module: consul_member
short_description: A member of a Consul cluster is present, or removed
description:
  - Asks the agent of the host that it runs on, which must not be the member.
  - V(present) waits until the member is alive, in the catalog and, for a server, a healthy voter.
  - V(absent) removes a member that does not run any more from gossip, Raft and the catalog.
    It refuses when the servers that remain would have no quorum, when the node goes on under another name, and, outside check
    mode, when the member is alive.
options:
  name:
    description: Name of the node.
    type: str
    required: true
  address:
    description: Its address. Raft peers that Consul cannot name any more are found by it.
    type: str
    required: true
  server:
    description: Whether it runs a server. Counts for V(present).
    type: bool
    default: false
  state:
    description: Desired state.
    type: str
    choices: [present, absent]
    default: present
  renamed:
    description:
      - Whether its host has another name now. Then it is known by its name and node id, not by its address.
      - With check mode the node may go on under that name, because its agent ends before the removal.
    type: bool
    default: false
  token:
    description: SecretID that may read nodes and, for V(absent), has operator write.
    type: str
    default: ""
  timeout:
    description: How long to wait for it, in seconds.
    type: int
    default: 120
attributes:
  check_mode:
    description: With V(absent) it checks whether the member may be removed, also one that is alive.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Check whether the host may be removed
  fewnodes.discovery.consul_member:
    name: consul-3
    address: 192.168.0.131
    state: absent
    token: "{{ token }}"
  check_mode: true
"""

RETURN = r"""
member:
  description: State of the member before the change.
  returned: always
  type: dict
  contains:
    alive: {description: It takes part in gossip., type: bool, returned: always}
    known: {description: The cluster knows it, type: bool, returned: always}
    ids: {description: Node ids under which it is known., type: list, elements: str, returned: always}
    addresses: {description: Its addresses in gossip and in the catalog., type: list, elements: str, returned: always}
    successors:
      description: Names of other members that are alive with one of its node ids.
      type: list
      elements: str
      returned: always
    leader: {description: It leads., type: bool, returned: always}
    voter: {description: It votes., type: bool, returned: always}
"""

import urllib.parse  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import Api, ApiError, wait_until  # noqa: E402

ALIVE = 1
LEAVING = 2
RAFT_PORT = 8300


def read(api, name):
    """State of the cluster, as plain data.

    :returns: leader (address, '' for none), peers (of Raft), health (of autopilot, by node id), members (of gossip),
        node (of the catalog, or None)
    """
    leader = api.get("/v1/status/leader") or ""
    if not leader:
        return {"leader": "", "peers": [], "health": {}, "members": [], "node": None}
    catalog = api.get("/v1/catalog/node/" + urllib.parse.quote(name)) or {}
    return {
        "leader": leader,
        "peers": api.get("/v1/operator/raft/configuration")["Servers"],
        "health": api.get("/v1/operator/autopilot/state").get("Servers") or {},
        "members": api.get("/v1/agent/members"),
        "node": catalog.get("Node"),
    }


def peers_of(cluster, name, address):
    """The Raft peers that are this member, also one whose name is lost."""
    return [peer for peer in cluster["peers"] if name == peer["Node"] or peer["Address"] == f"{address}:{RAFT_PORT}"]


def describe(cluster, name, address, renamed=False):
    """State of the member; the keys as in RETURN.

    :param renamed: its peer is known by its name or node id: at its address may be a peer with another name
    """
    members = [member for member in cluster["members"] if member["Name"] == name]
    ids = {member["Tags"].get("id", "") for member in members} | ({cluster["node"]["ID"]} if cluster["node"] else set())
    if renamed:
        peers = [peer for peer in cluster["peers"] if peer["Node"] == name or peer["ID"] in ids - {""}]
    else:
        peers = peers_of(cluster, name, address)
    ids |= {peer["ID"] for peer in peers}
    addresses = {member["Addr"] for member in members} | ({cluster["node"]["Address"]} if cluster["node"] else set())
    return {
        "addresses": sorted(addresses),
        "alive": any(member["Status"] in (ALIVE, LEAVING) for member in members),
        "known": bool(peers or members or cluster["node"]),
        "ids": sorted(ids - {""}),
        "leader": any(peer["Leader"] for peer in peers),
        "successors": sorted(
            member["Name"]
            for member in cluster["members"]
            if member["Name"] != name and member["Status"] in (ALIVE, LEAVING) and member["Tags"].get("id", "") in ids - {""}
        ),
        "voter": any(peer["Voter"] for peer in peers),
    }


def removal_problem(cluster, name, address):
    """Reason against the removal of the member; '' for none."""
    if not cluster["leader"]:
        return "the cluster has no leader: a quorum of its servers is lost; see the playbook recover_quorum"
    mine = {peer["ID"] for peer in peers_of(cluster, name, address)}
    if not mine:
        return ""
    others = [peer for peer in cluster["peers"] if peer["Voter"] and peer["ID"] not in mine]
    if not others:
        return f"{name} is the only server: a cluster needs at least one"
    healthy = [peer for peer in others if cluster["health"].get(peer["ID"], {}).get("Healthy")]
    needed = len(others) // 2 + 1
    if len(healthy) < needed:
        ill = ", ".join(sorted(peer["Node"] for peer in others if peer not in healthy))
        return (
            f"without {name} the cluster has {len(others)} voters, needs {needed} of them and has {len(healthy)} healthy;"
            f" not healthy: {ill}. Bring those back (or replace them) first"
        )
    return ""


def rename_problem(member, name):
    """Reason against the removal of a name whose node goes on under another one; '' for none.

    With the old name Consul removes the Raft peer with its node id: the server that runs with it loses its vote, until autopilot
    gives it one again.
    """
    if not member["successors"]:
        return ""
    found = member["successors"][0]
    return (
        f"its node goes on under the name {found}, and would lose its vote for a while. It was renamed: run"
        f" playbooks/rename_node.yml -e rename_from={name} -e rename_host=HOST, where HOST is the inventory's name of {found}"
    )


def removal_steps(cluster, name, address):
    """Requests that are still to be made, as (method, path).

    The order matters: what leaves Raft while gossip knows it is put back by the leader.
    """
    members = [member for member in cluster["members"] if member["Name"] == name]
    if any(member["Status"] != LEAVING for member in members):
        return [("PUT", f"/v1/agent/force-leave/{urllib.parse.quote(name)}?prune")]
    if members:
        return []
    return [("DELETE", f"/v1/operator/raft/peer?id={peer['ID']}") for peer in peers_of(cluster, name, address)]


def missing(cluster, name, address, server):
    """Missing condition of a full member; '' for none."""
    if not cluster["leader"]:
        return "there is no leader"
    if not describe(cluster, name, address)["alive"]:
        return f"{name} is not alive in gossip"
    if not cluster["node"] or cluster["node"]["Address"] != address:
        return f"{name} is not in the catalog with the address {address}"
    if not server:
        return ""
    peers = peers_of(cluster, name, address)
    if not peers:
        return f"{name} is no peer of Raft"
    if len(peers) > 1:
        return f"{name} is there twice as a peer of Raft"
    if not peers[0]["Voter"]:
        return f"{name} has no vote yet"
    if not cluster["health"].get(peers[0]["ID"], {}).get("Healthy"):
        return f"autopilot does not call {name} healthy"
    return ""


def forget(api, name, address, timeout):
    """Remove the member from gossip, Raft and the catalog.

    :returns: '' or what was still there after the timeout
    """

    def probe():
        cluster = read(api, name)
        if problem := removal_problem(cluster, name, address):
            return problem
        for method, path in removal_steps(cluster, name, address):
            _request(api, method, path)
        return f"the cluster still knows {name}" if describe(cluster, name, address)["known"] else ""

    return wait_until(probe, timeout)


def _request(api, method, path):
    try:
        (api.put if method == "PUT" else api.delete)(path)
    except ApiError as error:
        if "not found" not in error.text:  # autopilot was faster: it removes dead servers too
            raise


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "server": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "renamed": {"type": "bool", "default": False},
            "token": {"type": "str", "default": "", "no_log": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    name, address, timeout = module.params["name"], module.params["address"], module.params["timeout"]
    api = Api(module.params["token"])
    try:
        cluster = read(api, name)
    except (OSError, ApiError) as error:
        module.fail_json(msg=f"the Consul agent of this host does not report the state of {name}: {error}")
    member = describe(cluster, name, address, module.params["renamed"])
    if module.params["state"] == "present":
        left = "" if module.check_mode else wait_until(
            lambda: missing(read(api, name), name, address, module.params["server"]), timeout
        )  # fmt: skip
        if left:
            module.fail_json(msg=f"not within {timeout} s: {left}", member=member)
        module.exit_json(changed=False, member=member)
    if problem := removal_problem(cluster, name, address):
        module.fail_json(msg=f"{name} must not be removed: {problem}", member=member)
    if not (module.params["renamed"] and module.check_mode) and (problem := rename_problem(member, name)):
        module.fail_json(msg=f"{name} must not be removed: {problem}", member=member)
    if member["alive"] and not module.check_mode:
        module.fail_json(msg=f"{name} must not be removed: its agent runs; stop it first", member=member)
    if member["known"] and not module.check_mode and (left := forget(api, name, address, timeout)):
        module.fail_json(msg=f"not within {timeout} s: {left}", member=member)
    module.exit_json(changed=member["known"], member=member)


if __name__ == "__main__":
    main()
