"""Filters about the whole site; each has its documentation beside it."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

from ..plugin_utils.addresses import addresses
from ..plugin_utils.controller import controller_problems, present_controller_problems
from ..plugin_utils.renamed import renamed_operation_variables
from ..plugin_utils.site import site_problems
from ..plugin_utils.status_page import status_page


def addresses_filter(names, hostvars):
    if isinstance(names, str) or not hasattr(names, "__iter__"):
        raise AnsibleFilterError(f"fewnodes.discovery.addresses: needs a list of host names, got {names!r}")
    try:
        return addresses(names, hostvars)
    except ValueError as error:
        raise AnsibleFilterError(f"fewnodes.discovery.addresses: {error}") from error


def site_problems_filter(groups, hostvars):
    return present_controller_problems() + site_problems(groups, hostvars)


class FilterModule:
    def filters(self):
        return {
            "addresses": addresses_filter,
            "controller_problems": controller_problems,
            "renamed_operation_variables": renamed_operation_variables,
            "site_problems": site_problems_filter,
            "status_page": status_page,
        }
