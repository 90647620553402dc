#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_facts
short_description: Facts about a host for its firewall
description:
  - Gathers the source of the controller's connection, other firewalls and the bridges of the host, and, on demand, the ports that
    listen and the state of the firewall. Changes nothing.
options:
  listening:
    description: Whether to gather the ports that listen, those that containers publish, and the firewall's state, too.
    type: bool
    default: false
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Gather the facts
  fewnodes.discovery.firewall_facts:
  register: result
"""

RETURN = r"""
firewall:
  description: The facts.
  returned: always
  type: dict
  contains:
    controller:
      description: Address that the connection comes from, and port of this host that it came to; empty and 0 without SSH.
      type: list
    rivals: {description: Units of other firewalls that filter packets., type: list, elements: str}
    bridges:
      description: Bridges, each with name, addresses, and ports (kinds of the links that it joins; empty for a network card).
      type: list
      elements: dict
    listening:
      description: Ports that listen, each with protocol, address, port and program. The protocol C(raw) stands for an IP protocol
        without ports, whose number is the port; of a tunnel of the kernel the program is the link.
      type: list
      elements: dict
    published: {description: "Ports of containers, each with protocol, address, port and container.", type: list, elements: dict}
    loaded: {description: The rules that were confirmed are those in force., type: bool}
    unconfirmed: {description: Rules wait for confirmation., type: bool}
    dropped: {description: Packets dropped since the rules were loaded., type: int}
"""

import json
import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils import nftables
from ansible_collections.fewnodes.discovery.plugins.module_utils.docker_api import DockerApi, dockerd_runs
from ansible_collections.fewnodes.discovery.plugins.module_utils.sockets import COMMAND, LINKS_COMMAND, listeners, tunnels

RIVALS = ("firewalld.service", "ufw.service", "shorewall.service", "ferm.service")
UFW = "/etc/ufw/ufw.conf"
COUNTER = re.compile(r"counter packets (\d+)")


def connection(pid: int, read) -> tuple[str, int]:
    """Source address and destination port of the SSH connection above a process; ('', 0) without one.

    sudo empties the environment, so the first ancestor that still has SSH_CONNECTION (sshd(8)) is read: client's address and
    port, server's address and port.

    :param read: content of a file of /proc by its path, '' when it cannot be read
    """
    while pid > 1:
        for entry in read(f"/proc/{pid}/environ").split("\0"):
            name, _unused, value = entry.partition("=")
            if name == "SSH_CONNECTION" and len(value.split()) == 4:
                parts = value.split()
                return parts[0], int(parts[3])
        parent = re.search(r"^PPid:\s*(\d+)$", read(f"/proc/{pid}/status"), re.MULTILINE)
        pid = int(parent[1]) if parent else 0
    return "", 0


def rivals(states: dict[str, str], ufw: str) -> list[str]:
    """Units of other firewalls that filter packets.

    The unit of ufw is active wherever its package is installed, as on every Ubuntu. Whether it filters is in its file (ufw(8)).

    :param states: unit to its state, as `systemctl is-active` prints it
    :param ufw: content of /etc/ufw/ufw.conf
    """
    idle = [] if re.search(r"^\s*ENABLED\s*=\s*[\"']?yes\b", ufw, re.MULTILINE | re.IGNORECASE) else ["ufw.service"]
    return [unit for unit, state in states.items() if state == "active" and unit not in idle]


def publishers(containers: list[dict]) -> list[dict]:
    """Ports that containers publish, of /containers/json."""
    return [
        {"protocol": port["Type"], "address": port["IP"], "port": port["PublicPort"], "container": one["Names"][0].lstrip("/")}
        for one in containers for port in one.get("Ports") or [] if "PublicPort" in port
    ]  # fmt: skip


def bridges(links: list[dict]) -> list[dict]:
    """The bridges of the host, what they join, and its addresses on them.

    :param links: what `ip -json -details address show` prints
    """
    links = [link for link in links if link]  # older releases of ip leave empty ones in
    kind = {link["ifname"]: link.get("linkinfo", {}).get("info_kind", "") for link in links}
    return [
        {
            "name": one["ifname"],
            "addresses": [entry["local"] for entry in one.get("addr_info", []) if "local" in entry],
            "ports": sorted({kind[port["ifname"]] for port in links if port.get("master") == one["ifname"]}),
        }
        for one in links if kind[one["ifname"]] == "bridge"
    ]  # fmt: skip


def content(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def main():
    module = AnsibleModule(argument_spec={"listening": {"type": "bool", "default": False}}, supports_check_mode=True)
    states = module.run_command(["systemctl", "is-active", *RIVALS])[1].split()
    links = json.loads(module.run_command(list(LINKS_COMMAND), check_rc=True)[1])
    found = {
        "controller": connection(os.getpid(), content),
        "bridges": bridges(links),
        "rivals": rivals(dict(zip(RIVALS, states)), content(UFW)),  # noqa: B905  as long; Python 3.9
    }
    if module.params["listening"]:
        firewall = nftables.Firewall(module)
        shown = module.run_command(list(COMMAND), check_rc=True)[1]
        found.update(
            listening=listeners(shown) + tunnels(links),
            published=publishers(DockerApi().get("/containers/json")) if dockerd_runs() else [],
            loaded=bool(firewall.confirmed) and firewall.in_force() == firewall.listing(firewall.confirmed),
            unconfirmed=firewall.unconfirmed(),
            dropped=sum(map(int, COUNTER.findall(firewall.in_force(counters=True)))),
        )
    module.exit_json(changed=False, firewall=found)


if __name__ == "__main__":
    main()
