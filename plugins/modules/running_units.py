"""Documentation of the action plugin running_units."""

from __future__ import annotations

DOCUMENTATION = r"""
module: running_units
short_description: Units that are enabled and run
description:
  - Enables and starts units of systemd, one after the other. When all of them are enabled and active it is one command over the
    connection, without a module; each other one goes to M(ansible.builtin.systemd_service).
options:
  units:
    description: Names of the units, in the order of their start.
    type: list
    elements: str
    required: true
  restarted:
    description: Whether their files have changed, so that systemd reads them again and the units restart.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts the change and does nothing. A unit that does not exist yet is passed over.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Enable and start the timer
  fewnodes.discovery.running_units:
    units: [clock.timer]
    restarted: "{{ written is changed }}"
"""

RETURN = r"""
units:
  description: Those that were changed.
  returned: always
  type: list
  elements: str
"""
