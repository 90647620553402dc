from __future__ import annotations

from ..plugin_utils.dockerd import dockerd_hardening, dockerd_problems


class FilterModule:
    def filters(self):
        return {"dockerd_hardening": dockerd_hardening, "dockerd_problems": dockerd_problems}
