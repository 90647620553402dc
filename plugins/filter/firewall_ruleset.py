from __future__ import annotations

DOCUMENTATION = r"""
name: firewall_ruleset
short_description: What the rules of a host's firewall are made of
description:
  - Makes parts of nftables rules of what a host lets in.
positional: interfaces
options:
  _input:
    description:
      - The keys known (openings of the platform by name, each with C(on), C(tcp), C(udp), C(protocols), C(from) and C(at)),
        added (those of the site), who (class to its networks) and closed (ports that containers do not reach).
    type: dict
    required: true
  interfaces:
    description: Names of the host's network interfaces.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
ruleset: "{{ said | fewnodes.discovery.firewall_ruleset(ansible_facts.interfaces) }}"
"""

RETURN = r"""
_value:
  description: The keys rules, closed, bridges and members, for the template.
  type: dict
"""

from ..plugin_utils.firewall import firewall_ruleset  # noqa: E402


class FilterModule:
    def filters(self):
        return {"firewall_ruleset": firewall_ruleset}
