#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_facts
short_description: Facts about a host for an overlay network
description:
  - Gathers the swarm of the host's dockerd, its networks, and the host's routes. A host whose dockerd does not run has none of
    the first two. Changes nothing, and does not start a stopped dockerd.
options:
  address:
    description: Address of the host that the others reach.
    type: str
    default: ""
  wait:
    description: How long to retry while an answer of dockerd is missing, in seconds. A swarm needs some to find a leader.
    type: int
    default: 20
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Gather the facts
  fewnodes.discovery.overlay_facts:
    address: 192.0.2.1
  register: result
"""

RETURN = r"""
overlay:
  description: The state of the host.
  returned: always
  type: dict
  contains:
    dockerd: {description: dockerd runs., type: bool}
    problem: {description: Why an answer of dockerd is missing; empty when none is., type: str}
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
"""

import ipaddress  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from collections.abc import Mapping  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.docker_api import DockerApi, DockerError, dockerd_runs  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.swarm import swarm  # noqa: E402

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


def network(entry: Mapping) -> dict:
    """One entry of /networks."""
    return {
        "name": entry["Name"],
        "id": entry["Id"],
        "driver": entry["Driver"],
        "scope": entry["Scope"],
        "attachable": bool(entry.get("Attachable")),
        "subnets": [config["Subnet"] for config in (entry.get("IPAM") or {}).get("Config") or [] if config.get("Subnet")],
        "options": dict(entry.get("Options") or {}),
    }


def overlay_state(docker: DockerApi) -> dict:
    """Networks and swarm of dockerd; `problem` when an answer is missing."""
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
            "wait": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    state = {"dockerd": False, "problem": "", "swarm": swarm({}, []), "networks": [], "pools": []}
    if dockerd_runs():
        end = time.monotonic() + module.params["wait"]
        while (state := overlay_state(DockerApi(timeout=60)))["problem"] and time.monotonic() < end:
            time.sleep(1)
    with open("/proc/net/route", encoding="ascii") as file:
        state["routes"] = routes(file.read())
    shown = json.loads(module.run_command(["ip", "-j", "-4", "address", "show"], check_rc=True)[1])
    state["mtu"] = mtu(shown, module.params["address"])
    module.exit_json(changed=False, overlay=state)


if __name__ == "__main__":
    main()
