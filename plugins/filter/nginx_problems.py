from __future__ import annotations

DOCUMENTATION = r"""
name: nginx_problems
short_description: What is wrong with the variables of the role nginx
description:
  - Gives one message for each mistake in names, ports, certificates, proxies and what a container publishes. An empty list
    means that all is well.
positional: variables
options:
  _input:
    description: Name of the host.
    type: str
    required: true
  variables:
    description:
      - The role's variables by their full names, C(nginx_domain), C(nginx_placement), C(nginx_network), C(nginx_http_port),
        C(nginx_tls_port), C(nginx_tcp_ports), C(nginx_certificates), C(nginx_trusted_proxies) and C(nginx_access_log).
    type: dict
    required: true
"""

EXAMPLES = r"""
problems: "{{ inventory_hostname | fewnodes.discovery.nginx_problems(variables) }}"
"""

RETURN = r"""
_value:
  description: Messages, each with variable, host, value seen and what to set.
  type: list
  elements: str
"""

from ..plugin_utils.nginx import nginx_problems  # noqa: E402


class FilterModule:
    def filters(self):
        return {"nginx_problems": nginx_problems}
