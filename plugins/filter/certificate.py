"""Filters about certificates; each has its documentation beside it."""

from __future__ import annotations

from ..plugin_utils.certificates import Wanted, differences, name_problems


def certificate_problems(certificate, public_key, common_name, san, usage, issuer, renew_before=""):
    return differences(certificate, public_key, Wanted(common_name, tuple(san), tuple(usage)), issuer, renew_before)


class FilterModule:
    def filters(self):
        return {"certificate_name_problems": name_problems, "certificate_problems": certificate_problems}
