from __future__ import annotations

DOCUMENTATION = r"""
name: consul_problems
short_description: What is wrong with the settings of Consul on one host
description:
  - Gives one message for each mistake in the settings. An empty list means that all is well.
positional: settings
options:
  _input:
    description: Name of the host.
    type: str
    required: true
  settings:
    description: The settings, with the keys that the preflight of the role consul gives.
    type: dict
    required: true
"""

EXAMPLES = r"""
problems: "{{ inventory_hostname | fewnodes.discovery.consul_problems(settings) }}"
"""

RETURN = r"""
_value:
  description: Messages, each with variable, host, value seen and what to set.
  type: list
  elements: str
"""

from ..plugin_utils.consul import settings_problems  # noqa: E402


class FilterModule:
    def filters(self):
        return {"consul_problems": settings_problems}
