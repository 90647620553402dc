from __future__ import annotations

DOCUMENTATION = r"""
name: resolver_method
short_description: Which way a host's resolver is led to Consul
description:
  - Gives the method that was asked for. With C(auto) it is the one that this collection has set up, then that of
    the manager in charge, C(systemd_resolved) or C(resolvconf), else C(dnsmasq). It is empty when another program writes
    resolv.conf.
positional: asked
options:
  _input:
    description: What M(fewnodes.discovery.resolver_facts) found.
    type: dict
    required: true
  asked:
    description: C(auto) or a method.
    type: str
    default: auto
"""

EXAMPLES = r"""
method: "{{ seen.resolver | fewnodes.discovery.resolver_method('auto') }}"
"""

RETURN = r"""
_value:
  description: C(resolvconf), C(systemd_resolved), C(dnsmasq), or an empty text.
  type: str
"""

from ..plugin_utils.resolver import resolver_method  # noqa: E402


class FilterModule:
    def filters(self):
        return {"resolver_method": resolver_method}
