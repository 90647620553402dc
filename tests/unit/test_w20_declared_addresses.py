"""W20: who a host is comes from declared addresses; a further address on it, such as a floating one, changes nothing."""

import json
import re
import subprocess
import sys
from pathlib import Path

from ansible_collections.fewnodes.discovery.plugins.module_utils.dockerd import State, pending

ROOT = Path(__file__).parents[2]
INVENTORY = """
docker_hosts:
  vars: {discovery_domain: haus.example}
  hosts: {a: {discovery_address: 192.0.2.1}, b: {discovery_address: 192.0.2.2}}
"""
# What of the roles reads the addresses that a host has now, and why that is none of its identity.
PRESENT = re.compile(r"host_addresses|all_ipv4_addresses|all_ipv6_addresses|ipv4_secondaries|discovery[.]found_resolvers")
READERS = {
    "roles/consul/defaults/main.yml": "that a name server is not the host itself, before the resolver has its own",
    "roles/consul/tasks/preflight/hosts.yml": "that the declared one is there",
    "roles/consul_dns/vars/main.yml": "that a name server is not the host itself, before the resolver has its own",
    "roles/dockerd/vars/main.yml": "which undeclared ones a certificate of an earlier version may have",
}
RENDERED = "{{ {'names': __dockerd_certificate_san, 'spare': __dockerd_certificate_spare_san} | to_json }}"


def facts(*addresses: str) -> dict:
    """Facts of a host with these addresses on one interface."""
    first, *others = [{"address": address} for address in addresses]
    eth0 = {"device": "eth0", "ipv4": first, "ipv4_secondaries": others}
    return {"hostname": "a", "interfaces": ["lo", "eth0"], "eth0": eth0, "cacheable": True}


def rendered(folder: Path, *addresses: str) -> dict:
    """The names in the certificate of a host with these addresses."""
    (folder / "hosts.yml").write_text(INVENTORY)
    files = [str(ROOT / f"roles/dockerd/{part}/main.yml") for part in ("defaults", "vars")]
    show = {"ansible.builtin.debug": {"msg": RENDERED}, "vars": {"dockerd_peers": ["a", "b"]}}
    tasks = [{"ansible.builtin.set_fact": facts(*addresses)}, show]
    play = {"hosts": "a", "gather_facts": False, "connection": "local", "vars_files": files, "tasks": tasks}
    (folder / "play.yml").write_text(json.dumps([play]))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", folder / "hosts.yml", folder / "play.yml"]
    environment = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    message = json.loads(done.stdout)["plays"][0]["tasks"][1]["hosts"]["a"]["msg"]
    return message if isinstance(message, dict) else json.loads(message)


def test_w20_a_floating_address_is_not_in_dockerd_s_certificate(tmp_path):
    before, after = rendered(tmp_path, "192.0.2.1"), rendered(tmp_path, "192.0.2.1", "192.0.2.200")
    assert before["names"] == after["names"]
    assert [name for name in after["names"] if name.startswith("IP:")] == ["IP:192.0.2.1", "IP:127.0.0.1"]


def test_w20_an_address_that_another_host_declares_is_never_spare(tmp_path):
    assert rendered(tmp_path, "192.0.2.1", "192.0.2.2", "192.0.2.200")["spare"] == ["IP:192.0.2.200"]


def test_w20_these_read_the_addresses_that_a_host_has_now():
    files = [path for path in (ROOT / "roles").rglob("*") if path.suffix in (".yml", ".j2")]
    assert sorted(str(path.relative_to(ROOT)) for path in files if PRESENT.search(path.read_text())) == sorted(READERS)


def test_w20_the_same_certificate_restarts_nobody():
    files = {"/etc/docker/tls/server.pem": "one"}
    same = State(active=True, config={"tlsverify": True}, started={"tlsverify": True}, files=files, started_files=files)
    assert pending(same) == ("none", [])
