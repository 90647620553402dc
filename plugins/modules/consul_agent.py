from __future__ import annotations

DOCUMENTATION = r"""
module: consul_agent
short_description: Make a running Consul agent apply its files, without loss of quorum
description:
  - Compares the running agent of this host with its files, and reloads or restarts it.
  - The unit records what the agent was started and last reloaded with in C(/run/consul), so a play that was
    interrupted is resumable, and a reboot counts as a restart.
  - A server is restarted only while the others keep a quorum without it; a leader hands its leadership over first.
    Afterwards the module waits until the server is a voter again, has applied the log up to where it was, all servers
    are healthy, and every service of this node that passed before passes again.
options:
  state:
    description:
      - V(probed) changes nothing and reports the action that is needed.
      - V(reloaded) makes the agent read its files again.
      - V(restarted) restarts it.
    type: str
    choices: [probed, reloaded, restarted]
    default: probed
  node:
    description: Name of the agent's node.
    type: str
    required: true
  address:
    description: Address of the agent, as the others know it.
    type: str
    required: true
  server:
    description: Whether the agent is a server.
    type: bool
    default: false
  token:
    description:
      - SecretID with the rights to write the agent, and to read its node and its services, such as that of the agent itself. For
        V(state=restarted) of a server it has operator write, too.
    type: str
    default: ""
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
- name: Compare the agent with its files
  fewnodes.discovery.consul_agent:
    node: consul-1
    address: 192.0.2.1
    server: true
  register: agent

- name: Restart the agent
  fewnodes.discovery.consul_agent:
    state: restarted
    node: consul-1
    address: 192.0.2.1
    server: true
    token: "{{ token }}"
  when: agent.action == 'restart'
"""

RETURN = r"""
action:
  description: Action that is needed, none, start, reload or restart.
  type: str
  returned: when probed
reasons:
  description: Reasons, names of settings and files.
  type: list
  elements: str
  returned: when probed
restart_order:
  description: Order of the restarts, 0 unhealthy server, 1 follower, 2 leader, 3 client.
  type: int
  returned: when probed
leader:
  description: Address of the leader that this agent knows, empty when it knows none.
  type: str
  returned: when probed
seconds:
  description: Time from the restart until the agent, all servers and its services were healthy again.
  type: float
  returned: when restarted
"""

import contextlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import ssl  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils import consul_agent as core  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import (  # noqa: E402
    SECONDS_TO_ACCEPT,
    Api,
    ApiError,
    refusal,
    wait_until,
)
from ansible_collections.fewnodes.discovery.plugins.module_utils.unit import journal, read_json, shown  # noqa: E402

UNIT = "consul"
PROPERTIES = ("ActiveState", "MainPID", "NeedDaemonReload", "FragmentPath", "DropInPaths", "UnitFileState")
PROGRAM = Path("/usr/local/bin/consul")
CONFIG = Path("/etc/consul.d")
RECORD = Path("/run/consul")
HANDOVER = 15  # seconds for a new leader
SECONDS_TO_LOAD = 5  # for a certificate after a reload


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["probed", "reloaded", "restarted"], "default": "probed"},
            "node": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "server": {"type": "bool", "default": False},
            "token": {"type": "str", "default": "", "no_log": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    if state == "probed":
        unit = shown(module, UNIT, *PROPERTIES)
        action, reasons = core.pending(read_agent(unit))
        if action == "none" and unit["UnitFileState"] != "enabled":
            action, reasons = "start", ["the unit is not enabled"]
        leader = known_leader()
        order = core.restart_order(module.params["server"], leader, module.params["address"])
        module.exit_json(
            changed=module.check_mode and action != "none", action=action, reasons=reasons, restart_order=order, leader=leader
        )
    if module.check_mode:
        module.exit_json(changed=True)
    if state == "reloaded":
        reload(module)
        module.exit_json(changed=True)
    begin = time.monotonic()
    Restart(module).run()
    module.exit_json(changed=True, seconds=round(time.monotonic() - begin, 1))


def read_agent(unit: dict[str, str]) -> core.Agent:
    """The agent as its host shows it."""
    if unit["ActiveState"] not in ("active", "reloading"):
        return core.Agent(active=False)
    started, loaded = RECORD / "started.json", RECORD / "loaded.json"
    units = [path for path in [unit["FragmentPath"], *unit["DropInPaths"].split()] if path]
    # What the agent reads: the configuration's own folder, not those below it, and the certificate.
    others = [path for pattern in ("*.json", "*.hcl", "tls/*") for path in CONFIG.glob(pattern) if path.name != "consul.json"]
    try:
        running = os.readlink(f"/proc/{unit['MainPID']}/exe")
    except OSError:
        running = ""
    return core.Agent(
        active=True,
        program=os.path.realpath(PROGRAM),
        running=running,
        config=read_json(CONFIG / "consul.json"),
        started=read_json(started),
        loaded=read_json(loaded),
        newer_unit=any(newer(Path(path), started) for path in units),
        newer_files=tuple(sorted(str(path.relative_to(CONFIG)) for path in others if newer(path, loaded))),
    )


def newer(path: Path, than: Path) -> bool:
    try:
        return path.stat().st_mtime > than.stat().st_mtime
    except OSError:
        return False


def known_leader() -> str:
    """The leader that this agent knows, '' when it has none or does not answer."""
    try:
        return Api(timeout=3).get("/v1/status/leader")
    except (OSError, ApiError):
        return ""


def reload(module: AnsibleModule) -> None:
    """Through the API, which reports errors; by SIGHUP where the cluster does not know the token or its rights yet."""
    os.umask(0o077)
    try:
        Api(module.params["token"], timeout=module.params["timeout"]).put("/v1/agent/reload")
        shutil.copyfile(CONFIG / "consul.json", RECORD / "loaded.json")
    except ApiError as error:
        if error.status != 403:
            module.fail_json(msg=f"the agent {module.params['node']} refuses its new configuration: {error}")
        module.run_command(["systemctl", "reload", UNIT], check_rc=True)
    except OSError as error:
        if not unverified(error):
            module.fail_json(msg=f"the agent {module.params['node']} does not answer: {error}")
        module.run_command(["systemctl", "reload", UNIT], check_rc=True)


def unverified(error: OSError) -> bool:
    """Whether the agent's certificate is not valid, such as one that has expired: its files hold a good one by now."""
    return isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError)


class Restart:
    """One restart, from the state before it until the last service passes again."""

    def __init__(self, module: AnsibleModule):
        self.module = module
        self.node = module.params["node"]
        self.server = module.params["server"]
        self.timeout = module.params["timeout"]
        self.api = Api(module.params["token"], timeout=5)

    def run(self) -> None:
        self.wait(lambda: refusal(self.api), "the cluster does not accept its token", SECONDS_TO_ACCEPT)
        before = self.state_before()
        if before and self.server:
            self.wait(lambda: core.quorum_risk(self.health(), self.node), "it is not restarted")
            if self.leads():
                self.wait(self.hand_over, "its leadership could not be handed over", HANDOVER)
        if shown(self.module, UNIT, "NeedDaemonReload")["NeedDaemonReload"] == "yes":
            self.module.run_command(["systemctl", "daemon-reload"], check_rc=True)
        code, _unused, error = self.module.run_command(["systemctl", "restart", UNIT])
        if code:
            self.fail(f"it did not start: {error.strip()}")
        if before:
            self.wait(lambda: core.not_yet(self.node, before, self.now()), "after its restart")

    def state_before(self, reloads: int = 1) -> dict | None:
        """State before the restart; None without agent or leader: then a restart cannot do harm."""
        try:
            if not self.api.get("/v1/status/leader"):
                return None
            now = self.now()
        except OSError as error:
            if not reloads or not unverified(error) or not self.certificate_loaded():
                return None
            return self.state_before(reloads - 1)
        except ApiError as error:
            if error.status == 403:
                self.fail(f"its token may not be used for this: {error}")
            if error.status == 500 and "No cluster leader" in error.text:
                return None
            raise
        return {"index": int(now["raft"]["commit_index"]) if self.server else 0, "passing": now["passing"]}

    def certificate_loaded(self) -> bool:
        """Make the agent load the certificate of its files; whether it serves a valid one then."""
        self.module.run_command(["systemctl", "reload", UNIT], check_rc=True)
        return not wait_until(self.answers, SECONDS_TO_LOAD)

    def answers(self) -> str:
        """'' when the agent answers, whether there is a leader or not."""
        with contextlib.suppress(ApiError):
            self.api.get("/v1/status/leader")
        return ""

    def now(self) -> dict:
        services, checks = self.api.get("/v1/agent/services"), self.api.get("/v1/agent/checks")
        found = {"leader": self.api.get("/v1/status/leader"), "passing": core.passing(services, checks)}
        if self.server:
            found |= {"raft": self.api.get("/v1/agent/self")["Stats"]["raft"], "health": self.health()}
        return found

    def health(self) -> dict:
        try:
            return self.api.get("/v1/operator/autopilot/health")
        except ApiError as error:
            if error.status != 429:  # which means not healthy, and has the same body
                raise
            return json.loads(error.text)

    def leads(self) -> bool:
        return core.restart_order(True, self.api.get("/v1/status/leader"), self.module.params["address"]) == core.LEADER

    def hand_over(self) -> str:
        """Ask for another leader unless there is one; '' when there is."""
        voters = [server for server in self.health()["Servers"] if server["Voter"]]
        if len(voters) < 2 or not self.leads():
            return "" if self.api.get("/v1/status/leader") else "no leader"
        self.api.post("/v1/operator/raft/transfer-leader")
        return f"{self.node} still leads"

    def wait(self, probe, what: str, seconds: float | None = None) -> None:
        seconds = seconds or self.timeout
        if missing := wait_until(probe, seconds):
            self.fail(f"{what}, for {seconds} s: {missing}")

    def fail(self, problem: str) -> None:
        self.module.fail_json(
            msg=f"Consul on {self.node}: {problem}. The hosts after it were not touched; run again when this is repaired.",
            journal=journal(self.module, UNIT),
        )


if __name__ == "__main__":
    main()
