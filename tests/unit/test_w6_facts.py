"""Facts that another play has gathered, or a cache holds, change nothing: the roles gather their own in every run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
host_addresses = FilterModule().filters()["host_addresses"]
GONE = {"device": "br-shop", "type": "bridge", "ipv4": {"address": "203.0.113.9"}, "ipv4_secondaries": []}
# What a run of last week has left: an interface that is gone, another release, other name servers.
CACHE = {
    "all_ipv4_addresses": ["203.0.113.9"], "br_shop": GONE, "interfaces": ["lo", "br-shop"],
    "dns": {"nameservers": ["203.0.113.53"]},
    "distribution": "Debian", "distribution_major_version": "9", "hostname": "old", "common_host": {"packages": ["consul"]},
    "common_checked": ["firewall", "consul"], "architecture": "aarch64",
}  # fmt: skip
FALSE = (False, "{{ false | fewnodes.discovery.whole_run }}")
CACHING = """
- hosts: node
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact: %s
"""
PLAYS = """
- hosts: node
  gather_facts: true
  gather_subset: ['!all', min]
  tasks:
    - ansible.builtin.set_fact: {seen_first: "{{ ansible_facts.all_ipv4_addresses }}"}
- hosts: node
  gather_facts: false
  tasks: &gather
    - ansible.builtin.import_tasks: %(root)s/playbooks/tasks/facts.yml
    - ansible.builtin.copy:
        content: "{{ {'first': seen_first, 'users': common_host.users, 'addresses': ansible_facts['all_ipv4_addresses'],
          'dns': ansible_facts['dns'], 'reached': ansible_facts | fewnodes.discovery.host_addresses,
          'release': ansible_facts['distribution_major_version'], 'hostname': ansible_facts['hostname'],
          'architecture': ansible_facts['architecture']} | to_json }}"
        dest: "{{ folder }}/{{ round | default('one') }}.json"
        mode: "0600"
- hosts: node
  gather_facts: false
  tasks:
    - ansible.builtin.meta: clear_facts
- hosts: node
  gather_facts: false
  vars: {round: two}
  tasks: *gather
"""
# The subset that gathers each fact which the roles read.
SUBSETS = {
    "all_ipv4_addresses": "network", "architecture": "platform", "default_ipv4": "network", "dns": "dns", "hostname": "platform",
    "interfaces": "network", "distribution": "distribution", "distribution_major_version": "distribution",
    "distribution_version": "distribution", "os_family": "distribution", "service_mgr": "service_mgr", "python": "python",
    "system": "platform",
}  # fmt: skip


def test_w6_an_interface_that_only_a_cache_knows_is_none_of_the_host():
    """Its address would come into dockerd's certificate, which would restart dockerd."""
    facts = {"interfaces": ["lo", "eth0"], "eth0": {"device": "eth0", "ipv4": {"address": "192.0.2.1"}}, "br_shop": GONE}
    assert host_addresses(facts) == ["192.0.2.1"]


def test_w6_facts_of_a_cache_and_of_a_play_before_change_nothing(tmp_path):
    facts = {f"ansible_{name}": value for name, value in CACHE.items()} | {"cacheable": True}
    (tmp_path / "cache.yml").write_text(CACHING % json.dumps(facts))
    (tmp_path / "play.yml").write_text(PLAYS % {"root": ROOT})
    environment = {
        **os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "cache"), "ANSIBLE_GATHERING": "smart",
    }  # fmt: skip
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "node,", "-c", "local", tmp_path / "cache.yml"]
    command += [tmp_path / "play.yml"]
    command += ["-e", f"folder={tmp_path} ansible_python_interpreter={sys.executable} discovery_domain=site.example"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("one", "two"):
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert found["first"] == ["203.0.113.9"], "the case is none: the cache was not read"
        assert "203.0.113.9" not in [*found["addresses"], *found["reached"]], name
        assert found["dns"].get("nameservers") != ["203.0.113.53"]
        assert found["release"] != "9" and found["hostname"] == os.uname().nodename.partition(".")[0]
        assert found["architecture"] == os.uname().machine
        assert "root" in found["users"], "the fact common_host of the cache counts"


def test_w6_every_fact_that_is_read_is_gathered():
    """Another play, or a cache, may have it or not."""
    (gather,) = [
        task["ansible.builtin.setup"]["gather_subset"]
        for task in parse_yaml((ROOT / "roles/common/tasks/facts_gather.yml").read_text())
        if "ansible.builtin.setup" in task
    ]
    read = set()
    for path in [*(ROOT / "roles").rglob("*"), *(ROOT / "playbooks").rglob("*.yml")]:
        if path.is_file() and path.suffix in (".yml", ".j2"):
            read |= set(re.findall(r"ansible_facts(?:\.|\[['\"])(\w+)", path.read_text()))
    for path in [ROOT / "plugins/plugin_utils" / f"{name}.py" for name in ("distributions", "host", "host_addresses")]:
        read |= set(re.findall(r"\bfacts(?:\.get\(|\[)['\"](\w+)['\"]", path.read_text()))
    assert {"all_ipv4_addresses", "dns", "hostname", "distribution"} <= read
    assert sorted(read - set(SUBSETS)) == [], "name its subset here, and gather it in roles/common/tasks/facts_gather.yml"
    assert {SUBSETS[name] for name in read} <= set(gather)


def test_w6_no_play_leaves_gathering_to_the_settings_of_ansible():
    for path in [*sorted((ROOT / "playbooks").glob("*.yml")), ROOT / "site.yml"]:
        for play in parse_yaml(path.read_text()):
            assert "ansible.builtin.import_playbook" in play or play["gather_facts"] in FALSE, f"{path.name}: {play.get('name')}"
