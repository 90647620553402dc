"""Variables that have another name now, the one table of them. Nothing reads an old name, so it is never ignored silently."""

from __future__ import annotations

from collections.abc import Iterable

_OF_NGINX = (
    "address", "access_log", "certificates", "client_max_body_size", "connect_timeout", "domain", "fail_timeout", "http_port",
    "keepalive", "keepalive_timeout", "listen", "max_fails", "network", "read_timeout", "reload_interval", "reserved_ports",
    "stream_timeout", "tcp_ports", "tls_port", "tries", "tries_timeout", "trusted_proxies",
)  # fmt: skip
# Of an inventory; the preflight of the site checks them.
INVENTORY = {f"nginx_{name}": f"balancer_{name}" for name in _OF_NGINX} | {
    "nginx_placement": "balancer_deployment",
    "discovery_balancer_placement": "discovery_balancer_deployment",
    "consul_template_version": "balancer_consul_template_version",
    "consul_template_consul_address": "balancer_consul_address",
    "consul_template_max_stale": "balancer_max_stale",
    "consul_template_max_backoff": "balancer_max_backoff",
    "consul_template_log_level": "balancer_log_level",
    "consul_template_guard_interval": "balancer_sync_interval",
    # Ignored, it would write new secrets in plain text, or to another place.
    "common_vault_password_file": "discovery_vault_password_file",
    "common_secrets_dir": "discovery_secrets_dir",
    "consul_secrets_dir": "discovery_secrets_dir",
    "dockerd_secrets_dir": "discovery_secrets_dir",
    "consul_new_ca": "consul_rotate_ca",
    "dockerd_new_ca": "dockerd_rotate_ca",
}
# Of an inventory, too; the role firewall also checks them, because without them it would close ports that the site has opened.
FIREWALL = {
    "discovery_admins": "discovery_management_networks",
    "firewall_admins": "firewall_management_networks",
    "firewall_engines": "firewall_docker_hosts",
    "firewall_members": "firewall_hosts",
    "firewall_openings": "firewall_allow_rules",
    "overlay_network_filter": "firewall_protect_overlay",
}
# Of operations; their playbooks check them before anything else.
OPERATIONS = {
    "discovery_node": "remove_host (playbooks/remove_node.yml) or replace_host (playbooks/replace_node.yml)",
    "discovery_recover": "recover_datacenter",
    "discovery_reset": "reset_datacenter",
    "discovery_reset_scope": "reset_scope",
    "discovery_backup": "restore_file",
    "discovery_component": "rotate_component",
    "discovery_management": "rotate_management",
    "discovery_new_ca": "rotate_ca",
    "discovery_strict": "status_strict",
    "drain_linger": "drain_delay",
    "scale_linger": "scale_drain_delay",
}


def renamed_operation_variables(names: Iterable[str]) -> list[str]:
    """Old names of operation variables, each with the new one.

    :param names: names of the variables that are set
    :returns: texts such as "drain_linger is now drain_delay"
    """
    return [f"{old} is now {OPERATIONS[old]}" for old in sorted(set(names) & set(OPERATIONS))]
