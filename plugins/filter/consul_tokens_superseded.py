from __future__ import annotations

DOCUMENTATION = r"""
name: consul_tokens_superseded
short_description: The tokens of the cluster that another one has taken the place of
description:
  - Finds tokens of the same description with another secret than the controller's, where the cluster knows the controller's.
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
old: "{{ wanted | fewnodes.discovery.consul_tokens_superseded(listed, common_secrets) }}"
"""

RETURN = r"""
_value:
  description: Tokens with name, accessor_id, secret_id and newer.
  type: list
  elements: dict
"""

from ..plugin_utils.consul_tokens import superseded_tokens  # noqa: E402


class FilterModule:
    def filters(self):
        return {"consul_tokens_superseded": superseded_tokens}
