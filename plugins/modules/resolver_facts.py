#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: resolver_facts
short_description: Facts of a host's resolver
description:
  - Reads resolv.conf, its managers that are installed or run, and the listeners on port 53, in one round trip. Changes
    nothing.
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Gather the facts of the resolver
  fewnodes.discovery.resolver_facts:
  register: found

- name: Print the writer of resolv.conf
  ansible.builtin.debug:
    msg: "{{ found.resolver.servers | join(', ') }}, by {{ found.resolver.writer }}"
"""

RETURN = r"""
resolver:
  description: Facts of the resolver.
  returned: always
  type: dict
  contains:
    servers:
      description: Name servers that libc queries, in order.
      type: list
      elements: str
    search:
      description: Search list.
      type: list
      elements: str
    options:
      description: Options of resolv.conf.
      type: list
      elements: str
    ours:
      description: Method that this collection has set up, V(dnsmasq) or V(systemd_resolved), or empty.
      type: str
    leads_to:
      description: File that resolv.conf resolves to.
      type: str
    writer:
      description: Program that names itself in resolv.conf as its writer, or empty.
      type: str
    packages:
      description: Installed ones of the packages resolvconf, openresolv, systemd-resolved and dnsmasq-base.
      type: list
      elements: str
    dhcp:
      description: DHCP clients that run.
      type: list
      elements: str
    dhclient_hooks:
      description: Whether the directory of dhclient's hooks exists.
      type: bool
    resolved_ours:
      description: Whether this collection has put systemd-resolved in charge.
      type: bool
    networkd_ours:
      description: Files of this collection that systemd-networkd reads.
      type: list
      elements: str
    networkd:
      description: File of systemd-networkd by interface.
      type: dict
    listeners:
      description: Listeners on port 53; dicts with address, protocol and process (empty when unknown).
      type: list
      elements: dict
"""

import glob
import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import text
from ansible_collections.fewnodes.discovery.plugins.module_utils.resolv_conf import listening, parse_resolv_conf, writer

PACKAGES = ("resolvconf", "openresolv", "systemd-resolved", "dnsmasq-base")
# A method is known by its file; another program may have written resolv.conf since.
OURS = {"dnsmasq": "/etc/discovery-dns.conf", "systemd_resolved": "/etc/systemd/resolved.conf.d/zz-discovery.conf"}
DHCP = ("dhclient", "dhcpcd")


def processes() -> dict[str, str]:
    """Names of the processes by number."""
    return {path.split("/")[2]: text(path).strip() for path in glob.glob("/proc/[0-9]*/comm")}


def holders(names: dict[str, str], inodes: set[str]) -> dict[str, str]:
    """Names of processes by the inode of a socket that they hold."""
    found = {}
    for number, name in names.items():
        try:
            for handle in os.listdir(f"/proc/{number}/fd"):
                inode = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{number}/fd/{handle}"))
                if inode and inode.group(1) in inodes:
                    found[inode.group(1)] = name
        except OSError:
            continue  # the process or its handle has gone
    return found


def listeners(names: dict[str, str]) -> list[dict]:
    sockets = [
        socket
        for protocol in ("udp", "tcp")
        for family in ("", "6")
        for socket in listening(text(f"/proc/net/{protocol}{family}"), protocol)
    ]
    held = holders(names, {socket["inode"] for socket in sockets}) if sockets else {}
    return [
        {"address": socket["address"], "protocol": socket["protocol"], "process": held.get(socket["inode"], "")}
        for socket in sockets
    ]


def installed(module) -> list[str]:
    out = module.run_command(["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Package}\n", *PACKAGES])[1]
    return [line[3:].strip() for line in out.splitlines() if line.startswith(("ii", "hi"))]


def networkd() -> dict[str, str]:
    """File of systemd-networkd by interface."""
    found = {}
    numbers = {name: text(f"/sys/class/net/{name}/ifindex").strip() for name in os.listdir("/sys/class/net")}
    for path in glob.glob("/run/systemd/netif/links/*"):
        file = re.search(r"^NETWORK_FILE=(.+)$", text(path), re.MULTILINE)
        interface = next((name for name, number in numbers.items() if number == os.path.basename(path)), "")
        if file and interface:
            found[interface] = file.group(1)
    return found


def main():
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    names = processes()
    content = text("/etc/resolv.conf")
    resolver = {
        **parse_resolv_conf(content),
        "ours": next((method for method, path in OURS.items() if os.path.exists(path)), ""),
        "leads_to": os.path.realpath("/etc/resolv.conf"),
        "writer": writer(content),
        "packages": installed(module),
        "dhcp": sorted(set(names.values()) & set(DHCP)),
        "dhclient_hooks": os.path.isdir("/etc/dhcp/dhclient-enter-hooks.d"),
        "resolved_ours": os.path.exists(OURS["systemd_resolved"]),
        "networkd_ours": sorted(glob.glob("/etc/systemd/network/*.d/10-discovery.conf")),
        "networkd": networkd(),
        "listeners": listeners(names),
    }
    module.exit_json(changed=False, resolver=resolver)


if __name__ == "__main__":
    main()
