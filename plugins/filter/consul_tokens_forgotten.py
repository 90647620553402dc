from __future__ import annotations

DOCUMENTATION = r"""
name: consul_tokens_forgotten
short_description: The tokens of a host that has left
description:
  - Finds the tokens of a host in what Consul lists, by their descriptions.
positional: [host, components]
options:
  _input:
    description: Answer of C(/v1/acl/tokens).
    type: list
    elements: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  components:
    description: Components that may have had a token there.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
old: "{{ listed | fewnodes.discovery.consul_tokens_forgotten('a', ['agent', 'dns']) }}"
"""

RETURN = r"""
_value:
  description: Tokens with name and accessor_id.
  type: list
  elements: dict
"""

from ..plugin_utils.consul_tokens import forgotten_tokens  # noqa: E402


class FilterModule:
    def filters(self):
        return {"consul_tokens_forgotten": forgotten_tokens}
