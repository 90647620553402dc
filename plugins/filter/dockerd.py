from __future__ import annotations

from ..plugin_utils.dockerd import dockerd_hardening, dockerd_problems, private_proxies, public_proxies


class FilterModule:
    def filters(self):
        return {
            "dockerd_hardening": dockerd_hardening,
            "dockerd_problems": dockerd_problems,
            "private_proxies": private_proxies,
            "public_proxies": public_proxies,
        }
