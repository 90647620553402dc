from __future__ import annotations

DOCUMENTATION = r"""
name: consul_tokens
short_description: The tokens that the components of a site need
description:
  - Gives one token for each component on each host, and one for each component of the whole site.
positional: [datacenter, site, own]
options:
  _input:
    description: Component to list of hosts.
    type: dict
    required: true
  datacenter:
    description: The datacenter of Consul.
    type: str
    required: true
  site:
    description: Components that are not of one host.
    type: list
    elements: str
    default: []
  own:
    description: Components that have a policy for each of their hosts as well, C(<component>-<host>).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
wanted: "{{ {'agent': ['a', 'b'], 'registrator': ['b']} | fewnodes.discovery.consul_tokens('dc1', ['ui']) }}"
"""

RETURN = r"""
_value:
  description: Tokens with name, component, host, description, policies and node_identities.
  type: list
  elements: dict
"""

from ..plugin_utils.consul_tokens import wanted_tokens  # noqa: E402


class FilterModule:
    def filters(self):
        return {"consul_tokens": wanted_tokens}
