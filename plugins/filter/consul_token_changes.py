from __future__ import annotations

DOCUMENTATION = r"""
name: consul_token_changes
short_description: The tokens that the cluster lacks or holds with other rights
description:
  - Compares the wanted tokens with those that Consul lists, and gives each an accessor id.
positional: [listed, secrets]
options:
  _input:
    description: Wanted tokens, from the filter P(fewnodes.discovery.consul_tokens#filter).
    type: list
    elements: dict
    required: true
  listed:
    description: Answer of C(/v1/acl/tokens) to a management token.
    type: list
    elements: dict
    required: true
  secrets:
    description: Name to secret, as the controller holds them.
    type: dict
    required: true
"""

EXAMPLES = r"""
changes: "{{ wanted | fewnodes.discovery.consul_token_changes(listed, common_secrets) }}"
"""

RETURN = r"""
_value:
  description: The wanted tokens that have to be written, with accessor_id.
  type: list
  elements: dict
"""

from ..plugin_utils.consul_tokens import token_changes  # noqa: E402


class FilterModule:
    def filters(self):
        return {"consul_token_changes": token_changes}
