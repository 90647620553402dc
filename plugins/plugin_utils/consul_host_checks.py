"""State of a host before Consul is installed or changed (clock, disk, its Consul, the members that knows), and its problems."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

# Files of a Consul that somebody else has set up. Every unit of ours has named this file of the configuration.
OTHERS = r"""
if ! grep -qs '/etc/consul\.d/consul\.json' /etc/systemd/system/consul.service; then
    for file in /etc/systemd/system/consul.service /usr/lib/systemd/system/consul.service /lib/systemd/system/consul.service; do
        [ ! -f "$file" ] || { echo "other $file"; break; }
    done
    [ -L /usr/local/bin/consul ] || [ ! -f /usr/local/bin/consul ] || echo "other /usr/local/bin/consul"
fi
"""
# Prints one fact a line, "<key> <value>". The clock comes first and last, so that the time between does not count.
REPORT = (
    r"""
echo "time $(date +%s.%N)"
for folder in /var/lib /opt; do echo "free $folder $(stat -f -c '%a %S' $folder)"; done
echo "node_id $(cat /var/lib/consul/node-id 2>/dev/null)"
echo "installed $(readlink /usr/local/bin/consul)"
for file in /etc/consul-template/consul-template.hcl /usr/local/sbin/registrator-clear /etc/docker/daemon.json; do
    grep -s -q '127\.0\.0\.1:8500' "$file" && echo "http_user $file"
done
"""
    + OTHERS
    + r"""
pid=$(systemctl show -P MainPID consul.service 2>/dev/null)
if [ "${pid:-0}" -gt 0 ]; then
    echo "running $(readlink /proc/$pid/exe)"
    python3 -I -c '
import http.client, json, ssl, time
token = json.load(open("/etc/consul.d/tokens.json"))["acl"]["tokens"]["dns"]
agent = http.client.HTTPSConnection(
    "127.0.0.1", 8501, timeout=3, context=ssl.create_default_context(cafile="/etc/consul.d/tls/ca.pem")
)
def ask(path):
    agent.request("GET", path, headers={"X-Consul-Token": token})
    answer = agent.getresponse()
    text = answer.read()
    return json.loads(text) if answer.status == 200 else None
members = ask("/v1/agent/members")
if members is not None:
    print("members", json.dumps(members))
# Servers that know peers are a cluster; between two leaders it has none for some seconds.
for pause in (True, True, True, True, True, False):
    if not ask("/v1/status/peers") or ask("/v1/status/leader") != "":
        break
    if pause:
        time.sleep(1)
else:
    print("leaderless true")
' 2>/dev/null
fi
echo "time $(date +%s.%N)"
"""
)
ALIVE = 1
PROGRAM = re.compile(r"/opt/consul/([^/ ]+)/consul")
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.]+)?(\+[0-9A-Za-z.]+)?")


def state(report: str, asked: float, answered: float) -> dict[str, Any]:
    """The state of a host from what REPORT printed.

    :param asked: the controller's clock before, seconds since 1970
    :param answered: the same after
    :returns: clock_offset (seconds that the host is ahead of the controller), clock_uncertainty (seconds, ±),
        free_mb (folder to MB), node_id, installed and running (versions; '' where there is none), members (see `_members`),
        leaderless (its agent has answered for 5 s that the cluster has no leader), http_users (files that name the agent's HTTP
        port, which earlier versions of the collection used), others (files of a Consul that the collection has not set up)
    :raises ValueError: the report is not complete
    """
    lines = [line.split(" ", 1) for line in report.splitlines() if " " in line]
    values = {key: value.strip() for key, value in lines}
    times = [float(value) for key, value in lines if key == "time"]
    if len(times) != 2:
        raise ValueError(f"expected the time twice, got {report[:500]!r}")
    free = [value.split() for key, value in lines if key == "free"]
    return {
        "clock_offset": (times[0] - asked + times[1] - answered) / 2,
        "clock_uncertainty": max(0.0, (answered - asked) - (times[1] - times[0])) / 2,
        "free_mb": {folder: int(blocks) * int(size) // 2**20 for folder, blocks, size in free},
        "node_id": values.get("node_id", ""),
        "installed": _version_of_program(values.get("installed", "")),
        "running": _version_of_program(values.get("running", "")),
        "members": _members(json.loads(values.get("members", "[]"))),
        "leaderless": "leaderless" in values,
        "http_users": [value for key, value in lines if key == "http_user"],
        "others": [value for key, value in lines if key == "other"],
    }


def _version_of_program(path: str) -> str:
    found = PROGRAM.match(path)
    return found.group(1) if found else ""


def _members(listed: Iterable[Mapping]) -> list[dict[str, Any]]:
    """Of /v1/agent/members those that are alive: name, address, id, version and server (a bool)."""
    return [
        {
            "name": member["Name"],
            "address": member["Addr"],
            "id": member["Tags"].get("id", ""),
            "version": member["Tags"].get("build", "").split(":")[0],
            "server": member["Tags"].get("role") == "consul",
        }
        for member in listed
        if member["Status"] == ALIVE
    ]


def state_problems(host: str, states: Mapping[str, Mapping], settings: Mapping) -> list[str]:
    """Reasons against installing or changing Consul on a host, one message each.

    :param states: host name to `state`, for this host and the others that were asked
    :param settings: node (what Consul calls the host), old_node (what it may still call it), server (whether it is to run one),
        version, addresses (IPv4, all of this host), min_free_disk_mb, max_clock_skew (seconds)
    """
    members = {member["name"]: member for other in states.values() for member in other["members"]}
    return [
        *_others_problems(host, states[host].get("others", [])),
        *_disk_problems(host, states[host]["free_mb"], int(settings["min_free_disk_mb"])),
        *_version_problems(host, str(settings["version"]), _versions_found(states[host], members.values())),
        *_name_problems(host, settings["node"], states[host]["node_id"], settings["addresses"], members.values()),
        *_renamed_problems(host, settings, states[host]["node_id"], members.values()),
        *_role_problems(host, settings["node"], bool(settings["server"]), states[host]["node_id"], members.values()),
        *_leader_problems(host, states),
        *_clone_problems(host, settings["node"], settings["addresses"], states, members.values()),
        *_clock_problems(host, states, float(settings["max_clock_skew"])),
    ]


def _others_problems(host: str, others: Iterable[str]) -> list[str]:
    """Unit and program have the names of ours: its agent would end, and its data would be left behind."""
    if not others:
        return []
    return [
        f"host {host} has a Consul that this collection has not set up ({', '.join(others)}). It would be replaced, and its data"
        " left behind: save what it has (consul snapshot save), let it leave its cluster (consul leave), stop it, and move these"
        " files away or remove their package; or take the host out of consul_servers and consul_clients"
    ]


def _disk_problems(host: str, free_mb: Mapping[str, int], least: int) -> list[str]:
    folder = min(free_mb, key=lambda name: free_mb[name])
    if free_mb[folder] >= least:
        return []
    return [
        f"consul_min_free_disk_mb is {least}, but host {host} has {free_mb[folder]} MB free under {folder}:"
        " make room there, or set it lower"
    ]


def version_key(version: str) -> tuple | None:
    """What sorts versions, a pre-release before its release; None when it is no version of Consul."""
    found = VERSION.fullmatch(version)
    if not found:
        return None
    major, minor, patch, pre, _unused = found.groups()
    return int(major), int(minor), int(patch), pre is None, pre or ""


def _versions_found(own: Mapping, members: Iterable[Mapping]) -> dict[str, str]:
    """Place where a version was found, to the version. An installed program counts where it has data and is not running."""
    found = {}
    if own["running"]:
        found["this host runs"] = own["running"]
    elif own["node_id"]:
        found["this host has data of"] = own["installed"]
    found |= {f"server {member['name']} runs": member["version"] for member in members if member["server"]}
    return {where: version for where, version in found.items() if version_key(version)}


def _version_problems(host: str, wanted: str, found: Mapping[str, str]) -> list[str]:
    if version_key(wanted) is None:
        return [f"consul_version of host {host} is {wanted!r}, which is no release: set it to one such as 1.22.7"]
    newest = max(found, key=lambda where: version_key(found[where]), default=None)
    if newest is None or version_key(found[newest]) <= version_key(wanted):
        return []
    return [
        f"consul_version of host {host} is {wanted}, but {newest} {found[newest]}, and Consul cannot go back with the data of a"
        f" newer version: set consul_version to {found[newest]} or newer, or reset the cluster and restore a backup that"
        f" {wanted} or an older version took"
    ]


def _name_problems(host: str, node: str, node_id: str, addresses: Iterable[str], members: Iterable[Mapping]) -> list[str]:
    """Names of nodes are the same to Consul whatever their case."""
    return [
        f"the name of host {host} is taken in the running cluster: node {member['name']} with address"
        f" {member['address']} is alive, and is another machine than this one ({', '.join(addresses)}):"
        " set ansible_host of this host to that address if it was meant, give this host another discovery_node_name, or stop"
        " Consul on the other machine"
        for member in members
        if member["name"].lower() == node.lower() and member["address"] not in addresses and member["id"] != node_id
    ]


def _renamed_problems(host: str, settings: Mapping, node_id: str, members: Iterable[Mapping]) -> list[str]:
    """The same machine under another name: its old name would stay behind, with its tokens. One at another address is a copy."""
    node, old = settings["node"], settings["old_node"]
    return [
        f"host {host} is node {member['name']} in the running cluster, and would become {node}: run"
        f" playbooks/rename_node.yml -e rename_from={member['name']} -e rename_host={host}, or keep the name with"
        f" discovery_node_name: {member['name']}"
        for member in members
        if node_id and member["id"] == node_id and member["name"].lower() not in (node.lower(), old.lower())
        if member["address"] in settings["addresses"]
    ]


def _role_problems(host: str, node: str, server: bool, node_id: str, members: Iterable[Mapping]) -> list[str]:
    """A server that became a client by a restart would stay a voter that never answers: enough of them cost the quorum."""
    return [
        f"host {host} is not in consul_servers, but is a server of the running cluster: put it back there, run"
        f" playbooks/remove_node.yml -e remove_host={host}, and then take it out of consul_servers"
        for member in members
        if not server and member["server"] and member["name"].lower() == node.lower() and member["id"] == node_id
    ]


def _leader_problems(host: str, states: Mapping[str, Mapping]) -> list[str]:
    """Without a leader nobody gets a vote or a token, so a site that grows then would stop in the middle of the run."""
    own, without = states[host], sorted(name for name, other in states.items() if other["leaderless"])
    if own["node_id"] or own["running"] or not without:
        return []
    return [
        f"host {host} is new, and the cluster that it would join has no leader, as host {without[0]} reports: bring a majority of"
        " its servers back, or run playbooks/recover_quorum.yml where they are lost for good; then run this playbook again"
    ]


def _clone_problems(
    host: str, node: str, addresses: Iterable[str], states: Mapping[str, Mapping], members: Iterable[Mapping]
) -> list[str]:
    """A virtual machine that is copied takes the node's id along, and agents refuse a second member of one id.

    A member of this host's name or address is this host itself, before a new address or a new name.
    """
    own = states[host]["node_id"]
    if not own:
        return []
    others = [f"host {name}" for name, other in sorted(states.items()) if name != host and other["node_id"] == own]
    others = others or [
        f"node {member['name']} ({member['address']})"
        for member in members
        if member["id"] == own and member["name"].lower() != node.lower() and member["address"] not in addresses
    ]
    if not others:
        return []
    return [
        f"host {host} has the same Consul node id as {' and '.join(others)} ({own} in /var/lib/consul/node-id): they are copies"
        " of one machine, and the cluster would take one of them only. On the copy, not on the machine that it knows, run"
        " 'systemctl stop consul; rm -rf /var/lib/consul', then this again; it becomes a new member"
    ]


def _clock_problems(host: str, states: Mapping[str, Mapping], most: float) -> list[str]:
    """Reported for one host only, the one that is farthest from the median."""
    offsets = {name: other["clock_offset"] for name, other in states.items()}
    middle = statistics.median(offsets.values())
    if host != max(sorted(offsets), key=lambda name: abs(offsets[name] - middle)):
        return []
    other = max(sorted(offsets), key=lambda name: abs(offsets[name] - offsets[host]))
    ahead = offsets[host] - offsets[other]
    unsure = states[host]["clock_uncertainty"] + states[other]["clock_uncertainty"]
    if abs(ahead) - unsure <= most:
        return []
    return [
        f"the clock of host {host} is {abs(ahead):.1f} s (±{unsure:.1f}) {'ahead of' if ahead > 0 else 'behind'} that of host"
        f" {other}, but consul_max_clock_skew is {most:g} s: set up time synchronisation on both (systemd-timesyncd or chrony)"
    ]
