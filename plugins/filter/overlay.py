from __future__ import annotations

from ..plugin_utils.overlay import overlay_problems, overlay_steps


class FilterModule:
    def filters(self):
        return {"overlay_problems": overlay_problems, "overlay_steps": overlay_steps}
