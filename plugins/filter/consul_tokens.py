from __future__ import annotations

DOCUMENTATION = r"""
name: consul_tokens
short_description: The tokens that the components of a site need
description:
  - Gives one token for each component on each host, under an accessor id that is the same in every run.
positional: datacenter
options:
  _input:
    description: Component to list of hosts.
    type: dict
    required: true
  datacenter:
    description: The datacenter of Consul.
    type: str
    required: true
"""

EXAMPLES = r"""
wanted: "{{ {'agent': ['a', 'b'], 'registrator': ['b']} | fewnodes.discovery.consul_tokens('dc1') }}"
"""

RETURN = r"""
_value:
  description: Tokens with name, accessor_id, description, policies and node_identities.
  type: list
  elements: dict
"""

from ..plugin_utils.consul import wanted_tokens  # noqa: E402


class FilterModule:
    def filters(self):
        return {"consul_tokens": wanted_tokens}
