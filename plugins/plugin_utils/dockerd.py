"""dockerd: what keeps the role dockerd from working on a host, as far as it can be known before a change."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..module_utils.dockerd import OLDEST, described, upstream
from ..module_utils.dockerd_config import DAEMON_JSON, merged, problems
from .address_pools import hiding_networks, pool_problems
from .docker_cluster_store import cluster_store_problems
from .host_addresses import mtu_of

PROXIES = ("http-proxy", "https-proxy", "no-proxy")
PLAIN, PLAIN_URL = re.compile(r"""[^'"\\\x00-\x1f]*"""), re.compile(r"""[^'"\\\s\x00-\x1f]*""")
# Limits that dockerd knows (ulimit.go of docker/go-units).
LIMITS = {
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime",
    "sigpending", "stack",
}  # fmt: skip
USUAL_MTU = 1500  # of networks of kind bridge, unless daemon.json has another
# States of a dockerd that has the data of a swarm.
IN_SWARM = ("active", "pending", "error", "locked")
LIMIT = re.compile(r"(-1|\d+)(?::(-1|\d+))?")


def dockerd_hardening(settings: Mapping) -> dict:
    """The settings of daemon.json that limit containers (decisions/dockerd-hardening).

    :param settings: no_new_privileges and userland_proxy (bool), default_ulimits (name to soft:hard, or to one number for both;
        -1 is unlimited)
    :returns: only what differs from dockerd's own default, so that daemon.json, and with it the running dockerd, stays as it is
        where a site chooses nothing. A malformed limit is left out: dockerd_problems names it.
    """
    wanted: dict = {}
    if settings["no_new_privileges"]:
        wanted["no-new-privileges"] = True
    if not settings["userland_proxy"]:
        wanted["userland-proxy"] = False
    parsed = {name: LIMIT.fullmatch(str(value)) for name, value in settings["default_ulimits"].items()}
    limits = {
        name: {"Name": name, "Soft": int(found[1]), "Hard": int(found[2] or found[1])} for name, found in parsed.items() if found
    }
    return wanted | ({"default-ulimits": limits} if limits else {})


def public_proxies(proxies: Mapping) -> dict[str, str]:
    """Variables of dockerd's environment for its proxies, without those that have a user or password: every local user may read
    the environment of a unit, by its file and from systemd.

    :param proxies: http-proxy, https-proxy, no-proxy
    :returns: HTTP_PROXY, … to value
    """
    return {_variable(key): value for key, value in proxies.items() if "@" not in value}


def private_proxies(proxies: Mapping) -> dict[str, str]:
    """The variables that public_proxies leaves out."""
    return {_variable(key): value for key, value in proxies.items() if "@" in value}


def _variable(key: str) -> str:
    return key.upper().replace("-", "_")


def swarm_problems(host: str, dockerd: Mapping) -> list[str]:
    """What keeps dockerd from being a member of a swarm."""
    if "swarm" in dockerd["overlays"]:
        return []
    return [
        f"dockerd_overlay is 'swarm' on {host}, whose dockerd is {described(dockerd)}: swarm needs 20.10 or newer."
        " Set discovery_overlay: none"
    ]


# Overlay networks, each with its rules.
OVERLAYS = {
    "none": lambda host, dockerd: [],
    "consul": cluster_store_problems,
    "swarm": swarm_problems,
}


def dockerd_problems(host: str, dockerd: Mapping, settings: Mapping) -> list[str]:
    """Find what must be put right first, one message each.

    :param host: inventory name
    :param dockerd: `dockerd` of the module dockerd_facts
    :param settings: overlay, extra_config (of the site), config (all that the role wants in daemon.json), default_ulimits,
        userland_proxy, firewall (whether the site's is on), proxies, avoided (of `avoided_networks`)
    :returns: [] when nothing is wrong
    """
    return [
        *_program(host, dockerd),
        *_proxies(host, settings["proxies"]),
        *_limits(host, settings["default_ulimits"]),
        *_loopback(host, settings),
        *_overlay(host, dockerd, settings["overlay"]),
        *_unit(host, dockerd),
        *_config(host, dockerd, settings),
    ]


def dockerd_warnings(host: str, dockerd: Mapping, settings: Mapping) -> list[str]:
    """Find what should be put right, and keeps nothing from working on as it does; one message each.

    :param dockerd: `dockerd` of the module dockerd_facts
    :param settings: overlay, avoided (of `avoided_networks`), addresses (docker host to its address), facts (the same to its
        `ansible_facts`, {} where they were not gathered)
    """
    hidden_networks = [
        f"dockerd's network {name} on {host} ({subnet}) hides {hidden}, which is in dockerd_avoided_networks: {host} does not"
        f" reach it. Remove the network (docker network rm {name}) and make it again after dockerd's next start; the network"
        " bridge moves at the next boot"
        for name, subnet, hidden in hiding_networks(settings["avoided"], dockerd)
    ]
    mtus = {name: mtu_of(settings["facts"][name], address) for name, address in settings["addresses"].items()}
    return [*hidden_networks, *_left_swarm(host, dockerd, settings["overlay"]), *_large_packets(host, dockerd, mtus)]


def _left_swarm(host: str, dockerd: Mapping, overlay: str) -> list[str]:
    """A swarm of earlier trials. Somebody may use it beside the site, so it is not refused; the firewall closes its ports."""
    state = dockerd["swarm"]["state"]
    if overlay != "none" or state not in IN_SWARM:
        return []
    return [
        f"{host} is in a swarm ({state}), and discovery_overlay is none, so nothing of the site uses it, and live-restore is"
        f" impossible with it. Run 'docker swarm leave --force' on {host} if nobody needs it, or set discovery_overlay: swarm"
    ]


def _large_packets(host: str, dockerd: Mapping, mtus: Mapping[str, int]) -> list[str]:
    """A host whose network carries less than that of another one, and containers that ask others for more. Within one network
    no sender has larger packets; between two a router reports them, unless it or a firewall drops the reports. A host's own
    programs, such as the load balancer, ask for what its interface carries.
    """
    largest = max(mtus, key=lambda name: (mtus[name], name), default=host)
    containers = (dockerd["config"] or {}).get("mtu") or USUAL_MTU
    own = mtus.get(host, 0)
    if not isinstance(containers, int) or not 0 < own < min(containers, mtus[largest]):
        return []
    return [
        f"the network of {host} carries packets of {own} bytes, that of {largest} {mtus[largest]}, and containers on {host} ask"
        f" for {containers}: where a router drops ICMP, large requests and answers to them hang. Set dockerd_extra_config:"
        f" {{mtu: {own}}} for {host}, and for a network of Compose driver_opts: {{com.docker.network.driver.mtu: '{own}'}}"
    ]


def _program(host: str, dockerd: Mapping) -> list[str]:
    found = []
    if upstream(dockerd["version"]) < OLDEST:
        oldest = ".".join(str(part) for part in OLDEST)
        found.append(f"dockerd of {host} is {described(dockerd)}, but the role dockerd needs {oldest} or newer: upgrade it")
    if dockerd["installed"] and not dockerd["unit"]:
        found.append(
            f"{host} has {dockerd['binary']}, but no docker.service: install the package docker.io or docker-ce,"
            " or remove the program"
        )
    return found


def _proxies(host: str, proxies: Mapping) -> list[str]:
    """Check the proxies; no message has a value, which may hold a password."""
    unknown, known = sorted(set(proxies) - set(PROXIES)), sorted(set(proxies) & set(PROXIES))
    found = [f"dockerd_proxies has {key} on {host}: its keys are {', '.join(PROXIES)}" for key in unknown]
    for key in known:
        if not isinstance(proxies[key], str) or not (PLAIN if key == "no-proxy" else PLAIN_URL).fullmatch(proxies[key]):
            found.append(
                f"dockerd_proxies has a {key} on {host} that is no text, or has a quote, backslash or space: percent-encode these"
                " in user and password of http://user:password@host:port"
            )
    return found


def _limits(host: str, limits: Mapping) -> list[str]:
    """Check the limits of containers: a wrong one would keep every container from starting, not dockerd."""
    found = []
    for name, value in sorted(limits.items()):
        given = f"dockerd_default_ulimits has {name}: {value} on {host}"
        parts = LIMIT.fullmatch(str(value))
        if name not in LIMITS:
            found.append(f"{given}: dockerd knows {', '.join(sorted(LIMITS))}")
        elif not parts:
            found.append(f"{given}: set it to soft:hard, such as 1024:524288, or to one number for both (-1 is unlimited)")
        elif 0 <= int(parts[2] or parts[1]) < (int(parts[1]) if parts[1] != "-1" else float("inf")):
            found.append(f"{given}: the soft limit is above the hard one")
        elif name == "nofile" and "-1" in parts.groups():
            found.append(f"{given}: the kernel has no unlimited number of open files, and no container would start; set a number")
    return found


def _loopback(host: str, settings: Mapping) -> list[str]:
    """Without docker-proxy dockerd sets route_localnet on its bridges: the host's loopback is then one hop from a container."""
    if settings["userland_proxy"] or settings["firewall"]:
        return []
    return [
        f"dockerd_userland_proxy is false on {host}, where discovery_firewall is false: containers would reach programs that"
        " listen on 127.0.0.1 of the host only. Set discovery_firewall: true; where another firewall drops packets to"
        " 127.0.0.0/8 that do not come in by lo, set dockerd_extra_config: {userland-proxy: false} instead"
    ]


def _overlay(host: str, dockerd: Mapping, overlay: str) -> list[str]:
    """Check that dockerd supports the overlay network, and is not part of another."""
    if overlay not in OVERLAYS:
        return [f"dockerd_overlay is '{overlay}' on {host}: set discovery_overlay to one of {', '.join(OVERLAYS)}"]
    return OVERLAYS[overlay](host, dockerd)


def _unit(host: str, dockerd: Mapping) -> list[str]:
    """Find flags outside daemon.json, which the ExecStart of the role would drop or never reach."""
    found = []
    if dockerd["options"] and dockerd["package"] == "docker.io":
        found.append(
            f"/etc/default/docker of {host} sets DOCKER_OPTS ({dockerd['options']}), which would be lost:"
            " put these settings into dockerd_extra_config and remove the line"
        )
    for dropin in dockerd["dropins"]:
        effect = "would win over the role's own" if dropin["wins"] else "would be lost"
        found.append(
            f"{dropin['path']} of {host} sets ExecStart, which {effect}:"
            " put its settings into dockerd_extra_config and remove the file"
        )
    return found


def _config(host: str, dockerd: Mapping, settings: Mapping) -> list[str]:
    """Check daemon.json as it would be."""
    if dockerd["config"] is None and not dockerd["written"]:
        return [f"{DAEMON_JSON} of {host} cannot be read ({dockerd['config_error']}): repair it, or remove it to start anew"]
    present, written = dockerd["config"] or {}, dockerd["written"]
    after = merged(present, settings["config"], written)
    foreign = {key: value for key, value in present.items() if written.get(key) != value}

    def source(key: str) -> str:
        return "dockerd_extra_config" if key in settings["extra_config"] else DAEMON_JSON

    found = []
    overlay = settings["overlay"]
    if overlay != "none" and after.get("live-restore"):
        found.append(
            f"{source('live-restore')} sets live-restore on {host}, which does not work with dockerd_overlay '{overlay}'"
            f" (its dockerd is {described(dockerd)}): take it out, or set discovery_overlay: none"
        )
    if overlay == "none" and after.get("live-restore") and dockerd["swarm"]["state"] in IN_SWARM:
        found.append(
            f"{source('live-restore')} sets live-restore on {host}, which is in a swarm ({dockerd['swarm']['state']}): dockerd"
            f" would not start. Run 'docker swarm leave --force' on {host} if nobody needs the swarm, or take live-restore out"
        )
    store = sorted(key for key in after if key.startswith("cluster-"))
    if overlay != "consul" and store:
        found.append(
            f"{source(store[0])} sets {', '.join(store)} on {host}, but dockerd_overlay is '{overlay}': take it out,"
            " or set discovery_overlay: consul"
        )
    found += pool_problems(host, settings["avoided"], after, settings["extra_config"])
    # By the file, not by what dockerd reports: that has links resolved.
    root, now = (config.get("data-root", "/var/lib/docker") for config in (after, present))
    if dockerd["containers"] and root != now:
        found.append(
            f"dockerd_data_root is {root} on {host}, but its dockerd has {dockerd['containers']} containers in"
            f" {now}, which it would not find: set it to that, or stop dockerd and move the data first"
        )
    # The driver is what dockerd reports: a file that names the one in use changes nothing. Of userns-remap, what the role has
    # written counts before a file that has lost it, with which dockerd has not started.
    in_use = {"storage-driver": dockerd.get("storage_driver", ""), "userns-remap": (present | written).get("userns-remap", "")}
    for key, used in in_use.items():
        wanted = after.get(key, "" if key == "userns-remap" else used)
        if dockerd["containers"] and wanted != used and (used or key == "userns-remap"):
            found.append(
                f"{source(key)} sets {key} to '{wanted}' on {host}, but its dockerd has {dockerd['containers']} containers with"
                f" '{used}', which it would not find: keep that, or remove the containers first"
            )
    if not dockerd["validate"] and upstream(dockerd["version"]) >= OLDEST:
        for problem in problems(after):
            key = problem.split(" ", 1)[0].rstrip(":")
            owner = DAEMON_JSON if key in foreign and key not in settings["config"] else "dockerd_extra_config"
            found.append(f"{owner} on {host}: {problem}; dockerd is {described(dockerd)}")
    return found
