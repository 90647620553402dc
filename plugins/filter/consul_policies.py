from __future__ import annotations

DOCUMENTATION = r"""
name: consul_policies
short_description: The policies that the tokens of a site have
description:
  - Gives the rules of each policy that one of the tokens needs, by its name.
positional: [rules, own]
options:
  _input:
    description: Tokens, as the filter consul_tokens gives them.
    type: list
    elements: dict
    required: true
  rules:
    description: Component to the rules that count on every host.
    type: dict
    required: true
  own:
    description: Component to rules for each of its hosts; C({host}) is its name. The policy is C(<component>-<host>).
    type: dict
    required: true
"""

EXAMPLES = r"""
policies: "{{ wanted | fewnodes.discovery.consul_policies(consul_policies, consul_host_policies) }}"
"""

RETURN = r"""
_value:
  description: Name of the policy to its rules.
  type: dict
"""

from ..plugin_utils.consul_tokens import wanted_policies  # noqa: E402


class FilterModule:
    def filters(self):
        return {"consul_policies": wanted_policies}
