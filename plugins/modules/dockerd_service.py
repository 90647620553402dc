#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: dockerd_service
short_description: Make dockerd run with what its files hold, and wait until its host is healthy
description:
  - Finds out whether dockerd of this host has to be started, reloaded or restarted, and reloads or restarts it.
  - The unit records what dockerd was started with in C(/run/dockerd-discovery), so an interrupted run is resumed
    by the next one, and a reboot counts as a restart.
  - After a restart the module waits until dockerd answers, every container that returns by itself runs, and every service
    of this host's agent of Consul that passed before passes again, those of containers with the address they have now.
  - Requests to the agent carry the DNS token of the host; without an agent the module waits for containers only.
options:
  state:
    description:
      - V(probed) changes nothing and returns the action.
      - V(reloaded) makes dockerd read its file again.
      - V(restarted) restarts it.
    type: str
    choices: [probed, reloaded, restarted]
    default: probed
  node:
    description: Name of the host, for messages.
    type: str
    required: true
  site:
    description:
      - Addresses of the site's docker hosts, for V(state=probed). Name servers of containers that are among them may wait for
        the next start of dockerd.
    type: list
    elements: str
    default: []
  timeout:
    description: How long to wait for each condition, in seconds.
    type: int
    default: 120
attributes:
  check_mode:
    description: Predicts the change and does nothing.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Compare dockerd with its files
  fewnodes.discovery.dockerd_service:
    node: consul-1
  register: probe

- name: Restart dockerd
  fewnodes.discovery.dockerd_service:
    state: restarted
    node: consul-1
  when: probe.action == 'restart'
"""

RETURN = r"""
action:
  description: The action, none, start, reload or restart.
  type: str
  returned: when probed
reasons:
  description: The reasons, as names of settings and files.
  type: list
  elements: str
  returned: when probed
forward:
  description: Whether dockerd needs the kernel to forward packets, and somebody has switched that off since its start.
  type: bool
  returned: when probed
seconds:
  description: How long the restart took until the host was healthy again.
  type: float
  returned: when restarted
left:
  description: Containers that ran before and do not return by themselves.
  type: list
  elements: str
  returned: when restarted
"""

import glob
import hashlib
import json
import os
import shutil
import time
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils import dockerd as core
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_agent import passing
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import Api, ApiError, wait_until
from ansible_collections.fewnodes.discovery.plugins.module_utils.docker_api import DockerApi, DockerError
from ansible_collections.fewnodes.discovery.plugins.module_utils.dockerd_config import (
    DAEMON_JSON,
    DAEMON_JSON_LOADED,
    DAEMON_JSON_STARTED,
)
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import text
from ansible_collections.fewnodes.discovery.plugins.module_utils.host_needs import FORWARD, forwarding_lost
from ansible_collections.fewnodes.discovery.plugins.module_utils.unit import journal, read_json, shown

UNIT = "docker.service"
RECORD = "/run/dockerd-discovery"
# What the drop-in takes the checksums of (templates/10-discovery.conf.j2 of the role dockerd).
FILES = (
    "/etc/docker/tls/*.pem", "/etc/docker/tls/*.key", "/etc/docker/*.env",
    "/etc/systemd/system/docker.service.d/10-discovery.conf",
)  # fmt: skip
AGENT_TOKENS = "/etc/consul.d/tokens.json"


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["probed", "reloaded", "restarted"], "default": "probed"},
            "node": {"type": "str", "required": True},
            "site": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    if state == "probed":
        found = read_state(module)
        action, reasons = core.pending(found, module.params["site"])
        forward = forwarding_lost(action, found.started or found.config, text(FORWARD))
        predicted = module.check_mode and (action != "none" or forward)
        module.exit_json(changed=predicted, action=action, reasons=reasons, forward=forward)
    if module.check_mode:
        module.exit_json(changed=True)
    if state == "reloaded":
        reload(module)
        module.exit_json(changed=True)
    begin = time.monotonic()
    left = Restart(module).run()
    if left:
        module.warn(f"on {module.params['node']} these containers do not start again by themselves: {', '.join(left)}")
    module.exit_json(changed=True, seconds=round(time.monotonic() - begin, 1), left=left)


def read_state(module: AnsibleModule) -> core.State:
    """dockerd as its host shows it."""
    unit = shown(module, UNIT, "ActiveState", "MainPID", "NeedDaemonReload", "UnitFileState")
    if unit["ActiveState"] not in ("active", "reloading"):
        return core.State(active=False)
    try:
        program = os.readlink(f"/proc/{unit['MainPID']}/exe")
    except OSError:
        program = ""
    return core.State(
        active=True,
        enabled=unit["UnitFileState"] == "enabled",
        program=program,
        reload_units=unit["NeedDaemonReload"] == "yes",
        config=read_json(DAEMON_JSON),
        started=read_json(DAEMON_JSON_STARTED),
        loaded=read_json(DAEMON_JSON_LOADED),
        files={path: checksum(path) for pattern in FILES for path in glob.glob(pattern)},
        started_files=sums(f"{RECORD}/started.sum"),
    )


def checksum(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def sums(path: str) -> dict[str, str] | None:
    """What sha256sum wrote: path to checksum."""
    try:
        with open(path, encoding="utf-8") as file:
            return {line[66:].rstrip("\n"): line[:64] for line in file}
    except OSError:
        return None


def reload(module: AnsibleModule) -> None:
    """By SIGHUP; dockerd confirms it by an event, and logs the reason of a failure."""
    docker = DockerApi()
    begin = time.time()
    module.run_command(["systemctl", "reload", UNIT], check_rc=True)
    filters = quote(json.dumps({"type": ["daemon"], "event": ["reload"]}))

    def reloaded() -> str:
        events = docker.get(f"/events?since={begin:.6f}&until={time.time():.6f}&filters={filters}")
        return "" if events else "no event"

    missing = tried(reloaded, 10)
    if missing:
        fail(module, f"it has not loaded its new configuration: {missing}")
    os.umask(0o077)
    shutil.copyfile(DAEMON_JSON, DAEMON_JSON_LOADED)


def tried(probe, seconds: float) -> str:
    """Wait for a probe; an error of dockerd counts as missing."""

    def careful() -> str:
        try:
            return probe()
        except DockerError as error:
            return f"dockerd's API: {error}"

    return wait_until(careful, seconds)


class Restart:
    """One restart, from the state before it to the last service that passes again."""

    def __init__(self, module: AnsibleModule):
        self.module = module
        self.docker = DockerApi(timeout=10)
        tokens = (read_json(AGENT_TOKENS) or {}).get("acl", {}).get("tokens", {})
        self.agent = Api(tokens.get("dns", ""), timeout=5)

    def run(self) -> list[str]:
        """Restart; the containers that ran before and do not return by themselves."""
        before = self.state_before()
        if shown(self.module, UNIT, "NeedDaemonReload")["NeedDaemonReload"] == "yes":
            self.module.run_command(["systemctl", "daemon-reload"], check_rc=True)
        code, _unused, error = self.module.run_command(["systemctl", "restart", UNIT])
        if code:
            fail(self.module, f"it did not start: {error.strip()}")
        self.wait(lambda: "" if self.docker.get("/info") else "no answer", "it does not answer")
        if before is None:
            return []
        self.wait(lambda: core.not_yet(before, self.now()), "after its restart")
        running = {core.name_of(container) for container in self.docker.containers(running=True)}
        return sorted(before["all"] - running)

    def state_before(self) -> dict | None:
        """Containers and services before the restart; None when dockerd does not answer: then a restart cannot do harm."""
        if shown(self.module, UNIT, "ActiveState")["ActiveState"] not in ("active", "reloading"):
            return None
        try:
            containers = self.steady()
        except (OSError, DockerError):
            return None
        back = {core.name_of(container) for container in containers if core.returning(container)}
        every = {core.name_of(container) for container in containers}
        return {"containers": back, "all": every, **self.services(containers, missing_ok=True)}

    def steady(self) -> list[dict]:
        """The running containers, without those that restart again and again."""
        return [found for found in self.docker.containers(running=True) if not found["State"]["Restarting"]]

    def now(self) -> dict:
        containers = self.steady()
        return {"containers": {core.name_of(container) for container in containers}, **self.services(containers)}

    def services(self, containers: list[dict], missing_ok: bool = False) -> dict:
        """Services of the agent that pass, and the containers they belong to."""
        if not os.path.exists(AGENT_TOKENS):
            return {"passing": set(), "owners": {}}
        try:
            services, checks = self.agent.get("/v1/agent/services"), self.agent.get("/v1/agent/checks")
        except (OSError, ApiError):
            if missing_ok:
                return {"passing": set(), "owners": {}}
            raise
        return {"passing": passing(services, checks), "owners": core.owners(services, containers)}

    def wait(self, probe, what: str) -> None:
        missing = tried(probe, self.module.params["timeout"])
        if missing:
            fail(self.module, f"{what}, for {self.module.params['timeout']} s: {missing}")


def fail(module: AnsibleModule, problem: str) -> None:
    module.fail_json(
        msg=f"Docker on {module.params['node']}: {problem}."
        " The hosts after it are unchanged; run again when this is repaired.",
        journal=journal(module, UNIT),
    )


if __name__ == "__main__":
    main()
