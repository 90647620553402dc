from __future__ import annotations

DOCUMENTATION = r"""
name: status_page
short_description: One page about a site
description:
  - Makes the page that C(playbooks/status.yml) shows out of what the module P(fewnodes.discovery.site_facts#module) gathered.
positional: site
options:
  _input:
    description: Host to the parts of its facts, or to a dict with the only key C(unreachable).
    type: dict
    required: true
  site:
    description: What else is needed, with the keys that the role consul gives.
    type: dict
    required: true
"""

EXAMPLES = r"""
page: "{{ nodes | fewnodes.discovery.status_page(site) }}"
"""

RETURN = r"""
_value:
  description: The lines of the page, and the problems on it.
  type: dict
"""

from ..plugin_utils.status_page import status_page  # noqa: E402


class FilterModule:
    def filters(self):
        return {"status_page": status_page}
