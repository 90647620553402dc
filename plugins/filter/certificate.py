"""Filters about certificates; each has its documentation beside it."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

from ..plugin_utils.certificates import CertificateError, Wanted, differences, name_problems


def certificate_problems(certificate, public_key, common_name, san, usage, issuer, renew_before="", spare_san=()):
    wanted = Wanted(common_name, tuple(san), tuple(usage), tuple(spare_san))
    try:
        return differences(certificate, public_key, wanted, issuer, renew_before)
    except CertificateError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    def filters(self):
        return {"certificate_name_problems": name_problems, "certificate_problems": certificate_problems}
