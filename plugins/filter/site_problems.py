from __future__ import annotations

DOCUMENTATION = r"""
name: site_problems
short_description: What is wrong with the inventory
description:
  - Gives one message for each mistake in the inventory - missing group, missing C(discovery_domain), wrong, missing or
    duplicate address, a host name that DNS cannot carry. An empty list means that all is well.
positional: hostvars
options:
  _input:
    description: The variable C(groups).
    type: dict
    required: true
  hostvars:
    description: The variable C(hostvars).
    type: dict
    required: true
"""

EXAMPLES = r"""
problems: "{{ groups | fewnodes.discovery.site_problems(hostvars) }}"
"""

RETURN = r"""
_value:
  description: Messages, each with variable, host, value seen and what to set.
  type: list
  elements: str
"""

from ..plugin_utils.site import site_problems  # noqa: E402


class FilterModule:
    def filters(self):
        return {"site_problems": site_problems}
