from __future__ import annotations

DOCUMENTATION = r"""
name: firewall_page
short_description: What answers to whom on a host
description:
  - Gives the openings of a host's firewall, who may use them and what is there, as lines of text.
positional: said, seen
options:
  _input:
    description: Name of the host.
    type: str
    required: true
  said:
    description: The keys known, added and who as for P(fewnodes.discovery.firewall_ruleset#filter).
    type: dict
    required: true
  seen:
    description: What the module M(fewnodes.discovery.firewall_facts) tells with I(listening).
    type: dict
    required: true
"""

EXAMPLES = r"""
lines: "{{ inventory_hostname | fewnodes.discovery.firewall_page(said, seen.firewall) }}"
"""

RETURN = r"""
_value:
  description: Lines of text.
  type: list
  elements: str
"""

from ..plugin_utils.firewall import firewall_page  # noqa: E402


class FilterModule:
    def filters(self):
        return {"firewall_page": firewall_page}
