from __future__ import annotations

from ansible.errors import AnsibleFilterError

from ..plugin_utils.consul_acl import token_names
from ..plugin_utils.consul_host_checks import state_problems
from ..plugin_utils.consul_peers import peers_json
from ..plugin_utils.consul_settings import servers_warning, settings_problems


def consul_peers(servers):
    try:
        return peers_json(servers)
    except ValueError as error:
        raise AnsibleFilterError(f"fewnodes.discovery.consul_peers: {error}") from error


class FilterModule:
    def filters(self):
        return {
            "consul_host_problems": state_problems,
            "consul_peers": consul_peers,
            "consul_servers_warning": servers_warning,
            "consul_settings_problems": settings_problems,
            "consul_token_names": token_names,
        }
