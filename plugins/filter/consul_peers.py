from __future__ import annotations

DOCUMENTATION = r"""
name: consul_peers
short_description: The file by which Consul servers are told who is left
description:
  - Gives the content of C(raft/peers.json) for servers that lost their quorum.
options:
  _input:
    description: Servers, each with C(name), C(id) (content of the file node-id) and C(address).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
content: "{{ [{'name': 'consul-1', 'id': node_id, 'address': '192.168.0.129'}] | fewnodes.discovery.consul_peers }}"
"""

RETURN = r"""
_value:
  description: JSON, the same bytes for the same servers in any order.
  type: str
"""

from ansible.errors import AnsibleFilterError  # noqa: E402

from ..plugin_utils.consul_peers import peers_json  # noqa: E402


def consul_peers(servers):
    try:
        return peers_json(servers)
    except ValueError as error:
        raise AnsibleFilterError(f"fewnodes.discovery.consul_peers: {error}") from error


class FilterModule:
    def filters(self):
        return {"consul_peers": consul_peers}
