"""Filters of the role drain; each is documented in the file <name>.yml beside this one."""

from __future__ import annotations

from ..plugin_utils.drain import drain_plan, drain_request


class FilterModule:
    def filters(self):
        return {"drain_plan": drain_plan, "drain_request": drain_request}
