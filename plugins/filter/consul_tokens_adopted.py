from __future__ import annotations

DOCUMENTATION = r"""
name: consul_tokens_adopted
short_description: The secrets of the tokens that the cluster has already
description:
  - Finds the wanted tokens in what Consul lists, by their descriptions.
positional: listed
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
"""

EXAMPLES = r"""
secrets: "{{ wanted | fewnodes.discovery.consul_tokens_adopted(listed) }}"
"""

RETURN = r"""
_value:
  description: Name of the token to its secret.
  type: dict
"""

from ..plugin_utils.consul_tokens import adopted_tokens  # noqa: E402


class FilterModule:
    def filters(self):
        return {"consul_tokens_adopted": adopted_tokens}
