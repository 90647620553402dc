from __future__ import annotations

DOCUMENTATION = r"""
name: overlay_problems
short_description: What keeps an overlay network from working
description:
  - Gives one message for each mistake in the settings, each network or route that the subnet overlaps, a network of this
    name that is another one, and each host in another swarm. An empty list means that all is well.
positional: settings
options:
  _input:
    description: Host to its state, as the module M(fewnodes.discovery.overlay_state) gives it.
    type: dict
    required: true
  settings:
    description:
      - The keys name, driver (C(consul) or C(swarm)), subnet (CIDR), options (dict), peers (host to address, all docker
        hosts), managers (list of hosts), pools (list of CIDR that engines will be configured with) and play (list of hosts
        that the run may change).
    type: dict
    required: true
"""

EXAMPLES = r"""
problems: "{{ states | fewnodes.discovery.overlay_problems(settings) }}"
"""

RETURN = r"""
_value:
  description: Messages, each with variable, host, value and what to set.
  type: list
  elements: str
"""

from ..plugin_utils.overlay import overlay_problems  # noqa: E402


class FilterModule:
    def filters(self):
        return {"overlay_problems": overlay_problems}
