"""The methods of consul_dns: which host has which, plays that change it, and the state of a host's resolver."""

import difflib
import json
import re

import yaml
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.resolver_methods import METHODS

from tests.support.playbook import play

MANAGERS = {"systemd_resolved": "systemd-resolved", "dnsmasq": "discovery-dns"}
REFRESH = {"resolvconf": "resolvconf -u", **{method: f"systemctl restart {unit}" for method, unit in MANAGERS.items()}}
FIRST = {"resolvconf": "127.0.0.1", "systemd_resolved": "127.0.0.53", "dnsmasq": "127.0.0.2"}
# All that a change may touch. Package lists and logs are not of it.
STATE = r"""
stat -c '%A %N' /etc/resolv.conf; cat /etc/resolv.conf
find /etc/resolvconf /etc/systemd /etc/discovery-dns.conf /etc/dhcp /etc/NetworkManager -type f -o -type l 2>/dev/null | sort |
    xargs -r sha256sum 2>/dev/null
dpkg-query --show --showformat='${db:Status-Abbrev} ${Package} ${Version}\n'
for unit in systemd-resolved discovery-dns discovery-resolved-link resolvconf; do
    systemctl show $unit -p Id,LoadState,ActiveState,UnitFileState
done
"""


def method_of(node) -> str:
    """The method that a host of the scenario has by its inventory."""
    (method,) = set(METHODS) & set(node.variables["group_names"])
    return method


def another(node, step: int) -> str:
    """The method that comes `step` places after the host's own."""
    return METHODS[(METHODS.index(method_of(node)) + step) % len(METHODS)]


def state(node) -> str:
    """How the resolver of a host is: files, link, packages, units."""
    return node.run(STATE)


def differences(before: str, after: str) -> list[str]:
    """Lines that have gone (-) and come (+)."""
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[:1] in "-+"]


def dns(site, folder, *options, hosts=None, **variables):
    """Run the play of names; what it printed, by host, and how it ended.

    :param folder: where the variables are written
    :param hosts: host to variables of its own
    :param variables: of all hosts
    """
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts or {}}}))
    (folder / "all.yml").write_text(json.dumps(variables))
    return play(site, "playbooks/dns.yml", "-i", folder / "hosts.yml", "-e", f"@{folder}/all.yml", *options)[0]


def changed(done) -> dict[str, int]:
    """Host to the number of tasks that changed it; every host got to the end."""
    found = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", done.stdout, re.MULTILINE)
    assert found and not any(int(away) + int(failed) for _, _, away, failed in found), done.stdout[-4000:] + done.stderr
    return {host: int(count) for host, count, _, _ in found}


def servers(node) -> list[str]:
    """What libc asks."""
    return re.findall(r"^nameserver (\S+)", node.run("cat /etc/resolv.conf"), re.MULTILINE)
