#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: floating_address_facts
short_description: Who has the floating addresses of a site, and which router ids of VRRP are in use
description:
  - Asks the network for each address that this host does not know as one of the site's yet, by ARP, and listens to VRRP for as
    long as its routers pause between two advertisements. Where all are known it does neither. Changes nothing.
options:
  addresses:
    description: The floating addresses.
    type: list
    elements: str
    required: true
  router_id:
    description: Router id of the first IPv4 address.
    type: int
    required: true
  peers:
    description: IPv4 addresses of the load balancers, one of which may have a floating address already.
    type: list
    elements: str
    default: []
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Look who has the addresses
  fewnodes.discovery.floating_address_facts:
    addresses: [192.168.0.200]
    router_id: 100
    peers: [192.168.0.129, 192.168.0.130]
  register: found
"""

RETURN = r"""
ours: {description: Floating addresses that the host serves by now., returned: always, type: list, elements: str}
balancers:
  description: The load balancers that the host is configured with, names of nodes to addresses; none before its first run.
  returned: always
  type: dict
answers:
  description: MAC address of each machine that has a floating address and is no load balancer of the site.
  returned: always
  type: dict
heard:
  description: Other routers that advertise themselves by VRRP, each with router_id and source.
  returned: always
  type: list
  elements: dict
configured:
  description: Router ids of a keepalived of the site's own, in C(/etc/keepalived/keepalived.conf).
  returned: always
  type: list
  elements: int
"""

import json
import select
import socket
import struct
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import text
from ansible_collections.fewnodes.discovery.plugins.module_utils.unit import read_json
from ansible_collections.fewnodes.discovery.plugins.module_utils.vrrp import (
    BROADCAST,
    arp_answer,
    arp_probe,
    router_ids,
    vrrp_sender,
)

OPTIONS = "/etc/discovery-floating-address/options.json"
KEEPALIVED = "/etc/keepalived/keepalived.conf"
# Types of Ethernet frames.
ARP = 0x0806
IPV4 = 0x0800
# packet(7)
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_ALLMULTI = 2
PROBES = 3
PROBE_SECONDS = 0.4  # for the answers to one
HEAR_SECONDS = 3.2  # of VRRP version 2, which rounds to seconds, and most of version 3


def link_to(module, address: str) -> str:
    """The interface by which an address is reached without a router; '' for none."""
    code, printed, _errors = module.run_command(["ip", "-json", "route", "get", address])
    try:
        (route,) = json.loads(printed) if code == 0 else [{}]
    except ValueError:
        return ""
    return route.get("dev", "") if "gateway" not in route and route.get("dev") != "lo" else ""


def probed(links: dict[str, str]) -> dict[str, str]:
    """Address to the MAC address of who has it.

    :param links: IPv4 address to the interface that it is asked on
    """
    found: dict[str, str] = {}
    for device in sorted(set(links.values())):
        wanted = [address for address, link in links.items() if link == device]
        mac = bytes.fromhex(text(f"/sys/class/net/{device}/address").strip().replace(":", ""))
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ARP)) as asking:
            asking.bind((device, ARP))
            for _unused in range(PROBES):
                for address in wanted:
                    asking.sendto(arp_probe(mac, address), (device, ARP, 0, 0, BROADCAST))
                for packet in received(asking, PROBE_SECONDS):
                    answer = arp_answer(packet)
                    if answer and answer[0] in wanted:
                        found.setdefault(*answer)
    return found


def received(from_socket, seconds: float):
    """Packets that come within so many seconds."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([from_socket], [], [], left)[0]:
            yield from_socket.recv(2048)


def heard(device: str, peers: list[str]) -> list[dict]:
    """Other routers that advertise themselves on an interface."""
    found: dict[tuple, dict] = {}
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IPV4)) as hearing:
        hearing.bind((device, IPV4))
        everything = struct.pack("iHH8s", socket.if_nametoindex(device), PACKET_MR_ALLMULTI, 0, bytes(8))
        hearing.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, everything)
        for packet in received(hearing, HEAR_SECONDS):
            sender = vrrp_sender(packet)
            if sender and sender["source"] not in peers:
                found[tuple(sender.items())] = sender
    return list(found.values())


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "addresses": {"type": "list", "elements": "str", "required": True},
            "router_id": {"type": "int", "required": True},
            "peers": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    options, known = module.params, read_json(OPTIONS) or {}
    ours = known.get("addresses", [])
    # Others are refused by their form, or asked for by nobody: neighbours of IPv6 are not.
    new = [one for one in options["addresses"] if one not in ours and one.count(".") == 3 and ":" not in one]
    unknown_id = options["router_id"] not in known.get("router_ids", [])
    result: dict = {"ours": ours, "balancers": known.get("balancers", {}), "answers": {}, "heard": []}
    result["configured"] = router_ids(text(KEEPALIVED))
    try:
        if new or unknown_id:
            places = {one: link for one in [*new, *options["peers"]] if (link := link_to(module, one))}
            macs = probed(places) if new else {}
            of_peers = {macs[one] for one in options["peers"] if one in macs}
            result["answers"] = {one: macs[one] for one in new if one in macs and macs[one] not in of_peers}
            devices = sorted(set(places.values())) if unknown_id else []
            result["heard"] = [one for device in devices for one in heard(device, options["peers"])]
    except OSError as error:
        module.fail_json(msg=f"the network cannot be asked for the floating addresses: {error}")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
