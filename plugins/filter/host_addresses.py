"""Filter host_addresses."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

from ..plugin_utils.host_addresses import host_addresses

DOCUMENTATION = """
name: host_addresses
short_description: The IPv4 addresses of a host, without those of container networks
description:
  - Reads the network facts of a host and returns its own IPv4 addresses, sorted.
  - Loopback and the interfaces of the container engine are left out, so the result is the same
    before and after containers run.
positional: _input
options:
  _input:
    description: The facts of the host (C(ansible_facts), with the subset C(network)).
    type: dict
    required: true
"""

EXAMPLES = """
addresses: "{{ ansible_facts | fewnodes.discovery.host_addresses }}"
# => ['192.168.0.129']
"""

RETURN = """
_value:
  description: The addresses.
  type: list
  elements: str
"""


def _host_addresses(facts):
    try:
        return host_addresses(facts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"host_addresses: expected the facts of a host: {error!r}") from error


class FilterModule:
    """Filters of this file."""

    def filters(self):
        return {"host_addresses": _host_addresses}
