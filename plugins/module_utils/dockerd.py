"""Capabilities of dockerd, and changes that a running one has not applied yet. Pure: no clock, no network, no files."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

# The oldest version that the role supports.
OLDEST = (20, 10)

# Settings that SIGHUP applies to dockerd (daemon/reload.go of moby v20.10.5 to v26.1.5). The removal of one is not
# applied: dockerd keeps its value. The cluster store needs a restart: its token is read at the start only.
RELOADABLE = (
    "allow-nondistributable-artifacts",
    "authorization-plugins",
    "debug",
    "default-runtime",
    "features",
    "insecure-registries",
    "labels",
    "live-restore",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "registry-mirrors",
    "runtimes",
    "shutdown-timeout",
)

# What dockerd takes subnets from when nothing else is configured (libnetwork/ipamutils of moby v20.10.5 to v26.1.5), with the
# length of the prefix of each network.
OWN_POOLS = {
    "172.17.0.0/16": 16,
    "172.18.0.0/16": 16,
    "172.19.0.0/16": 16,
    "172.20.0.0/14": 16,
    "172.24.0.0/14": 16,
    "172.28.0.0/14": 16,
    "192.168.0.0/16": 20,
}


def upstream(version: str) -> tuple[int, ...]:
    """dockerd's own version in a package's: 5:20.10.24~3-0~debian-bullseye is (20, 10, 24); () when there is none."""
    found = re.match(r"(?:\d+:)?v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def described(dockerd: dict) -> str:
    """Name dockerd for messages, such as docker.io 26.1.5 (installed).

    :param dockerd: package, version, binary and installed, as the module dockerd_facts returns them
    """
    number = re.search(r"\d+(\.\d+)+", dockerd["version"])
    version = number.group() if number else "of unknown version"
    return f"{dockerd['package'] or dockerd['binary']} {version} ({'installed' if dockerd['installed'] else 'to be installed'})"


def capabilities(package: str, version: str) -> dict:
    """Capabilities of dockerd, by its package and version.

    :param package: docker.io is the distribution's; docker-ce, or '' for a program without a package, is Docker's own build
    :param version: the package's version
    :returns: overlays (names that discovery_overlay may have), validate (it checks a file by --validate), proxies (it takes
        proxies from daemon.json)

    Consul as cluster store: in dockerd before 23.0 (moby's docs/deprecated.md). Of Debian's builds the one of Debian 11 has it
    (20.10.5, tried), the one of Debian 12 has not (20.10.24, tried); none between them was in a release. Swarm: tried with
    Debian's 20.10.5 and 26.1.5.
    """
    number = upstream(version)
    overlays = ["none"]
    if number >= OLDEST:
        if number < (23,) and (package != "docker.io" or number <= (20, 10, 5)):
            overlays.append("consul")
        overlays.append("swarm")
    return {"overlays": overlays, "validate": number >= (23,), "proxies": number >= (23,)}


@dataclass(frozen=True)
class State:
    """One dockerd on its host.

    :ivar active: its unit runs
    :ivar enabled: its unit starts at boot
    :ivar program: path of the program that runs, '' when unknown; a replaced one ends in " (deleted)"
    :ivar reload_units: systemd has not read the unit's files since they changed
    :ivar config: daemon.json now, None when it cannot be read
    :ivar started: the same when dockerd was started, None when there is no record
    :ivar loaded: the same when it was last reloaded (or started)
    :ivar files: path to checksum of the other files that it reads at its start
    :ivar started_files: the same at its start, None when there is no record
    """

    active: bool
    enabled: bool = True
    program: str = ""
    reload_units: bool = False
    config: dict | None = None
    started: dict | None = None
    loaded: dict | None = None
    files: dict = field(default_factory=dict)
    started_files: dict | None = None


def pending(state: State, site: Iterable[str] = ()) -> tuple[str, list[str]]:
    """Find the change that makes dockerd run with what its files hold.

    :param site: addresses of the site's docker hosts; see `_dns_waits`, `_dns_options_wait` and `_pools_wait`
    :returns: none, start, reload or restart, and the reasons (names of settings and files, never values)
    """
    if not state.active:
        return "start", ["dockerd is not running"]
    if state.config and state.started:
        waiting = [key for key in _WAITS if _WAITS[key](state.config.get(key), state.started.get(key), set(site))]
        config, loaded = (_as_before(one, state.started, waiting) for one in (state.config, state.loaded))
        state = replace(state, config=config, loaded=loaded)
    reasons = []
    if state.program.endswith(" (deleted)"):
        reasons.append("the program was replaced")
    if state.reload_units:
        reasons.append("the unit changed")
    if state.config is None or state.started is None or state.started_files is None:
        reasons.append("it is not known what dockerd was started with")
    else:
        reasons += _changed(state.files, state.started_files)
        reasons += _changed(_fixed(state.config), _fixed(state.started))
    if not reasons:
        before = state.started if state.loaded is None else state.loaded
        reasons += [f"{key} was removed" for key in sorted(before.keys() - state.config.keys())]
    if reasons:
        return "restart", reasons
    changed = _changed(state.config, before)
    if changed:
        return "reload", changed
    return ("none", []) if state.enabled else ("start", ["the unit is not enabled"])


def _dns_waits(now: list[str] | None, before: list[str] | None, site: set[str]) -> bool:
    """Whether other name servers of containers apply at dockerd's next start only: those of before are hosts of the site, too,
    and the host itself stays the first. A site that grows would pay with a restart, which ends every container of the host."""
    if not now or not before or now == before:
        return False
    return now[0] == before[0] and site.issuperset(now + before)


def _dns_options_wait(now: list[str] | None, before: list[str] | None, _site: set[str]) -> bool:
    """Whether other options of containers' resolv.conf apply at dockerd's next start only: those that say how long a program
    waits for a name server. They matter while one hangs, which is not worth a restart."""
    return now != before and _lasting(now) == _lasting(before)


def _pools_wait(now: list[dict] | None, before: list[dict] | None, _site: set[str]) -> bool:
    """Whether other pools for networks apply at dockerd's next start only: parts of dockerd's own. The networks that it has keep
    theirs anyway. Other pools are a choice of the site."""
    return now != before and all(map(_own_pool, [*(now or []), *(before or [])]))


def _own_pool(pool: dict) -> bool:
    try:
        network = ipaddress.IPv4Network(pool["base"])
    except (KeyError, TypeError, ValueError):
        return False
    return any(size == pool.get("size") and network.subnet_of(ipaddress.IPv4Network(own)) for own, size in OWN_POOLS.items())


def _lasting(options: list[str] | None) -> list[str]:
    """The options of resolv.conf(5) without those that say how long to wait."""
    return [option for option in options or [] if not option.startswith(("timeout:", "attempts:"))]


# Settings that are read at dockerd's start only, and may wait for the next one.
_WAITS = {"dns": _dns_waits, "dns-opts": _dns_options_wait, "default-address-pools": _pools_wait}


def _as_before(config: dict | None, started: dict, keys: Iterable[str]) -> dict | None:
    """A configuration with the values that some keys had at dockerd's start."""
    if not config:
        return config
    other = {key: value for key, value in config.items() if key not in keys}
    return other | {key: started[key] for key in keys if key in started}


def _fixed(config: dict) -> dict:
    """The settings that dockerd reads at its start only."""
    return {key: value for key, value in config.items() if key not in RELOADABLE}


def _changed(now: dict, before: dict) -> list[str]:
    return [f"{key} changed" for key in sorted(now.keys() | before.keys()) if now.get(key) != before.get(key)]


def returning(container: dict) -> bool:
    """Whether dockerd starts a container again by itself after its own restart (an inspection)."""
    return container["HostConfig"]["RestartPolicy"]["Name"] in ("always", "unless-stopped")


def name_of(container: dict) -> str:
    return container["Name"].lstrip("/")


def owners(services: dict[str, dict], containers: list[dict]) -> dict[str, str]:
    """Id of a Consul service to the name of the container it stands for; nothing for one that stands for none.

    :param services: /v1/agent/services
    :param containers: inspections of the running containers
    """
    found = {}
    for name, service in services.items():
        if not any(key.startswith("registrator") for key in service.get("Meta") or {}):
            continue
        endpoint = (service.get("Address", ""), service.get("Port", 0))
        holders = [name_of(container) for container in containers if _has(container, *endpoint)]
        if holders:
            found[name] = holders[0]
    return found


def _has(container: dict, address: str, port: int) -> bool:
    """Whether a container answers at an address: a published port, or one of its own on a network of its own."""
    network = container["NetworkSettings"]
    bindings = [binding for found in (network.get("Ports") or {}).values() for binding in found or []]
    if any(binding.get("HostPort") == str(port) for binding in bindings):
        return True
    exposed = {int(key.partition("/")[0]) for key in container["Config"].get("ExposedPorts") or {}}
    own = {entry.get("IPAddress", "") for entry in (network.get("Networks") or {}).values()} - {""}
    return port in exposed and (address in own or container["HostConfig"].get("NetworkMode") == "host")


def not_yet(before: dict, now: dict) -> str:
    """What is still missing after a restart; '' when all that returns by itself is as it was before.

    :param before: containers (names of those that ran and return by themselves), passing (ids of services), owners (id of
        a service to the name of its container)
    :param now: containers (names of those that run), passing, owners; services None when there is no agent of Consul

    An entry of a container counts when it leads to the container that runs now: after a restart published ports are others.
    """
    missing = sorted(before["containers"] - now["containers"])
    if missing:
        return f"containers that ran before do not run: {', '.join(missing)}"
    lost = []
    for service in sorted(before["passing"]):
        owner = before["owners"].get(service)
        if owner is not None and owner not in before["containers"]:
            continue  # its container does not return by itself
        if service not in now["passing"] or (owner is not None and now["owners"].get(service) != owner):
            lost.append(service)
    return f"services that passed before do not pass: {', '.join(lost)}" if lost else ""
