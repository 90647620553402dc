from __future__ import annotations

from ..plugin_utils.dockerd import dockerd_problems


class FilterModule:
    def filters(self):
        return {"dockerd_problems": dockerd_problems}
