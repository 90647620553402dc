"""Filters about one host, from its facts, and of its units; each has its documentation beside it."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleFilterError

from ..plugin_utils.distributions import distribution, package_names
from ..plugin_utils.host import host_problems, server_problems
from ..plugin_utils.host_addresses import host_addresses
from ..plugin_utils.image import image_problems
from ..plugin_utils.packages import package_failure, package_lock
from ..plugin_utils.quick_restart import quick_restart
from ..plugin_utils.unit_sandbox import unit_sandbox


def host_addresses_filter(facts):
    try:
        return host_addresses(facts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"host_addresses: expected the facts of a host: {error!r}") from error


def distribution_filter(facts):
    return distribution(_facts("distribution", facts))


def package_names_filter(wanted, facts):
    if isinstance(wanted, str) or not hasattr(wanted, "__iter__"):
        raise AnsibleFilterError(f"fewnodes.discovery.package_names: needs a list of packages or needs, got {wanted!r}")
    return package_names(wanted, _facts("package_names", facts))


def quick_restart_filter(name):
    try:
        return quick_restart(name)
    except ValueError as error:
        raise AnsibleFilterError(f"fewnodes.discovery.quick_restart: {error}") from error


def unit_sandbox_filter(differences, mount_namespace=True):
    try:
        return unit_sandbox(differences, mount_namespace)
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"fewnodes.discovery.unit_sandbox: {error}") from error


def _facts(name, facts):
    if not isinstance(facts, Mapping):
        raise AnsibleFilterError(f"fewnodes.discovery.{name}: needs the facts of a host (ansible_facts), got {facts!r}")
    return facts


class FilterModule:
    def filters(self):
        return {
            "distribution": distribution_filter,
            "host_addresses": host_addresses_filter,
            "host_problems": host_problems,
            "image_problems": image_problems,
            "package_failure": package_failure,
            "package_lock": package_lock,
            "package_names": package_names_filter,
            "quick_restart": quick_restart_filter,
            "server_problems": server_problems,
            "unit_sandbox": unit_sandbox_filter,
        }
