from __future__ import annotations

DOCUMENTATION = r"""
name: consul_state_problems
short_description: What the state of the hosts says against a change of Consul
description:
  - Gives one message for too little disk, a lower version than the one that runs, a name that another machine holds in the
    running cluster, and clocks that differ. An empty list means that all is well.
positional: states, settings
options:
  _input:
    description: Name of the host.
    type: str
    required: true
  states:
    description: Host name to the state that M(fewnodes.discovery.consul_host_state) returns.
    type: dict
    required: true
  settings:
    description: The settings, with the keys that the preflight of the role consul gives.
    type: dict
    required: true
"""

EXAMPLES = r"""
problems: "{{ inventory_hostname | fewnodes.discovery.consul_state_problems(states, settings) }}"
"""

RETURN = r"""
_value:
  description: Messages, each with variable, host, value seen and what to set.
  type: list
  elements: str
"""

from ..plugin_utils.consul_host_state import state_problems  # noqa: E402


class FilterModule:
    def filters(self):
        return {"consul_state_problems": state_problems}
