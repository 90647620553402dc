from __future__ import annotations

DOCUMENTATION = r"""
name: scale_plan
short_description: Which containers of a service to start and to end on each host
description:
  - Spreads the wanted number evenly over the hosts whose engine answers; what runs well stays where it is as far as that
    allows.
positional: request
options:
  _input:
    description: Hosts whose engine answers, each with its containers as the engine lists them.
    type: dict
    required: true
  request:
    description: From the filter P(fewnodes.discovery.scale_request#filter).
    type: dict
    required: true
"""

EXAMPLES = r"""
plan: "{{ {'app-1': info.containers} | fewnodes.discovery.scale_plan(request) }}"
"""

RETURN = r"""
_value:
  description: For each host the names of containers to start, to end and to keep.
  type: dict
"""

from ..plugin_utils.scale import scale_plan  # noqa: E402


class FilterModule:
    def filters(self):
        return {"scale_plan": scale_plan}
