"""Difference between a running Consul agent and its files, and whether it may be restarted now. Pure: no clock, no network."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

# Settings that an agent reads at its (first) start only and that a running one does not need: the keyring, the members and
# the stored autopilot configuration have replaced them.
AT_START = ("encrypt", "retry_join", "retry_interval", "retry_max", "bootstrap_expect", "autopilot")

# Settings that SIGHUP applies (agent.reloadConfigInternal of Consul 1.22), a tuple for a nested one.
RELOADABLE = (
    "log_level",
    "node_meta",
    "service",
    "services",
    "check",
    "checks",
    "watches",
    "recursors",
    "dns_config",
    "discard_check_output",
    "raft_snapshot_threshold",
    "raft_snapshot_interval",
    "raft_trailing_logs",
    ("acl", "tokens"),
    ("limits", "http_max_conns_per_client"),
    ("limits", "rpc_rate"),
    ("limits", "rpc_max_burst"),
    ("limits", "rpc_max_conns_per_client"),
    ("limits", "request_limits"),
    ("telemetry", "prefix_filter"),
)

# Order of the restarts: a server that does not answer first, the leader as the last server, servers before clients (Consul's
# upgrade instructions).
UNHEALTHY, FOLLOWER, LEADER, CLIENT = range(4)


@dataclass(frozen=True)
class Agent:
    """One agent on its host.

    :ivar active: its unit runs
    :ivar program: path of the program that is installed
    :ivar running: path of the program that runs, '' when unknown
    :ivar config: content of the configuration file, None when it cannot be read
    :ivar started: the same when the agent was started, None when there is no record
    :ivar loaded: the same when the agent was last reloaded (or started), None when there is no record
    :ivar newer_unit: the unit was changed after the start
    :ivar newer_files: other files of the configuration that were changed after the last reload
    """

    active: bool
    program: str = ""
    running: str = ""
    config: dict | None = None
    started: dict | None = None
    loaded: dict | None = None
    newer_unit: bool = False
    newer_files: tuple[str, ...] = field(default=())


def pending(agent: Agent) -> tuple[str, list[str]]:
    """Action that makes the agent apply its files.

    :returns: none, start, reload or restart, and the reasons (names of settings and files, never values)
    """
    if not agent.active:
        return "start", ["the agent is not running"]
    reasons = []
    if agent.running != agent.program:
        reasons.append(f"{agent.running or 'an unknown program'} runs, {agent.program} is installed")
    if agent.newer_unit:
        reasons.append("the unit is newer than the start")
    if agent.config is None or agent.started is None:
        reasons.append("it is not known what the agent was started with")
    else:
        reasons += _changed(without(agent.config, AT_START + RELOADABLE), without(agent.started, AT_START + RELOADABLE))
    if reasons:
        return "restart", reasons
    if agent.loaded is None:
        reasons.append("it is not known what the agent has loaded")
    else:
        reasons += _changed(without(agent.config, AT_START), without(agent.loaded, AT_START))
    reasons += [f"{name} is newer" for name in agent.newer_files]
    return ("reload", reasons) if reasons else ("none", [])


def without(config: dict, paths: tuple) -> dict:
    """A copy of a configuration without these settings; a section that becomes empty goes as well."""
    rest = copy.deepcopy(config)
    for path in paths:
        keys = (path,) if isinstance(path, str) else path
        section = rest
        for key in keys[:-1]:
            section = section.get(key, {})
        section.pop(keys[-1], None)
        if len(keys) > 1 and not rest.get(keys[0], True):
            del rest[keys[0]]
    return rest


def _changed(now: dict, before: dict) -> list[str]:
    return [f"{key} changed" for key in sorted(now.keys() | before.keys()) if now.get(key) != before.get(key)]


def restart_order(server: bool, leader: str, address: str) -> int:
    """Position of this agent in the order of the restarts. `leader`: its answer to /v1/status/leader, '' for none."""
    if not server:
        return CLIENT
    if not leader:
        return UNHEALTHY
    return LEADER if leader.rsplit(":", 1)[0] == address else FOLLOWER


def quorum_risk(health: dict, node: str) -> str:
    """Why restarting this server now would cost the cluster its quorum; '' when it would not.

    :param health: /v1/operator/autopilot/health
    :param node: name of the server

    One or two voters have no quorum to spare in any case; a server that does not count now can only get better.
    """
    voters = [server for server in health.get("Servers") or [] if server["Voter"]]
    mine = [server for server in voters if server["Name"] == node]
    if len(voters) < 3 or not mine or not mine[0]["Healthy"]:
        return ""
    healthy = [server["Name"] for server in voters if server["Healthy"] and server["Name"] != node]
    needed = len(voters) // 2 + 1
    if len(healthy) >= needed:
        return ""
    ill = sorted(server["Name"] for server in voters if not server["Healthy"])
    left = f"without {node} only {len(healthy)} of {len(voters)} voters would be left, {needed} are needed"
    return f"{', '.join(ill)} not healthy; {left}"


def passing(services: dict[str, dict], checks: dict[str, dict]) -> set[str]:
    """Ids of the agent's services whose checks all pass (/v1/agent/services, /v1/agent/checks)."""
    failing = {check["ServiceID"] for check in checks.values() if check["Status"] != "passing"}
    return set(services) - failing


def not_yet(node: str, before: dict, now: dict) -> str:
    """Missing condition after a restart; '' when the agent is as healthy as before.

    :param node: its name
    :param before: index (of the raft log, an int), passing (ids of services)
    :param now: leader (address or ''), passing, and on a server raft (Stats.raft of /v1/agent/self) and health
        (/v1/operator/autopilot/health)
    """
    if not now["leader"]:
        return "no leader"
    if "raft" in now:
        raft = now["raft"]
        if raft["state"] not in ("Follower", "Leader"):
            return f"{node} is {raft['state']}"
        if int(raft["applied_index"]) < before["index"]:
            return f"{node} has applied {raft['applied_index']} of {before['index']} log entries"
        ill = sorted(server["Name"] for server in now["health"].get("Servers") or [] if not server["Healthy"])
        if ill or not now["health"]["Healthy"]:
            return f"autopilot: {', '.join(ill) or 'the cluster'} not healthy"
        if not any(server["Name"] == node and server["Voter"] for server in now["health"]["Servers"]):
            return f"{node} is not a voter"
    lost = sorted(before["passing"] - now["passing"])
    return f"services that passed before do not pass: {', '.join(lost)}" if lost else ""
