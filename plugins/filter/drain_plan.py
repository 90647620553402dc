from __future__ import annotations

DOCUMENTATION = r"""
name: drain_plan
short_description: Which services go out of names and balancers on each host, or come back
description:
  - Chooses the services that are meant, and refuses to take the last instance of one.
positional: request, last, back
options:
  _input:
    description: Docker hosts that answer, each with its services as the module M(fewnodes.discovery.maintenance) gives them.
    type: dict
    required: true
  request:
    description: From the filter P(fewnodes.discovery.drain_request#filter).
    type: dict
    required: true
  last:
    description: Whether a service may lose its last instance.
    type: bool
    default: false
  back:
    description: For the way back, where no service loses anything.
    type: bool
    default: false
"""

EXAMPLES = r"""
plan: "{{ {'app-1': looked.services} | fewnodes.discovery.drain_plan(request) }}"
"""

RETURN = r"""
_value:
  description: Hosts, each with node, ids and containers of its services; places, as C(<host> <id>); problems (texts).
  type: dict
"""

from ..plugin_utils.drain import drain_plan  # noqa: E402


class FilterModule:
    def filters(self):
        return {"drain_plan": drain_plan}
