"""Filters about the load balancer."""

from __future__ import annotations

from ..plugin_utils.balancer import balancer_problems
from ..plugin_utils.balancer_certificates import acme_slot, certificates, signed_name_problems, thumbprint


class FilterModule:
    def filters(self):
        return {
            "acme_slot": acme_slot,
            "balancer_certificate_problems": signed_name_problems,
            "balancer_certificates": certificates,
            "balancer_problems": balancer_problems,
            "public_thumbprint": thumbprint,
        }
