"""Filters of the role floating_address; each is documented in the file <name>.yml beside this one."""

from __future__ import annotations

from ..plugin_utils.floating_address import (
    floating_address_config,
    floating_address_options,
    floating_address_problems,
    floating_address_takers,
    floating_addresses_held,
)


class FilterModule:
    def filters(self):
        return {
            "floating_address_config": floating_address_config,
            "floating_address_options": floating_address_options,
            "floating_address_problems": floating_address_problems,
            "floating_address_takers": floating_address_takers,
            "floating_addresses_held": floating_addresses_held,
        }
