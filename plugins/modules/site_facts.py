#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: site_facts
short_description: Status of one host of the site
description:
  - Gathers the part of C(playbooks/status.yml) that is about one host. A part that cannot be read is an error text, and the
    others are gathered all the same; so this never fails. Nothing in it is secret, and nothing is changed.
options:
  token:
    description:
      - A token that may read the node and services, with O(cluster) also all nodes, C(operator) and C(keyring); empty for what
        needs none.
    type: str
    default: ""
  node:
    description: Name of the node in Consul.
    type: str
    required: true
  cluster:
    description: Whether to gather the part C(cluster), which is the same for all agents.
    type: bool
    default: true
  backups:
    description: Directory of the host's own snapshots.
    type: path
    default: /var/backups/consul
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Gather the status of the host
  fewnodes.discovery.site_facts:
    node: "{{ [inventory_hostname] | fewnodes.discovery.node_names(hostvars) | first }}"
    token: "{{ agent_token }}"
  register: facts
"""

RETURN = r"""
parts:
  description:
    - Consul (of this agent), cluster (the same for all agents), certificates, client_certificates (of load balancers), backups,
      balancer, services (what differs between the catalog and what runs here, and services that containers ask for in vain),
      containers, templates (of a user, each with the state of its unit), configuration (of the agent, whether it would start
      with it), resolver, firewall (with IP protocols that no rule allows), disks, dockerd,
      floating_addresses (which the host holds, and what moves them), clock (when this module began and
      ended). Each is what was found, as C(module_utils/site_answer.py) has it, or a dict with the only key C(error).
  returned: always
  type: dict
asked:
  description: The controller's clock before, in seconds since 1970.
  returned: always
  type: float
answered:
  description: The same after.
  returned: always
  type: float
"""

import glob
import json
import os
import re
import subprocess
import time
from calendar import timegm
from collections.abc import Callable, Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.catalog_entries import differences, entry
from ansible_collections.fewnodes.discovery.plugins.module_utils.certificate import not_after, not_before
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import Api, ApiError
from ansible_collections.fewnodes.discovery.plugins.module_utils.docker_api import SOCKET, dockerd_runs
from ansible_collections.fewnodes.discovery.plugins.module_utils.dockerd_config import (
    DAEMON_JSON,
    DAEMON_JSON_LOADED,
    DAEMON_JSON_STARTED,
    DAEMON_JSON_WRITTEN,
)
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import text
from ansible_collections.fewnodes.discovery.plugins.module_utils.host_needs import (
    FORWARD,
    configuration_lost,
    configuration_waiting,
    forwarding_needed,
    held,
    not_started,
    refused_configuration,
    resolver_problems,
    room,
    stopped,
    udp_lost,
)
from ansible_collections.fewnodes.discovery.plugins.module_utils.nftables import CONFIRMED, NFT, TABLE
from ansible_collections.fewnodes.discovery.plugins.module_utils.site_answer import fitted
from ansible_collections.fewnodes.discovery.plugins.module_utils.sockets import (
    COMMAND,
    LINKS_COMMAND,
    listeners,
    tunnels,
    unheard,
)
from ansible_collections.fewnodes.discovery.plugins.module_utils.unit import read_json

CERTIFICATES = {"Consul": "/etc/consul.d/tls/agent.pem", "docker": "/etc/docker/tls/server.pem"}
AUTHORITIES = {"Consul": "/etc/consul.d/tls/ca.pem", "docker": "/etc/docker/tls/ca.pem"}
PROGRAM = "/usr/local/bin/consul"
# The second is there only while the first cannot be written, on a full disk.
BALANCER = "/var/lib/discovery-balancer/status.json"
BALANCER_SPARE = "/run/discovery-balancer-status.json"
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
STATES = {0: "none", 1: "alive", 2: "leaving", 3: "left", 4: "failed"}  # Serf's
SECONDS = 10  # bound of a command
LISTING = "/usr/local/sbin/registrator-services"
WATCH = "/run/registrator-watch/state.json"
MOST_STOPPED = 300  # containers that do not run and are looked at
CONFIGURATION = "/etc/consul.d"
RESOLV_CONF = "/etc/resolv.conf"
# Files of a method that nobody but the role consul_dns writes, and the one that names the servers of the site.
METHODS = {
    "dnsmasq": (("/etc/discovery-dns.conf", "/etc/systemd/system/discovery-dns.service"), "/etc/discovery-dns.conf"),
    "systemd_resolved": (
        ("/etc/systemd/resolved.conf.d/zz-discovery.conf", "/etc/systemd/system/discovery-resolved-link.service"),
        "",
    ),
    "resolvconf": (("/etc/systemd/system/resolvconf.service.d/10-discovery.conf",), "/etc/resolvconf/resolv.conf.d/base"),
}
DATA = "/var/lib/consul"
DOCKER_DATA = "/var/lib/docker"
LOG = "/var/log"
NGINX = "/var/lib/nginx"
NGINX_PID = "/run/nginx.pid"
BALANCER_OPTIONS = "/etc/discovery-balancer.json"
ACME_STATUS = "/var/lib/discovery-acme/status.json"  # of the orders of certificates
REGISTERED = "/var/lib/consul/services"
# What an agent logs, every 15 to 30 s, while the servers refuse what it reports. Not agent.http: that is about others' requests.
REFUSED = r"ACL not found|blocked by ACLs|Permission denied"
BLOCKED = re.compile(rf"^\S+ \[(?:WARN|ERROR)\]\s+(agent(?:\.anti_entropy)?: .*(?:{REFUSED}).*)$", re.MULTILINE)
RECENT = 70  # seconds of the log
# What nginx logs of each connection that it closes because a worker holds as many as it may. Before that it closes idle ones of
# clients, and logs the same with another end.
TURNED_AWAY = re.compile("worker_connections are not enough(?!, reusing connections)")
UNITS = "/etc/systemd/system"
RUN = "/run"
FLOATING = "/etc/discovery-floating-address/options.json"
FLOATING_PRIORITY = "/run/discovery-floating-address/priority"
FLOATING_DRAINED = "/var/lib/discovery-floating-address/drained"
FLOATING_UNITS = ("discovery-floating-address.service", "discovery-floating-address-check.service")
TEMPLATE = "discovery-template-"
ATTEMPTS = 3  # comparisons of catalog and containers
PAUSE = 2  # seconds between two of them


class Stopped(Exception):
    """What is to be asked does not run, and is not started for that."""


def output(*command: str) -> str:
    """What a command prints; it must end with 0 in time. Logs hold what clients have sent, which need not be text."""
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=True).stdout


def agent(api: Api, node: str) -> dict:
    """Unit, versions and leader. `running`, `leader`: '' where the agent gives none."""
    version = re.search(r"Consul v(\S+)", output(PROGRAM, "version")) if os.path.exists(PROGRAM) else None
    found = {
        "unit": output("systemctl", "show", "consul", "-p", "ActiveState", "--value").strip(),
        "installed": version.group(1) if version else "",
        "running": "",
        "leader": "",
    }
    alive: list[dict] = []
    try:
        found["leader"] = api.get("/v1/status/leader") or ""
        # A token of the node may list the node; what the agent says of itself needs rights to write it.
        members = api.get("/v1/agent/members")
        alive = [member for member in members if STATES.get(member["Status"]) == "alive"]
        builds = [member["Tags"]["build"] for member in members if member["Name"] == node]
        found["running"] = builds[0].partition(":")[0] if builds else ""
    except (OSError, ApiError) as error:
        found["problem"] = str(error)
    log = recent_log("consul.service")
    return found | {"blocked": blocked(log), "udp_lost": udp_lost(log, RECENT, len(alive))}


def recent_log(unit: str) -> str:
    return output("journalctl", f"--unit={unit}", f"--since=-{RECENT}s", "--output=cat", "--no-pager", "--quiet")


def blocked(log: str) -> list[str]:
    """What the agent's log says now of reports that the servers refuse; each once, the newest last. A wrong token is seen there
    only: the agent answers as ever, and nothing that changes on its host comes into the catalog."""
    return list(dict.fromkeys(BLOCKED.findall(log)))[-3:]


def configuration() -> dict | None:
    """Why the agent would not start with the files that it has now, '' for no reason; None on a host without Consul. It reads
    them at its start only, so a broken one waits for the next. As its user, who must be able to read them."""
    if not os.path.exists(PROGRAM) or not os.path.isdir(CONFIGURATION):
        return None
    command = (PROGRAM, "validate", CONFIGURATION)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, user="consul", group="consul", extra_groups=[]
    )
    return {"problem": (refused_configuration(done.stderr) or f"it ended with {done.returncode}") if done.returncode else ""}


def resolver() -> dict | None:
    """Problems of resolv.conf; None on a host whose resolver does not lead to Consul."""
    found = [(method, own) for method, (files, own) in METHODS.items() if any(map(os.path.exists, files))]
    if not found:
        return None
    method, own = found[0]
    return {"problems": resolver_problems(method, text(RESOLV_CONF), text(own) if own else "")}


def firewall() -> dict | None:
    """Whether the table is in force, and IP protocols without ports that something waits for and that no rule allows; None on a
    host without rules."""
    if not os.path.exists(CONFIRMED):
        return None
    tables = output(NFT, "list", "tables") if os.path.exists(NFT) else ""
    listening = listeners(output(*COMMAND)) + tunnels(json.loads(output(*LINKS_COMMAND)))
    return {"loaded": f"table {' '.join(TABLE)}" in tables.splitlines(), "unheard": unheard(listening, text(CONFIRMED) or "")}


def disks() -> dict:
    """The room on each file system that the platform writes to; one that several parts share is given once."""
    data_root = (read_json(DAEMON_JSON) or {}).get("data-root") or DOCKER_DATA
    uses = [("consul", DATA), ("docker", data_root), *(("nginx", path) for path in temporary()), ("log", LOG)]
    found: dict[str, dict] = {}
    seen = set()
    for use, path in uses:
        if not os.path.isdir(path) or os.stat(path).st_dev in seen:
            continue
        seen.add(os.stat(path).st_dev)
        status = os.statvfs(path)
        left = room(status.f_bavail, status.f_frsize, status.f_files, status.f_favail)
        one = {"path": re.sub(r"^/proc/\d+/root", "", path), **left}
        if use not in found or one["free_mb"] < found[use]["free_mb"]:
            found[use] = one
    return found


def temporary() -> list[str]:
    """The directories in which nginx keeps large requests and answers, as it sees them: it has file systems of its own."""
    root = f"/proc/{text(NGINX_PID).strip() or 'none'}/root"
    below = f"{root}{NGINX}" if os.path.isdir(root) else NGINX
    return [below, *sorted(glob.glob(f"{below}/*"))]


def cluster(api: Api) -> dict:
    """Members, autopilot, gossip rings (numbers, no keys) and unhealthy checks."""
    members = api.get("/v1/agent/members")
    health = autopilot(api)
    checks = [
        {"node": c["Node"], "service": c["ServiceName"], "check": c["Name"], "status": c["Status"]}
        for state in ("critical", "warning")
        for c in api.get(f"/v1/health/state/{state}")
    ]
    return {
        "members": {
            m["Name"]: {
                "state": STATES.get(m["Status"], "unknown"),
                "address": m["Addr"],
                "server": m["Tags"].get("role") == "consul",
            }
            for m in members
        },
        "healthy": health.get("Healthy", False),
        "tolerance": health.get("FailureTolerance", 0),
        "servers": {s["Name"]: {"healthy": s["Healthy"], "voter": s["Voter"]} for s in health.get("Servers") or []},
        "rings": rings(api),
        "services": len(api.get("/v1/catalog/services")),
        "nodes": [node["Node"] for node in api.get("/v1/catalog/nodes")],
        "unhealthy": len(checks),
        "checks": checks,
    }


def autopilot(api: Api) -> dict:
    """Autopilot's health; it is given with 429 when it is bad."""
    try:
        return api.get("/v1/operator/autopilot/health")
    except ApiError as error:
        if error.status != 429:
            raise
        return json.loads(error.text)


def rings(api: Api) -> list[dict]:
    """The gossip rings; none while a member is away, because the API answers 500 then."""
    try:
        found = api.get("/v1/operator/keyring?local-only=true")
    except ApiError as error:
        if error.status != 500:
            raise
        return []
    return [ring(one) for one in found if not one.get("WAN")]


def ring(found: Mapping) -> dict:
    """Numbers of a gossip ring: members, and how many of them have, and how many use, each key."""
    return {
        "members": found["NumNodes"],
        "have": sorted(found["Keys"].values()),
        "use": sorted((found.get("PrimaryKeys") or {}).values()),
    }


def certificates() -> dict:
    """When each certificate was written and when it ends, in seconds since 1970; of a bundle the first end."""
    found = {}
    for kind, files in (("host", CERTIFICATES), ("ca", AUTHORITIES)):
        for name, path in files.items():
            if os.path.exists(path):
                with open(path, encoding="ascii") as file:
                    ends = [end(pem) for pem in PEM.findall(file.read())]
                found[f"{kind} {name}"] = {"written": int(os.stat(path).st_mtime), "end": min(ends)}
    return found


def end(pem: str) -> int:
    return validity(pem)["end"]


def validity(pem: str) -> dict:
    """When a certificate begins and ends, in seconds since 1970."""
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pem.encode())
    return {kind: timegm(moment(certificate).utctimetuple()) for kind, moment in (("begin", not_before), ("end", not_after))}


def client_certificates() -> dict:
    """File to the validity of its first certificate, which is the one that clients see, with the reason why its last order
    failed; None where it cannot be read. Those after it are of others: one of them may have ended without harm."""
    files = [one.get("certificate", "") for one in (read_json(BALANCER_OPTIONS) or {}).get("certificates") or []]
    failed = (read_json(ACME_STATUS) or {}).get("failed") or {}
    reasons = {path: str(one.get("reason", "")) for path, one in failed.items() if isinstance(one, dict)}
    found = {path: first_validity(path) for path in dict.fromkeys(files)}
    return {path: one and one | ({"problem": reasons[path]} if reasons.get(path) else {}) for path, one in found.items()}


def first_validity(path: str) -> dict | None:
    found = PEM.search(text(path))
    try:
        return validity(found.group()) if found else None
    except ValueError:
        return None


def backups(directory: str) -> dict:
    """State of the timer, result of its last run, number of snapshots and the time of the newest."""
    shown = output("systemctl", "show", "consul-backup.timer", "consul-backup.service", "-p", "ActiveState,Result,Id")
    units = {}
    for block in shown.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines())
        units[values["Id"]] = values
    names = os.listdir(directory) if os.path.isdir(directory) else []
    times = [os.stat(f"{directory}/{name}").st_mtime for name in names if name.endswith(".snap") and name[0] != "."]
    return {
        "timer": units["consul-backup.timer"]["ActiveState"],
        "result": units["consul-backup.service"]["Result"],
        "count": len(times),
        "newest": int(max(times, default=0)),
    }


def balancer() -> dict | None:
    """The status of discovery-balancer, and the connections of clients that nginx has closed of late because it had no place for
    them; None on a host without it. Before its first sync it may lack what is given here."""
    try:
        with open(BALANCER_SPARE if os.path.exists(BALANCER_SPARE) else BALANCER, encoding="utf-8") as file:
            found = {"generation": 0, "state": "failed", "reason": "", "time": 0, "skipped": [], **json.load(file)}
    except FileNotFoundError:
        return None
    return found | {"turned_away": len(TURNED_AWAY.findall(recent_log("nginx.service")))}


def floating_addresses() -> dict | None:
    """Which of the floating addresses the host holds, and what moves them; None on a host without any."""
    known = read_json(FLOATING)
    if known is None:
        return None
    states = [unit_state(unit) for unit in FLOATING_UNITS]
    priority = text(FLOATING_PRIORITY).strip()
    return {
        "unit": states[0],
        "check": states[1],
        "priority": int(priority) if re.fullmatch(r"-?\d{1,3}", priority) else None,
        "drained": os.path.exists(FLOATING_DRAINED),
        "balancers": known.get("balancers", {}),
        "held": held(known.get("addresses", []), json.loads(output(*LINKS_COMMAND))),
    }


def unit_state(unit: str) -> str:
    return output("systemctl", "show", unit, "-p", "ActiveState", "--value").strip()


def services(api: Api, node: str) -> dict:
    """What differs between the catalog and what runs here, see `differences`; lost, services that containers ask for in vain; and
    settings, whether tags and meta of containers were compared. Looks again while something is found: a container that starts or
    stops takes a moment."""
    found: dict[str, list[str]] = {}
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        own = listing()
        again = differences(catalog(api, node), declared(api.get("/v1/agent/services")), own["services"], own["kept"])
        again["lost"] = own.get("lost", [])  # a program of an earlier version gives none
        found = {kind: [one for one in texts if not attempt or one in found[kind]] for kind, texts in again.items()}
        if not any(found.values()):
            break
    return {**found, "settings": all("meta" in one for one in own["services"])}


def catalog(api: Api, node: str) -> list[dict]:
    """Entries of the catalog for this agent's node, not the agent's own view: others can change them there."""
    answer = api.get(f"/v1/catalog/node-services/{node}") or {}
    return [entry(one) for one in answer.get("Services") or []]


def declared(of_agent: Mapping[str, Mapping]) -> list[dict]:
    """Services of the agent from its configuration: it keeps those on disk that programs have registered."""
    registered = set()
    for name in os.listdir(REGISTERED) if os.path.isdir(REGISTERED) else []:
        try:
            with open(f"{REGISTERED}/{name}", encoding="utf-8") as file:
                registered.add(json.load(file)["Service"]["ID"])
        except (OSError, ValueError, KeyError):
            continue  # it goes or comes just now
    return [entry(one) for one in of_agent.values() if one["ID"] not in registered]


def listing() -> dict:
    """Services that the containers of this host stand for."""
    if not os.path.exists(LISTING) or not os.path.exists(SOCKET):
        return {"services": [], "kept": [], "lost": []}
    if not dockerd_runs():
        raise Stopped("dockerd does not run")
    return json.loads(output(LISTING))


def containers() -> dict | None:
    """How many containers run, whether registrator does, what its watch has counted, and which containers dockerd could not
    start; None on a host without dockerd."""
    if not os.path.exists(SOCKET):
        return None
    if not dockerd_runs():
        raise Stopped("dockerd does not run")
    lines = output("docker", "ps", "--all", "--format", "{{.Names}} {{.Status}}").splitlines()
    listed = {name: status for name, _unused, status in (line.partition(" ") for line in lines)}
    names = [name for name, status in listed.items() if status.startswith(("Up", "Restarting"))]
    failed = not_started(listed, inspected(stopped(listed)[:MOST_STOPPED]))
    return {"running": len(names), "registrator": "registrator" in names, "watch": watch(), "failed": failed}


def inspected(names: list[str]) -> list[str]:
    """Name, restart policy and error of each container; nothing of one that is removed meanwhile."""
    wanted = "{{.Name}} {{.HostConfig.RestartPolicy.Name}} {{json .State.Error}}"
    if not names:
        return []
    command = ["docker", "inspect", "--type", "container", "--format", wanted, *names]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False).stdout.splitlines()


def dockerd() -> dict | None:
    """Whether the kernel forwards packets, None where dockerd does not need it; settings of the role that daemon.json has lost,
    and those that dockerd would have after its next start only. None where dockerd does not run, or is not the role's."""
    if not os.path.exists(DAEMON_JSON_WRITTEN) or not dockerd_runs():
        return None
    config, written = read_json(DAEMON_JSON), (read_json(DAEMON_JSON_WRITTEN) or {}).get("written", {})
    started = read_json(DAEMON_JSON_STARTED)
    return {
        "forwards": text(FORWARD).strip() == "1" if forwarding_needed(started or config or {}) else None,
        "lost": configuration_lost(config, written),
        "waiting": configuration_waiting(config, started, read_json(DAEMON_JSON_LOADED)),
    }


def watch() -> dict | None:
    """Restarts of a registrator that hung, since the host has booted; None where nobody has counted."""
    try:
        with open(WATCH, encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return None
    return {"restarts": found["restarts"], "last": max(found["times"], default=0), "problem": found["problem"]}


def templates() -> dict:
    """A user's own templates: name to the state of its unit, and whether its file is written and its command has ended well since
    the unit has started."""
    found = {}
    for path in sorted(glob.glob(f"{UNITS}/{TEMPLATE}*.service")):
        unit = os.path.basename(path)[: -len(".service")]
        shown = output("systemctl", "show", f"{unit}.service", "-p", "ActiveState,SubState,Result")
        state = dict(line.split("=", 1) for line in shown.splitlines())
        words = [state["ActiveState"], state["SubState"], *([] if state["Result"] == "success" else [state["Result"]])]
        done = os.path.exists(f"{RUN}/{unit}/done")
        found[unit[len(TEMPLATE) :]] = {"state": "active" if state["SubState"] == "running" else ", ".join(words), "done": done}
    return found


def clock(begin: float) -> dict:
    return {"begin": begin, "end": time.time()}


def tried(probe: Callable, *arguments):
    """What a probe finds, or why it found nothing."""
    try:
        return probe(*arguments)
    except subprocess.TimeoutExpired as error:
        return {"error": f"no answer within {SECONDS} s: {' '.join(error.cmd[:2])}"}
    except subprocess.CalledProcessError as error:
        return {"error": (error.stderr or str(error)).strip().splitlines()[-1][:200]}
    except Stopped as error:
        return {"error": str(error)}
    except Exception as error:  # whatever it is: the other parts are gathered all the same
        return {"error": f"{type(error).__name__}: {error}"[:200]}


def part(name: str, *probe) -> dict | None:
    """What a probe finds, cut to what the controller takes, or why it found nothing."""
    found = tried(*probe)
    return found if isinstance(found, dict) and set(found) == {"error"} else fitted(name, found)


def main():
    begin = time.time()
    module = AnsibleModule(
        argument_spec={
            "token": {"type": "str", "default": "", "no_log": True},
            "node": {"type": "str", "required": True},
            "cluster": {"type": "bool", "default": True},
            "backups": {"type": "path", "default": "/var/backups/consul"},
        },
        supports_check_mode=True,
    )
    api = Api(module.params["token"], timeout=5)
    probes = {
        "consul": (agent, api, module.params["node"]),
        "cluster": (cluster, api),
        "certificates": (certificates,),
        "backups": (backups, module.params["backups"]),
        "balancer": (balancer,),
        "services": (services, api, module.params["node"]),
        "containers": (containers,),
        "templates": (templates,),
        "configuration": (configuration,),
        "resolver": (resolver,),
        "firewall": (firewall,),
        "disks": (disks,),
        "client_certificates": (client_certificates,),
        "dockerd": (dockerd,),
        "floating_addresses": (floating_addresses,),
        # The last: what is asked takes the time between.
        "clock": (clock, begin),
    }
    if not module.params["cluster"]:
        del probes["cluster"]
    module.exit_json(changed=False, parts={name: part(name, *probe) for name, probe in probes.items()})


if __name__ == "__main__":
    main()
