"""All filters of the collection, thin shells over what decides; each has its documentation beside this file.

They are one module: to find a filter Ansible goes through every module here, for each template and in each of its processes.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible import context
from ansible.errors import AnsibleFilterError

from ..plugin_utils import cluster_secrets, kubernetes_checks, kubernetes_dns, kubernetes_manifests
from ..plugin_utils.address_pools import address_pools, avoided_networks
from ..plugin_utils.addresses import addresses
from ..plugin_utils.balancer import balancer_problems
from ..plugin_utils.balancer_certificates import acme_slot, certificates, signed_name_problems, thumbprint
from ..plugin_utils.certificates import CertificateError, Wanted, differences, name_problems
from ..plugin_utils.consul_acl import token_names
from ..plugin_utils.consul_host_checks import state_problems
from ..plugin_utils.consul_peers import peers_json
from ..plugin_utils.consul_settings import servers_warning, settings_problems
from ..plugin_utils.consul_templates import template_config, template_problems
from ..plugin_utils.controller import controller_problems, part_problems, present_controller_problems, start_problems
from ..plugin_utils.distributions import distribution, package_names
from ..plugin_utils.docker_cluster_store import cluster_store_problems
from ..plugin_utils.dockerd import dockerd_hardening, dockerd_problems, dockerd_warnings, private_proxies, public_proxies
from ..plugin_utils.drain import drain_plan, drain_request
from ..plugin_utils.firewall import firewall_problems, firewall_ruleset, firewall_status, firewall_unconfirmed
from ..plugin_utils.floating_address import (
    floating_address_config,
    floating_address_options,
    floating_address_problems,
    floating_address_takers,
    floating_addresses_held,
)
from ..plugin_utils.host import host_problems, server_problems
from ..plugin_utils.host_addresses import host_addresses
from ..plugin_utils.image import image_problems
from ..plugin_utils.left_groups import left_parts, left_problems
from ..plugin_utils.node_names import dead_name_problems, node_name_problems, node_names, rename_problems
from ..plugin_utils.overlay import overlay_problems, overlay_steps
from ..plugin_utils.packages import package_failure, package_lock
from ..plugin_utils.quick_restart import quick_restart
from ..plugin_utils.renamed import renamed_operation_variables
from ..plugin_utils.resolver_methods import found_resolvers, resolver_method, resolver_problems
from ..plugin_utils.scale import scale_ids, scale_plan, scale_request, scale_waiting
from ..plugin_utils.shift import shift_request
from ..plugin_utils.site import GROUPS, site_problems, site_warnings
from ..plugin_utils.status_page import status_page
from ..plugin_utils.unit_sandbox import unit_sandbox
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
    asked = context.CLIARGS
    if problems := start_problems(asked.get("start_at_task")) + part_problems(asked.get("tags") or (), asked.get("args") or ()):
        raise AnsibleFilterError(problems[0])
    return value


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


def certificate_problems(certificate, public_key, common_name, san, usage, issuer, renew_before="", spare_san=()):
    wanted = Wanted(common_name, tuple(san), tuple(usage), tuple(spare_san))
    try:
        return differences(certificate, public_key, wanted, issuer, renew_before)
    except CertificateError as error:
        raise AnsibleFilterError(str(error)) from None


def consul_peers(servers):
    try:
        return peers_json(servers)
    except ValueError as error:
        raise AnsibleFilterError(f"fewnodes.discovery.consul_peers: {error}") from error


def consul_template_config(template, address, max_backoff):
    try:
        return template_config(template, address, max_backoff)
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"fewnodes.discovery.consul_template_config: needs name and destination: {error!r}") from error


def _guarded(name, function):
    """A filter whose mistakes in its input are errors of Ansible."""

    def checked(*arguments, **options):
        try:
            return function(*arguments, **options)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = error if isinstance(error, ValueError) else repr(error)
            raise AnsibleFilterError(f"fewnodes.discovery.{name}: {what}") from error

    return checked


class FilterModule:
    def filters(self):
        kubernetes = {
            "kubernetes_certificate_names": kubernetes_manifests.certificate_names,
            "kubernetes_cluster_problems": kubernetes_checks.cluster_problems,
            "kubernetes_corefile": kubernetes_dns.with_consul,
            "kubernetes_manifests": kubernetes_manifests.manifests,
            "kubernetes_namespace": kubernetes_manifests.namespace,
            "kubernetes_pods": kubernetes_manifests.pods,
            "kubernetes_rights": kubernetes_checks.needed_rights,
            "kubernetes_secret": kubernetes_manifests.secret,
            "kubernetes_secrets_problems": cluster_secrets.cluster_secrets_problems,
            "kubernetes_settings_problems": kubernetes_checks.settings_problems,
            "kubernetes_token_files": kubernetes_manifests.token_files,
        }
        return {name: _guarded(name, function) for name, function in kubernetes.items()} | {
            "acme_slot": acme_slot,
            "addresses": addresses_filter,
            "as_list": as_list,
            "balancer_certificate_problems": signed_name_problems,
            "balancer_certificates": certificates,
            "balancer_problems": balancer_problems,
            "certificate_name_problems": name_problems,
            "certificate_problems": certificate_problems,
            "consul_host_problems": state_problems,
            "consul_peers": consul_peers,
            "consul_servers_warning": servers_warning,
            "consul_settings_problems": settings_problems,
            "consul_template_config": consul_template_config,
            "consul_template_problems": template_problems,
            "consul_token_names": token_names,
            "controller_problems": controller_problems,
            "dead_name_problems": dead_name_problems,
            "distribution": distribution_filter,
            "docker_cluster_store_problems": cluster_store_problems,
            "dockerd_address_pools": address_pools,
            "dockerd_avoided_networks": avoided_networks,
            "dockerd_hardening": dockerd_hardening,
            "dockerd_problems": dockerd_problems,
            "dockerd_warnings": dockerd_warnings,
            "drain_plan": drain_plan,
            "drain_request": drain_request,
            "firewall_problems": firewall_problems,
            "firewall_ruleset": firewall_ruleset,
            "firewall_status": firewall_status,
            "firewall_unconfirmed": firewall_unconfirmed,
            "floating_address_config": floating_address_config,
            "floating_address_options": floating_address_options,
            "floating_address_problems": floating_address_problems,
            "floating_address_takers": floating_address_takers,
            "floating_addresses_held": floating_addresses_held,
            "found_resolvers": found_resolvers,
            "host_addresses": host_addresses_filter,
            "host_problems": host_problems,
            "image_problems": image_problems,
            "left_parts": left_parts,
            "left_problems": left_problems,
            "node_name_problems": node_name_problems,
            "node_names": node_names_filter,
            "overlay_problems": overlay_problems,
            "overlay_steps": overlay_steps,
            "package_failure": package_failure,
            "package_lock": package_lock,
            "package_names": package_names_filter,
            "private_proxies": private_proxies,
            "public_proxies": public_proxies,
            "public_thumbprint": thumbprint,
            "quick_restart": quick_restart_filter,
            "rename_problems": rename_problems,
            "renamed_operation_variables": renamed_operation_variables,
            "resolver_method": resolver_method,
            "resolver_problems": resolver_problems,
            "scale_ids": scale_ids,
            "scale_plan": scale_plan,
            "scale_request": scale_request,
            "scale_waiting": scale_waiting,
            "server_problems": server_problems,
            "shift_request": shift_request,
            "site_problems": site_problems_filter,
            "site_warnings": site_warnings,
            "status_page": status_page,
            "unit_sandbox": unit_sandbox_filter,
            "variable_problems": variable_problems_filter,
            "whole_run": whole_run,
        }
