"""Documentation of the action plugin host_facts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_facts
short_description: Packages, users and released programs of a host
description:
  - Lists them by one command over the connection, which changes nothing. The role C(common) keeps the result as
    C(common_host).
options:
  packages_lock_timeout:
    description: Seconds to wait for a lock of the package manager, which are returned with the facts to whoever waits.
    type: int
attributes:
  check_mode:
    description: Does the same in check mode.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: List what is installed
  fewnodes.discovery.host_facts:
  register: found
"""

RETURN = r"""
packages:
  description: Names of the installed packages.
  returned: always
  type: list
  elements: str
users:
  description: Names of the host's users.
  returned: always
  type: list
  elements: str
programs:
  description: Released programs below C(/opt) that C(/usr/local/bin) leads to, path to SHA-256.
  returned: always
  type: dict
configurations:
  description:
    - Main files and sites of nginx and HAProxy, path to V(ours), V(package), which is as its package has it, or V(other).
  returned: always
  type: dict
consul_template:
  description: >-
    What uses consul-template on the host, V(balancer) for the load balancer, V(templates) for a user's own templates.
  returned: always
  type: list
  elements: str
parts:
  description: >-
    What the groups of the inventory have put on the host, V(balancer), V(floating_address), V(registrator), V(dockerd) for
    dockerd's settings, V(overlay) for a membership in an overlay network.
  returned: always
  type: list
  elements: str
balancer_parts:
  description: >-
    What of load balancers is on the host, each backend that has options there by its name, V(nginx_container) for nginx in its
    container, V(timer) for the timer of an earlier version.
  returned: always
  type: list
  elements: str
resolvers:
  description: The site's name servers that the role consul_dns has written into the resolver of the host, in order.
  returned: always
  type: list
  elements: str
packages_lock_timeout:
  description: The option of this name.
  returned: where it was given
  type: int
package_tool:
  description: Whether Ansible can ask the package manager. On a bare host of Debian it cannot in check mode.
  returned: always
  type: bool
"""
