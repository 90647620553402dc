from __future__ import annotations

DOCUMENTATION = r"""
name: overlay_steps
short_description: What is still to be done for an overlay network
description:
  - Compares the hosts with the wanted network. The states must have no problems (see the filter overlay_problems).
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
steps: "{{ states | fewnodes.discovery.overlay_steps(settings) }}"
"""

RETURN = r"""
_value:
  description:
    - The keys problem (why the run cannot go on, or empty), init (the host that makes the swarm, or empty), ask (the manager
      that is asked, or empty), join (host to manager or worker), roles (node id to manager or worker), forget (addresses
      of members that join anew), create (the host that makes the network, or empty) and options (of its driver).
  type: dict
"""

from ..plugin_utils.overlay import overlay_steps  # noqa: E402


class FilterModule:
    def filters(self):
        return {"overlay_steps": overlay_steps}
