from __future__ import annotations

DOCUMENTATION = r"""
name: resolver_problems
short_description: What keeps a host's resolver from being led to Consul
description:
  - Gives one message for each thing that is wrong. An empty list means that all is well.
positional: seen, asked, resolvers, options, own, address
options:
  _input:
    description: Name of the host.
    type: str
    required: true
  seen:
    description: What M(fewnodes.discovery.resolver_facts) found.
    type: dict
    required: true
  asked:
    description: C(auto) or a method.
    type: str
    required: true
  resolvers:
    description: Addresses of the site's name servers.
    type: list
    elements: str
    required: true
  options:
    description: Resolver options that are wanted.
    type: list
    elements: str
    required: true
  own:
    description: All addresses of the host.
    type: list
    elements: str
    required: true
  address:
    description: Address at which Consul answers names, beside 127.0.0.1.
    type: str
    required: true
"""

EXAMPLES = r"""
problems: >-
  {{ inventory_hostname | fewnodes.discovery.resolver_problems(seen.resolver, 'auto', ['192.0.2.53'], ['timeout:1'],
     ansible_facts['all_ipv4_addresses'], '192.0.2.1') }}
"""

RETURN = r"""
_value:
  description: Messages, each with host, value seen and what to set.
  type: list
  elements: str
"""

from ..plugin_utils.resolver import resolver_problems  # noqa: E402


class FilterModule:
    def filters(self):
        return {"resolver_problems": resolver_problems}
