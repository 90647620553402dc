from __future__ import annotations

from ..plugin_utils.firewall import firewall_problems, firewall_ruleset, firewall_status, firewall_unconfirmed


class FilterModule:
    def filters(self):
        return {
            "firewall_problems": firewall_problems,
            "firewall_ruleset": firewall_ruleset,
            "firewall_status": firewall_status,
            "firewall_unconfirmed": firewall_unconfirmed,
        }
