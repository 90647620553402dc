from __future__ import annotations

DOCUMENTATION = r"""
name: host_problems
short_description: What keeps a role from working on a host
description:
  - Gives one message for a distribution that is not supported, and for each address that is not on the host. An empty
    list means that all is well.
positional: role, facts
options:
  _input:
    description: Name of the host.
    type: str
    required: true
  role:
    description: Name of the role that asks.
    type: str
    required: true
  facts:
    description: The variable C(ansible_facts), with the subsets C(distribution) and C(network).
    type: dict
    required: true
  addresses:
    description: Variable to the IPv4 address that it holds; an empty one is not checked.
    type: dict
  supported:
    description: Distributions with their major version, such as C(Debian 13); by default those of the collection.
    type: list
    elements: str
"""

EXAMPLES = r"""
problems: "{{ inventory_hostname | fewnodes.discovery.host_problems('nginx', ansible_facts) }}"
"""

RETURN = r"""
_value:
  description: Messages, each with host, value seen and what to set.
  type: list
  elements: str
"""

from ..plugin_utils.host import host_problems  # noqa: E402


class FilterModule:
    def filters(self):
        return {"host_problems": host_problems}
