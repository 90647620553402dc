from __future__ import annotations

from ..plugin_utils.address_pools import address_pools, avoided_networks
from ..plugin_utils.dockerd import dockerd_hardening, dockerd_problems, dockerd_warnings, private_proxies, public_proxies


class FilterModule:
    def filters(self):
        return {
            "dockerd_address_pools": address_pools,
            "dockerd_avoided_networks": avoided_networks,
            "dockerd_hardening": dockerd_hardening,
            "dockerd_problems": dockerd_problems,
            "dockerd_warnings": dockerd_warnings,
            "private_proxies": private_proxies,
            "public_proxies": public_proxies,
        }
