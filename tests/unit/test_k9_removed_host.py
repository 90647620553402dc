"""A host that leaves the site resolves names as before it came: by the site's name servers alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles/consul_dns"
STATE = {
    "dnsmasq": {"ours": "dnsmasq", "leads_to": "/etc/resolv.conf", "servers": ["127.0.0.2", "127.0.0.1", "192.0.2.53"]},
    "foreign": {"ours": "", "leads_to": "/etc/resolv.conf", "servers": ["127.0.0.1"]},
    "resolvconf": {"ours": "", "leads_to": "/run/resolvconf/resolv.conf", "servers": ["127.0.0.1", "192.0.2.53"]},
}


def steps() -> list[tuple[str, dict]]:
    """(role/entry point, task) of the play that removes the host, in order."""
    play = parse_yaml((ROOT / "playbooks/remove_node.yml").read_text())[1]
    tasks = [(one, task) for task in play["tasks"] for one in task.get("block", [task])]
    called = [(one.get("ansible.builtin.include_role"), task) for one, task in tasks]
    return [(f"{role['name']}/{role['tasks_from']}", task) for role, task in called if role]


def test_k9_a_removed_host_has_its_resolver_before_its_agent_ends():
    """Not earlier than it is sure that the host may leave, and on no other host."""
    names = [name for name, _ in steps()]
    found = names.index("consul_dns/reset")
    assert names.index("consul/member/maintenance") < found < names.index("consul/member/remove")
    assert steps()[found][1]["when"] == "inventory_hostname == consul_member_host"
    assert steps()[found][1]["rescue"], "a host that reaches no name server could not be removed"


def test_k9_a_reset_gives_the_resolver_back_before_consul_goes():
    scopes = parse_yaml((ROOT / "playbooks/reset.yml").read_text())[0]["vars"]["__reset_scopes"]["all"]
    assert scopes.index("consul_dns") < scopes.index("consul")


@pytest.mark.parametrize(("state", "settings", "servers"), [
    ("foreign", {}, None),
    ("dnsmasq", {}, ["192.0.2.53", "192.0.2.54"]),
    ("dnsmasq", {"discovery_resolvers": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}, ["192.0.2.1", "192.0.2.2"]),
    ("resolvconf", {}, ["192.0.2.53", "192.0.2.54"]),
])  # fmt: skip
def test_k9_the_resolver_asks_the_name_servers_of_the_site(tmp_path, state, settings, servers):
    """All that its files name; resolv.conf has the first. A resolvconf stays in charge, with them as its base, and so does a
    program of others at the loopback address."""
    (task,) = [one for one in parse_yaml((ROLE / "tasks/reset.yml").read_text()) if "fewnodes.discovery.resolver" in one]
    facts = {"resolver": STATE[state] | {"search": [], "networkd_ours": [], "resolved_ours": False}}
    (tmp_path / "templates").symlink_to(ROLE / "templates")
    copy = {"content": "{{ made | to_json }}", "dest": str(tmp_path / "made.json")}
    play = {
        "hosts": "localhost", "connection": "local", "gather_facts": False,
        "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
        "vars": settings | task["vars"] | {
            "common_host": {"resolvers": [] if servers is None else ["192.0.2.53", "192.0.2.54"]}, "__consul_dns_facts": facts,
            "made": task["fewnodes.discovery.resolver"],
        },
        "tasks": [{"ansible.builtin.copy": copy, "when": task["when"]}],
    }  # fmt: skip
    (tmp_path / "play.json").write_text(json.dumps([play]))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", tmp_path / "play.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    if servers is None:
        assert not (tmp_path / "made.json").exists()
        return
    made = json.loads((tmp_path / "made.json").read_text())
    linked = state == "resolvconf"
    assert made["link"] == ("../run/resolvconf/resolv.conf" if linked else "")
    written = made["bridge"] if linked else made["resolv_conf"]
    assert [line for line in written.splitlines() if line.startswith("nameserver")] == [f"nameserver {one}" for one in servers]
    assert made["resolvers"][:2] == servers
