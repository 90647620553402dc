"""Filters about the load balancer."""

from __future__ import annotations

from ..plugin_utils.balancer import balancer_problems


class FilterModule:
    def filters(self):
        return {"balancer_problems": balancer_problems}
