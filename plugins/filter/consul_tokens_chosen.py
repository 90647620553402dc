from __future__ import annotations

DOCUMENTATION = r"""
name: consul_tokens_chosen
short_description: The tokens of one component, or of some hosts
description:
  - Narrows the wanted tokens down.
positional: [component, hosts]
options:
  _input:
    description: Wanted tokens, from the filter P(fewnodes.discovery.consul_tokens#filter).
    type: list
    elements: dict
    required: true
  component:
    description: Only of this component; empty for all.
    type: str
    default: ""
  hosts:
    description: Only of these hosts and of the whole site; none for all.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
chosen: "{{ wanted | fewnodes.discovery.consul_tokens_chosen('registrator') }}"
"""

RETURN = r"""
_value:
  description: The tokens that remain.
  type: list
  elements: dict
"""

from ..plugin_utils.consul_tokens import chosen_tokens  # noqa: E402


class FilterModule:
    def filters(self):
        return {"consul_tokens_chosen": chosen_tokens}
