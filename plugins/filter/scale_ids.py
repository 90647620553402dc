from __future__ import annotations

DOCUMENTATION = r"""
name: scale_ids
short_description: Ids of the services that containers have
description:
  - Finds the services of containers among the checks of a host.
positional: names, tags
options:
  _input:
    description: Checks, as Consul's C(/v1/health/node/<host>) gives them.
    type: list
    elements: dict
    required: true
  names:
    description: Names of the containers.
    type: list
    elements: str
    required: true
  tags:
    description: Only services with one of these tags; none for all.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
ids: "{{ checks | fewnodes.discovery.scale_ids(['web-app-1-1'], ['http', 'tcp']) }}"
"""

RETURN = r"""
_value:
  description: The ids, sorted.
  type: list
  elements: str
"""

from ..plugin_utils.scale import scale_ids  # noqa: E402


class FilterModule:
    def filters(self):
        return {"scale_ids": scale_ids}
