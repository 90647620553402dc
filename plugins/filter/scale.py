"""Filters of the role scale; each is documented in the file <name>.yml beside this one."""

from __future__ import annotations

from ..plugin_utils.scale import scale_ids, scale_plan, scale_request, scale_waiting


class FilterModule:
    def filters(self):
        return {
            "scale_ids": scale_ids,
            "scale_plan": scale_plan,
            "scale_request": scale_request,
            "scale_waiting": scale_waiting,
        }
