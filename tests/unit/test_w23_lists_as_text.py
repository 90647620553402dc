"""What roles make of a list is the same when the command line gives it as one text."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
ROLES = ("balancer", "consul", "consul_dns", "dockerd", "firewall", "haproxy", "overlay_network", "registrator")
INVENTORY = """
all: {vars: {discovery_domain: site.example, ansible_connection: local}}
consul_servers: {hosts: {a: {discovery_address: 192.0.2.1}, b: {discovery_address: 192.0.2.2}, c: {discovery_address: 192.0.2.3}}}
"""
HOSTS = ["b", "a"]
GIVEN = {
    **dict.fromkeys(
        ["consul_servers", "dockerd_peers", "overlay_network_peers", "firewall_hosts", "firewall_servers", "firewall_balancers",
         "firewall_docker_hosts", "consul_dns_peers", "balancer_peers", "balancer_site_hosts", "balancer_consul_servers"], HOSTS,
    ),
    "discovery_resolvers": ["192.0.2.53", "2001:db8::53"], "discovery_management_networks": ["10.8.0.0/24", "10.9.0.7"],
    "consul_dns_addresses": ["127.0.0.1", "192.0.2.1"], "consul_dns_search": ["site.example", "example"],
    "consul_dns_options": ["timeout:1"], "consul_dns_probe_names": ["files.site.example"],
    "dockerd_dns_options": ["timeout:5", "attempts:1"], "dockerd_registry_mirrors": ["https://mirror.example"],
    "dockerd_certificate_san": ["DNS:docker.example"], "registrator_tags": ["a", "b"], "registrator_service_prefixes": ["shop-*"],
    "registrator_reserved_services": ["files"], "overlay_network_address_pools": ["10.10.0.0/16"],
    "balancer_listen": ["192.0.2.1", "192.0.2.9"], "balancer_trusted_proxies": ["10.0.0.0/8"],
    "balancer_reserved_ports": [22, 81], "firewall_closed_to_containers": ["10.1.0.0/16"],
}  # fmt: skip
FACTS = {"hostname": "a", "interfaces": [], "all_ipv4_addresses": ["192.0.2.1"], "distribution": "Debian", "cacheable": True}
FORMS = (", ".join, ",".join, json.dumps, str, lambda words: f"[{', '.join(words)}]")


def variables(role: str) -> dict:
    return parse_yaml((ROOT / f"roles/{role}/vars/main.yml").read_text())


def wanted() -> dict:
    """Templates of the roles, as they stand there: what becomes part of files of hosts."""
    consul, options = variables("consul")["__consul_agent_config"], variables("balancer")["__balancer_options"]
    settings, firewall = variables("balancer")["__balancer_settings"], variables("firewall")
    overlay = variables("overlay_network")["__overlay_network_settings"]
    return {
        "consul": {key: consul[key] for key in ("addresses", "retry_join", "recursors", "dns_config", "http_config")},
        "server": variables("consul")["__consul_is_server"],
        "consul_dns": ["{{ __consul_dns_site }}", "{{ __consul_dns_names }}", "{{ __consul_dns_asked }}"],
        "resolv.conf": (ROOT / "roles/consul_dns/templates/resolvers.j2").read_text().replace("servers %}", "[] %}"),
        "dockerd": {key: variables("dockerd")["__dockerd_base_config"][key] for key in ("dns", "dns-opts", "registry-mirrors")},
        "certificate": ["{{ __dockerd_ring }}", "{{ __dockerd_certificate_san | sort }}"],
        "networks": firewall["__firewall_settings"]["networks"], "closed": firewall["__firewall_settings"]["closed"],
        "rules": {name: rule["on"] for name, rule in firewall["__firewall_platform"].items()},
        "stats": "{{ __haproxy_options.stats_networks }}", "ports": "{{ __haproxy_ports }}",
        "overlay": {key: overlay[key] for key in ("peers", "managers", "pools")},
        "registrator": "{{ __registrator_command }}",
        "balancer": {key: options[key] for key in ("listen", "reserved_ports", "hosts", "balancers")},
        "proxies": settings["balancer_trusted_proxies"], "ui": "{{ __balancer_consul_ui }}",
    }  # fmt: skip


def made(folder: Path, *arguments: str) -> dict:
    (folder / "hosts.yml").write_text(INVENTORY)
    files = [str(ROOT / f"roles/{role}/{part}/main.yml") for role in ROLES for part in ("defaults", "vars")]
    copy = {"content": "{{ made | to_json }}", "dest": str(folder / "made.json")}
    constants = {"discovery_secrets_dir": str(folder), "consul_tokens": {"agent": ["a", "b"]}, "registrator_image": ""}
    play = {
        "hosts": "a", "gather_facts": False, "vars_files": files, "vars": {"made": wanted(), **constants},
        "tasks": [{"ansible.builtin.set_fact": FACTS}, {"ansible.builtin.copy": copy}],
    }  # fmt: skip
    (folder / "play.json").write_text(json.dumps([play]))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", folder / "hosts.yml", folder / "play.json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return json.loads((folder / "made.json").read_text())


@pytest.fixture(scope="module")
def of_lists(tmp_path_factory):
    return made(tmp_path_factory.mktemp("lists"), "-e", json.dumps(GIVEN))


def test_w23_lists_reach_what_roles_make(of_lists):
    assert of_lists["consul"]["recursors"] == ["192.0.2.53", "2001:db8::53"] and of_lists["server"] is True
    assert of_lists["networks"]["management"] == ["10.8.0.0/24", "10.9.0.7"] and of_lists["rules"]["docker"] is True
    assert "timeout:1" in of_lists["resolv.conf"] and of_lists["balancer"]["reserved_ports"] == [22, 81]


def test_w23_a_text_makes_the_same_as_the_list(tmp_path, of_lists):
    """Each variable in another form; numbers with commas only."""
    forms = itertools.cycle(FORMS)
    texts = {
        name: next(forms)(value) if isinstance(value[0], str) else ",".join(map(str, value)) for name, value in GIVEN.items()
    }
    assert made(tmp_path, "-e", json.dumps(texts)) == of_lists
