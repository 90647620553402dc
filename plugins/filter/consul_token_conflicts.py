from __future__ import annotations

DOCUMENTATION = r"""
name: consul_token_conflicts
short_description: The tokens whose secret is another one in the cluster
description:
  - Compares the secrets that the controller holds with those that Consul lists.
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
conflicts: "{{ wanted | fewnodes.discovery.consul_token_conflicts(listed, common_secrets) }}"
"""

RETURN = r"""
_value:
  description: Names of the tokens that differ.
  type: list
  elements: str
"""

from ..plugin_utils.consul_tokens import token_conflicts  # noqa: E402


class FilterModule:
    def filters(self):
        return {"consul_token_conflicts": token_conflicts}
