"""Filters about the whole site; each has its documentation beside it."""

from __future__ import annotations

from ansible import context
from ansible.errors import AnsibleFilterError

from ..plugin_utils.addresses import addresses
from ..plugin_utils.controller import controller_problems, present_controller_problems, start_problems
from ..plugin_utils.left_groups import left_parts, left_problems
from ..plugin_utils.node_names import dead_name_problems, node_name_problems, node_names, rename_problems
from ..plugin_utils.renamed import renamed_operation_variables
from ..plugin_utils.site import GROUPS, site_problems, site_warnings
from ..plugin_utils.status_page import status_page
from ..plugin_utils.variables import as_list, variable_problems


def addresses_filter(names, hostvars):
    if isinstance(names, str) or not hasattr(names, "__iter__"):
        raise AnsibleFilterError(f"fewnodes.discovery.addresses: needs a list of host names, got {names!r}")
    try:
        return addresses(names, hostvars)
    except ValueError as error:
        raise AnsibleFilterError(f"fewnodes.discovery.addresses: {error}") from error


def node_names_filter(names, hostvars):
    if isinstance(names, str) or not hasattr(names, "__iter__"):
        raise AnsibleFilterError(f"fewnodes.discovery.node_names: needs a list of host names, got {names!r}")
    return node_names(names, hostvars)


def site_problems_filter(groups, hostvars):
    """Values of a wrong type come first and alone: what they mean is not known."""
    hosts = _hosts_of_the_site(groups)
    return present_controller_problems() + (variable_problems(hosts, hostvars) or site_problems(groups, hostvars))


def variable_problems_filter(hosts, hostvars, groups=None):
    return variable_problems(sorted({*hosts, *_hosts_of_the_site(groups or {})}), hostvars)


def _hosts_of_the_site(groups):
    return sorted({name for group in GROUPS for name in groups.get(group, [])})


def whole_run(value):
    if problems := start_problems(context.CLIARGS.get("start_at_task")):
        raise AnsibleFilterError(problems[0])
    return value


class FilterModule:
    def filters(self):
        return {
            "addresses": addresses_filter,
            "as_list": as_list,
            "controller_problems": controller_problems,
            "dead_name_problems": dead_name_problems,
            "left_parts": left_parts,
            "left_problems": left_problems,
            "node_name_problems": node_name_problems,
            "node_names": node_names_filter,
            "rename_problems": rename_problems,
            "renamed_operation_variables": renamed_operation_variables,
            "site_problems": site_problems_filter,
            "site_warnings": site_warnings,
            "status_page": status_page,
            "variable_problems": variable_problems_filter,
            "whole_run": whole_run,
        }
