"""Filters about the distribution of a host; each has its documentation beside it."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleFilterError

from ..plugin_utils.distributions import distribution, package_names


def distribution_filter(facts):
    return distribution(_facts("distribution", facts))


def package_names_filter(wanted, facts):
    if isinstance(wanted, str) or not hasattr(wanted, "__iter__"):
        raise AnsibleFilterError(f"fewnodes.discovery.package_names: needs a list of packages or needs, got {wanted!r}")
    return package_names(wanted, _facts("package_names", facts))


def _facts(name, facts):
    if not isinstance(facts, Mapping):
        raise AnsibleFilterError(f"fewnodes.discovery.{name}: needs the facts of a host (ansible_facts), got {facts!r}")
    return facts


class FilterModule:
    def filters(self):
        return {"distribution": distribution_filter, "package_names": package_names_filter}
