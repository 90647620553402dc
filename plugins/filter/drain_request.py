from __future__ import annotations

DOCUMENTATION = r"""
name: drain_request
short_description: What a call of drain or undrain asks for
description:
  - Reads the variables of playbooks/drain.yml and says what is wrong with them.
positional: docker_hosts, servers
options:
  _input:
    description: C(drain_service), C(drain_container), C(drain_host); what is not set may be left out.
    type: dict
    required: true
  docker_hosts:
    description: Hosts of the inventory with an engine.
    type: list
    elements: str
    required: true
  servers:
    description: Consul servers of the inventory.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
request: "{{ {'drain_host': 'app-1'} | fewnodes.discovery.drain_request(groups['docker_hosts'], groups['consul_servers']) }}"
"""

RETURN = r"""
_value:
  description: Service, container, host, node (whether the whole host is meant), and problems (texts).
  type: dict
"""

from ..plugin_utils.drain import drain_request  # noqa: E402


class FilterModule:
    def filters(self):
        return {"drain_request": drain_request}
