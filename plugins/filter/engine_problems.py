from __future__ import annotations

DOCUMENTATION = r"""
name: engine_problems
short_description: What keeps the role dockerd from working on a host
description:
  - Gives one message for each thing that must be put right before the engine of a host can be installed, taken over or
    configured. An empty list means that all is well.
positional: engine, settings
options:
  _input:
    description: Name of the host.
    type: str
    required: true
  engine:
    description: C(engine) of the module M(fewnodes.discovery.engine_facts).
    type: dict
    required: true
  settings:
    description: The settings overlay, data_root, extra_config and config, as the preflight of the role dockerd gives them.
    type: dict
    required: true
"""

EXAMPLES = r"""
problems: "{{ inventory_hostname | fewnodes.discovery.engine_problems(seen.engine, settings) }}"
"""

RETURN = r"""
_value:
  description: Messages, each with variable or file, host, value seen and what to set.
  type: list
  elements: str
"""

from ..plugin_utils.engine import engine_problems  # noqa: E402


class FilterModule:
    def filters(self):
        return {"engine_problems": engine_problems}
