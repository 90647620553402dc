"""Filters of the role consul_dns; each is documented in the file <name>.yml beside this one."""

from __future__ import annotations

from ..plugin_utils.resolver_methods import found_resolvers, resolver_method, resolver_problems


class FilterModule:
    def filters(self):
        return {
            "found_resolvers": found_resolvers,
            "resolver_method": resolver_method,
            "resolver_problems": resolver_problems,
        }
