"""Filter of the role shift; it is documented in the file shift_request.yml beside this one."""

from __future__ import annotations

from ..plugin_utils.shift import shift_request


class FilterModule:
    def filters(self):
        return {"shift_request": shift_request}
