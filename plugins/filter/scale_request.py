from __future__ import annotations

DOCUMENTATION = r"""
name: scale_request
short_description: What a call of scale_service asks for
description:
  - Reads the variables of playbooks/scale_service.yml and says what is wrong with them.
positional: docker_hosts, hosts
options:
  _input:
    description: C(scale_service), C(scale_image), C(scale_count), C(scale_hosts), C(scale_env), C(scale_network); what is not
      set may be left out.
    type: dict
    required: true
  docker_hosts:
    description: Hosts of the inventory with an engine.
    type: list
    elements: str
    required: true
  hosts:
    description: All hosts of the inventory.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
request: "{{ given | fewnodes.discovery.scale_request(groups['docker_hosts'], groups['all']) }}"
"""

RETURN = r"""
_value:
  description: Service, image, count, hosts, env, network, spec (a hash of what a container is made from), and problems (texts).
  type: dict
"""

from ..plugin_utils.scale import scale_request  # noqa: E402


class FilterModule:
    def filters(self):
        return {"scale_request": scale_request}
