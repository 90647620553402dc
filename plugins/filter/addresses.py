from __future__ import annotations

DOCUMENTATION = r"""
name: addresses
short_description: Addresses of hosts, from the inventory
description:
  - Gives the address of each host, in order.
  - It is C(discovery_address), else C(ansible_host) when that is an IPv4 address.
  - Facts are not read, so hosts outside C(--limit) have their address too.
positional: hostvars
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable C(hostvars).
    type: dict
    required: true
"""

EXAMPLES = r"""
retry_join: "{{ consul_servers | fewnodes.discovery.addresses(hostvars) }}"
"""

RETURN = r"""
_value:
  description: Addresses.
  type: list
  elements: str
"""

from ansible.errors import AnsibleFilterError  # noqa: E402

from ..plugin_utils.addresses import addresses  # noqa: E402


def addresses_filter(names, hostvars):
    if isinstance(names, str) or not hasattr(names, "__iter__"):
        raise AnsibleFilterError(f"fewnodes.discovery.addresses: needs a list of host names, got {names!r}")
    try:
        return addresses(names, hostvars)
    except ValueError as error:
        raise AnsibleFilterError(f"fewnodes.discovery.addresses: {error}") from error


class FilterModule:
    def filters(self):
        return {"addresses": addresses_filter}
