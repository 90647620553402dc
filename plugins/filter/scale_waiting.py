from __future__ import annotations

DOCUMENTATION = r"""
name: scale_waiting
short_description: Containers whose services do not pass yet
description:
  - Says which containers have no service in the catalog yet, or one that does not pass, and what each waits for.
positional: names
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
"""

EXAMPLES = r"""
waiting: "{{ checks | fewnodes.discovery.scale_waiting(['web-app-1-1']) }}"
"""

RETURN = r"""
_value:
  description: Texts, empty when all pass.
  type: list
  elements: str
"""

from ..plugin_utils.scale import scale_waiting  # noqa: E402


class FilterModule:
    def filters(self):
        return {"scale_waiting": scale_waiting}
