#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: dockerd_facts
short_description: Facts about dockerd of a host
description:
  - Reads packages, unit, daemon.json, the running dockerd and its Swarm in one round trip. Changes nothing, and does not start a
    stopped dockerd.
options:
  package:
    description: Package of dockerd that would be installed where there is none.
    type: str
    default: docker.io
  version:
    description: Version of that package to assume while the host's package lists do not name one.
    type: str
    default: ""
  dropin:
    description: File name of the collection's own drop-in of docker.service.
    type: str
    default: 10-discovery.conf
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Gather the facts
  fewnodes.discovery.dockerd_facts:
  register: result

- name: Show its capabilities
  ansible.builtin.debug:
    msg: "{{ result.dockerd.version }}: {{ result.dockerd.overlays | join(', ') }}; {{ result.dockerd.swarm.state }}"
"""

RETURN = r"""
dockerd:
  description: The facts.
  returned: always
  type: dict
  contains:
    installed:
      description: Whether dockerd is installed. If not, package, version and capabilities are those of the candidate.
      type: bool
    package:
      description: Package that it is from, docker.io (the distribution's) or docker-ce; empty for a program without one.
      type: str
    version:
      description: Version of the package, such as V(26.1.5+dfsg1-9+deb13u1); empty when unknown.
      type: str
    overlays:
      description: Values of C(discovery_overlay) that work with it, of none, consul and swarm.
      type: list
      elements: str
    validate:
      description: Whether C(dockerd --validate) checks a file.
      type: bool
    proxies:
      description: Whether it takes C(proxies) from daemon.json.
      type: bool
    binary:
      description: Path of the program; empty without dockerd.
      type: str
    containers:
      description: Number of containers, running or not, of the running dockerd.
      type: int
    storage_driver:
      description: Its storage driver, such as overlay2.
      type: str
    swarm:
      description:
        - The swarm of the running dockerd, with the keys of M(fewnodes.discovery.overlay_facts), without its nodes. The
          state is V(unknown) when no dockerd runs.
      type: dict
    bridges:
      description: Networks of kind bridge of the running dockerd; dicts with name and subnets (list of CIDR).
      type: list
      elements: dict
    config:
      description:
        - Content of daemon.json without users and passwords of URLs, an empty dict when there is none, and none when it cannot be
          read.
      type: dict
    config_error:
      description: Why it cannot be read.
      type: str
    written:
      description: What this collection wrote into daemon.json the last time.
      type: dict
    options:
      description: Content of DOCKER_OPTS in C(/etc/default/docker).
      type: str
    dropins:
      description: Other drop-ins of docker.service that set ExecStart; dicts with path and wins (bool, it comes after ours).
      type: list
      elements: dict
    unit:
      description: Whether docker.service has a unit file.
      type: bool
    packages:
      description: Packages of dockerd that are installed.
      type: list
      elements: str
    held:
      description: Those of them that are held back.
      type: list
      elements: str
    held_here:
      description: Those of these that this collection has held back.
      type: list
      elements: str
    certificate:
      description: Whether the host has a server certificate.
      type: bool
    cluster_store:
      description: Whether the host has a token for the Consul store.
      type: bool
    private_proxies:
      description: Whether the host has a file of proxies for the environment of dockerd.
      type: bool
"""

import contextlib
import glob
import json
import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.docker_api import DockerApi, DockerError
from ansible_collections.fewnodes.discovery.plugins.module_utils.dockerd import capabilities
from ansible_collections.fewnodes.discovery.plugins.module_utils.dockerd_config import DAEMON_JSON, DAEMON_JSON_WRITTEN, masked
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import text
from ansible_collections.fewnodes.discovery.plugins.module_utils.swarm import swarm
from ansible_collections.fewnodes.discovery.plugins.module_utils.unit import shown

PACKAGES = ("docker.io", "docker-ce")
PARTS = (*PACKAGES, "docker-cli", "docker-ce-cli")
BINARIES = ("/usr/sbin/dockerd", "/usr/bin/dockerd", "/usr/local/sbin/dockerd", "/usr/local/bin/dockerd")
RECORD = "/var/lib/dockerd-discovery"
DEFAULTS = "/etc/default/docker"
CERTIFICATE = "/etc/docker/tls/server.pem"
TOKEN = "/etc/docker/consul.env"
PROXIES = "/etc/docker/proxies.env"


def packages(module: AnsibleModule) -> dict[str, tuple[str, bool]]:
    """Installed packages of dockerd: name to version and whether it is held."""
    shown = module.run_command(["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Abbrev}\n", *PARTS])[1]
    rows = [line.split() for line in shown.splitlines()]
    return {row[0]: (row[1], row[2][0] == "h") for row in rows if len(row) == 3 and row[2][1] == "i"}


def candidate(module: AnsibleModule, package: str) -> str:
    """The version that would be installed; '' when the package lists have none."""
    shown = module.run_command(["apt-cache", "policy", package], environ_update={"LC_ALL": "C"})[1]
    found = re.search(r"^\s*Candidate: (\S+)$", shown, re.MULTILINE)
    return found.group(1) if found and found.group(1) != "(none)" else ""


def program(module: AnsibleModule, binary: str) -> dict:
    """Package, version and path of dockerd."""
    installed = packages(module)
    package = next((name for name in PACKAGES if name in installed), "")
    version = installed[package][0] if package else ""
    if binary and not package:
        found = re.search(r"version (\S+),", module.run_command([binary, "--version"])[1])
        version = found.group(1) if found else ""
    if not binary:
        package = module.params["package"]
        version = candidate(module, package) or module.params["version"]
    return {
        "installed": bool(binary),
        "package": package,
        "version": version,
        "binary": binary,
        "packages": sorted(installed),
        "held": sorted(name for name, (_unused, held) in installed.items() if held),
        **capabilities(package, version),
    }


def other_starts(paths: list[str], ours: str) -> list[dict]:
    """Drop-ins of others that set ExecStart; the last by file name wins."""
    found = []
    for path in paths:
        name = os.path.basename(path)
        if name != ours and re.search(r"^\s*ExecStart\s*=\s*\S", text(path), re.MULTILINE):
            found.append({"path": path, "wins": name > ours})
    return found


def running(unit: dict[str, str]) -> dict:
    """State of the running dockerd."""
    found = {"containers": 0, "bridges": [], "swarm": swarm({"Swarm": {"LocalNodeState": "unknown"}}, [])}
    if unit.get("ActiveState") not in ("active", "reloading"):
        return found
    docker = DockerApi()
    try:
        info = docker.get("/info")
        bridges = docker.get("/networks?filters=%7B%22driver%22%3A%5B%22bridge%22%5D%7D")
    except (OSError, DockerError, ValueError):
        return found
    return {
        "containers": info["Containers"],
        "storage_driver": info.get("Driver", ""),
        "bridges": [{"name": network["Name"], "subnets": subnets(network)} for network in bridges],
        "swarm": swarm(info, []),
    }


def subnets(network: dict) -> list[str]:
    """What a network of dockerd takes addresses from, as CIDR."""
    pools = (network.get("IPAM") or {}).get("Config") or []
    return [pool["Subnet"] for pool in pools if pool.get("Subnet")]


def config() -> dict:
    """daemon.json and what we wrote into it."""
    found = {"config": {}, "config_error": "", "written": {}}
    try:
        with open(DAEMON_JSON, encoding="utf-8") as file:
            content = masked(file.read())
        found["config"] = json.loads(content) if content.strip() else {}
        if not isinstance(found["config"], dict):
            found |= {"config": None, "config_error": "it holds no table of settings"}
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        found |= {"config": None, "config_error": str(error)}
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found["written"] = json.loads(masked(text(DAEMON_JSON_WRITTEN)))["written"]
    return found


def options() -> str:
    """DOCKER_OPTS, as the shell file sets it last."""
    found = re.findall(r"^\s*(?:export\s+)?DOCKER_OPTS=(.*)$", text(DEFAULTS), re.MULTILINE)
    return masked(found[-1].strip().strip("'\"").strip()) if found else ""


def main():
    module = AnsibleModule(
        argument_spec={
            "package": {"type": "str", "default": "docker.io"},
            "version": {"type": "str", "default": ""},
            "dropin": {"type": "str", "default": "10-discovery.conf"},
        },
        supports_check_mode=True,
    )
    ours = module.params["dropin"]
    unit = shown(module, "docker.service", "ActiveState", "FragmentPath", "DropInPaths")
    binary = next((path for path in BINARIES if os.access(path, os.X_OK)), "")
    # Also those that systemd has not read yet, and those of a dockerd that is not installed yet.
    waiting = glob.glob("/etc/systemd/system/docker.service.d/*.conf") + glob.glob("/run/systemd/system/docker.service.d/*.conf")
    dropins = sorted({*unit.get("DropInPaths", "").split(), *waiting}, key=os.path.basename)
    dockerd = program(module, binary)
    dockerd |= running(unit) | config()
    dockerd |= {
        "unit": bool(unit.get("FragmentPath")),
        "options": options(),
        "dropins": other_starts(dropins, ours),
        "held_here": [name for name in text(f"{RECORD}/held").split() if name in dockerd["held"]],
        "certificate": os.path.exists(CERTIFICATE),
        "cluster_store": os.path.exists(TOKEN),
        "private_proxies": os.path.exists(PROXIES),
    }
    module.exit_json(changed=False, dockerd=dockerd)


if __name__ == "__main__":
    main()
