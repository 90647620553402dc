from __future__ import annotations

DOCUMENTATION = r"""
name: firewall_problems
short_description: What is wrong with a host's firewall before it changes
description:
  - Gives one message for each mistake in the variables of the role firewall, for another firewall on the host, and for rules
    that would shut the controller out. An empty list means that all is well.
positional: said, seen
options:
  _input:
    description: Name of the host.
    type: str
    required: true
  said:
    description: The keys known, added, who and closed as for P(fewnodes.discovery.firewall_ruleset#filter), and seconds.
    type: dict
    required: true
  seen:
    description: What the module M(fewnodes.discovery.firewall_facts) tells.
    type: dict
    required: true
"""

EXAMPLES = r"""
problems: "{{ inventory_hostname | fewnodes.discovery.firewall_problems(said, seen.firewall) }}"
"""

RETURN = r"""
_value:
  description: Messages, each with variable, host, value seen and what to set.
  type: list
  elements: str
"""

from ..plugin_utils.firewall import firewall_problems  # noqa: E402


class FilterModule:
    def filters(self):
        return {"firewall_problems": firewall_problems}
