#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_facts
short_description: What a host says before an overlay network is made
description:
  - Tells the swarm that the host's dockerd is in, dockerd's networks, the host's routes, and whether the filter of the
    overlay network's ports is loaded. A host whose dockerd does not run has none of the first two. Nothing is changed, and a
    stopped dockerd is not started.
options:
  address:
    description: Address of the host that the others reach.
    type: str
    default: ""
  table:
    description: Name of the nftables table that is looked for, in the family inet.
    type: str
    default: discovery_overlay
  wait:
    description: How long to ask again while dockerd does not tell all, in seconds. A swarm needs some to find a leader.
    type: int
    default: 20
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: See what dockerd knows
  fewnodes.discovery.overlay_facts:
    address: 192.0.2.1
  register: seen
"""

RETURN = r"""
overlay:
  description: The state of the host.
  returned: always
  type: dict
  contains:
    dockerd: {description: dockerd runs., type: bool}
    problem: {description: Why it does not tell what it should; empty when it does., type: str}
    swarm:
      description:
        - The keys state (inactive, pending, active, error or locked), error, node (id), address, manager (bool), cluster
          (id; empty when the host is no manager), managers (addresses) and nodes (only a manager knows them). A node has
          id, host, address, manager and ready.
      type: dict
    networks:
      description: Networks of dockerd, each with name, id, driver, scope, attachable, subnets and options.
      type: list
      elements: dict
    pools: {description: Networks that dockerd is configured to take subnets from., type: list, elements: str}
    routes: {description: IPv4 routes except the default one., type: list, elements: dict}
    mtu: {description: Largest packet of the device that has the address; 0 where none has., type: int}
    nft: {description: The program nft is there., type: bool}
    filter: {description: The table is loaded., type: bool}
"""

import ipaddress  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import time  # noqa: E402
from collections.abc import Mapping  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.docker_api import SOCKET, DockerApi, DockerError  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.swarm import swarm  # noqa: E402

NFT = "/usr/sbin/nft"
UP = 1  # flag of a route, as in linux/route.h


def routes(text: str) -> list[dict]:
    """IPv4 routes except the default one.

    :param text: /proc/net/route: a line of headers, then device, destination, gateway, flags, …, mask (the eighth), each
        address as hexadecimal digits in the host's byte order
    :returns: dicts with network (CIDR) and device
    """
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        target, mask = (ipaddress.IPv4Address(bytes.fromhex(fields[n])[::-1]) for n in (1, 7))
        network = ipaddress.IPv4Network(f"{target}/{mask}")
        if int(fields[3], 16) & UP and network.prefixlen:
            found.append({"network": str(network), "device": fields[0]})
    return found


def mtu(shown: list[Mapping], address: str) -> int:
    """The MTU of the device that has an address; 0 where none has.

    :param shown: what `ip -j -4 address show` prints
    """
    return next((one["mtu"] for one in shown for info in one["addr_info"] if info.get("local") == address), 0)


def network(told: Mapping) -> dict:
    """One entry of /networks."""
    return {
        "name": told["Name"],
        "id": told["Id"],
        "driver": told["Driver"],
        "scope": told["Scope"],
        "attachable": bool(told.get("Attachable")),
        "subnets": [config["Subnet"] for config in (told.get("IPAM") or {}).get("Config") or [] if config.get("Subnet")],
        "options": dict(told.get("Options") or {}),
    }


def overlay_state(docker: DockerApi) -> dict:
    """What dockerd tells; `problem` when it does not tell all."""
    found = {"dockerd": False, "problem": "", "swarm": swarm({}, []), "networks": [], "pools": []}
    try:
        info = docker.get("/info")
        found.update(
            dockerd=True,
            swarm=swarm(info, []),
            pools=[pool["Base"] for pool in info.get("DefaultAddressPools") or []],
        )
        if found["swarm"]["manager"]:
            found["swarm"] = swarm(info, docker.get("/nodes"))
        found["networks"] = [network(one) for one in docker.get("/networks") or []]
    except (DockerError, OSError) as error:
        found["problem"] = f"{type(error).__name__}: {error}"
    return found


def main():
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "default": ""},
            "table": {"type": "str", "default": "discovery_overlay"},
            "wait": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    state = {"dockerd": False, "problem": "", "swarm": swarm({}, []), "networks": [], "pools": []}
    # A request to the socket would start stopped dockerd.
    if os.path.exists(SOCKET) and module.run_command(["systemctl", "is-active", "--quiet", "docker.service"])[0] == 0:
        end = time.monotonic() + module.params["wait"]
        while (state := overlay_state(DockerApi(timeout=60)))["problem"] and time.monotonic() < end:
            time.sleep(1)
    with open("/proc/net/route", encoding="ascii") as file:
        state["routes"] = routes(file.read())
    shown = json.loads(module.run_command(["ip", "-j", "-4", "address", "show"], check_rc=True)[1])
    state["mtu"] = mtu(shown, module.params["address"])
    state["nft"] = os.path.exists(NFT)
    state["filter"] = state["nft"] and module.run_command([NFT, "list", "table", "inet", module.params["table"]])[0] == 0
    module.exit_json(changed=False, overlay=state)


if __name__ == "__main__":
    main()
