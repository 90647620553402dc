"""What roles make of an inventory with other names than those of nodes, rendered by Ansible; no host is needed for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INVENTORY = """
all:
  vars: {discovery_domain: haus.example, discovery_service_hosts: {shop: [DB_01], web: [web01.haus.example, 192.0.2.3]}}
consul_servers:
  hosts:
    web01.haus.example:
      discovery_address: 192.0.2.1
      registrator_service_prefixes: [web]
      consul_template_templates: [{name: shop, source: /srv/shop.ctmpl, destination: /etc/shop/port}]
    DB_01: {discovery_address: 192.0.2.2}
    192.0.2.3: {discovery_address: 192.0.2.3, discovery_node_name: mail}
docker_hosts: {hosts: {web01.haus.example: {}, DB_01: {}}}
load_balancers: {hosts: {192.0.2.3: {}}}
"""
DECLARED = {"web01.haus.example": ["modem-9998", "scanner-*"], "DB_01": [], "192.0.2.3": ["mail"]}
# Role to variables of it.
WANTED = {
    "consul": [
        "__consul_node_name", "__consul_acl_site", "__consul_member_node", "__consul_every_agent", "__consul_inventory_names",
        "__consul_token_config",
    ],
    "balancer": ["__balancer_options", "__balancer_node"],
    "registrator": ["registrator_token_secret", "registrator_clear_token_secret", "registrator_reserved_services"],
    "dockerd": ["__dockerd_inventory_names", "__dockerd_node"],
    "docker_cluster_store": ["__docker_cluster_store_token"],
    "scale": ["__scale_node"],
}  # fmt: skip


def play(host: str, role: str, names: list[str], secrets: Path) -> dict:
    files = [str(ROOT / f"roles/{role}/{part}/main.yml") for part in ("defaults", "vars")]
    site = [str(ROOT / f"playbooks/vars/{name}.yml") for name in ("site", "consul", "status")]
    content = "{{ {" + ", ".join(f"'{name}': {name}" for name in [*names, "site_node", "__status_settings"]) + "} | to_json }}"
    given = {"consul_member_host": "DB_01", "balancer_site_hosts": "{{ site_agents }}", "__status_files": {"files": []},
             "balancer_peers": "{{ site_load_balancers }}", "consul_declared_services": DECLARED,
             "discovery_secrets_dir": str(secrets)}  # fmt: skip
    task = {"ansible.builtin.debug": {"msg": content}, "vars": given}
    return {"hosts": host, "gather_facts": False, "connection": "local", "vars_files": [*files, *site], "tasks": [task]}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> dict:
    """Role to its variables, as web01.haus.example has them."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "hosts.yml").write_text(INVENTORY)
    secrets = folder / "secrets"
    (secrets / "tokens").mkdir(parents=True)
    for component in ("agent", "dns", "declared"):
        (secrets / "tokens" / f"{component}-web01").write_text(f"secret of {component}")
    plays = [play("web01.haus.example", role, names, secrets) for role, names in WANTED.items()]
    (folder / "play.yml").write_text(json.dumps(plays))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", folder / "hosts.yml", folder / "play.yml"]
    environment = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(done.stdout)["plays"][number]["tasks"][0]["hosts"] for number in range(len(WANTED))]
    messages = [next(iter(result.values()))["msg"] for result in results]
    found = [message if isinstance(message, dict) else json.loads(message) for message in messages]
    return dict(zip(WANTED, found, strict=True))


def test_w29_consul_and_tokens(rendered):
    consul = rendered["consul"]
    assert (consul["__consul_node_name"], consul["__consul_member_node"]) == ("web01", "db-01")
    assert consul["__consul_inventory_names"] == ["DNS:web01.haus.example"]
    site = consul["__consul_acl_site"]
    assert site["tokens"]["agent"] == ["web01", "db-01", "mail"] and site["tokens"]["consul_template"] == ["mail"]
    assert site["services"]["registrator"] == {"web01": ["web"], "db-01": []}
    assert site["tokens"]["templates"] == ["web01"] and site["keys"] == {"web01": ["config/"]}
    assert sorted(consul["__consul_every_agent"]) == ["192.0.2.3", "DB_01", "web01.haus.example"], "hosts that Ansible asks"


def test_w18_a_host_that_may_declare_services_has_a_token_for_its_files(rendered):
    """Hosts without a list have none."""
    site, declared = rendered["consul"]["__consul_acl_site"], {"web01": ["modem-9998", "scanner-*"], "mail": ["mail"]}
    assert (sorted(site["tokens"]["declared"]), site["services"]["declared"]) == (sorted(declared), declared)
    assert rendered["consul"]["__consul_token_config"]["acl"]["tokens"] == {
        "agent": "secret of agent", "dns": "secret of dns", "config_file_service_registration": "secret of declared",
    }  # fmt: skip


def test_w29_the_balancer_compares_with_the_catalog(rendered):
    options = rendered["balancer"]["__balancer_options"]
    assert options["node"] == "web01"
    assert options["hosts"] == {"web01": "192.0.2.1", "db-01": "192.0.2.2", "mail": "192.0.2.3"}
    assert options["service_hosts"] == {"shop": ["db-01"], "web": ["web01", "mail"]}


def test_w29_other_roles(rendered):
    registrator = rendered["registrator"]
    assert registrator["registrator_token_secret"] == "tokens/registrator-web01"
    assert registrator["registrator_clear_token_secret"] == "tokens/registrator_clear-web01"
    assert registrator["registrator_reserved_services"] == ["shop"]
    assert rendered["dockerd"]["__dockerd_inventory_names"] == ["web01.haus.example"]
    assert rendered["dockerd"]["__dockerd_node"] == "web01"
    assert rendered["docker_cluster_store"]["__docker_cluster_store_token"] == "tokens/docker-web01"
    assert rendered["scale"]["__scale_node"] == rendered["scale"]["site_node"] == "web01"


def test_w29_the_page_of_the_status(rendered):
    settings = rendered["scale"]["__status_settings"]
    assert settings["hosts"] == settings["servers"] == ["web01", "db-01", "mail"]
    assert (settings["docker_hosts"], settings["balancers"]) == (["web01", "db-01"], ["mail"])


def test_w29_a_run_with_these_names_comes_to_its_hosts(tmp_path):
    """The inventory is accepted; nothing listens on the port, so the first host that is asked ends the run."""
    (tmp_path / "hosts.yml").write_text(INVENTORY.replace("vars: {", "vars: {ansible_host: 127.0.0.1, ansible_port: 1, "))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", ROOT / "site.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 4 and "failed=0" in done.stdout, done.stdout + done.stderr
