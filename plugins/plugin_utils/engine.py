"""The container engine: what keeps the role dockerd from working on a host, as far as it can be known before a change."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..module_utils.docker_config import merged, problems
from ..module_utils.docker_engine import OLDEST, upstream

CONFIG = "/etc/docker/daemon.json"
VERSION = re.compile(r"\d+(\.\d+)+")
OVERLAYS = ("none", "consul", "swarm")
WHERE_CONSUL = (
    "the Consul store is in engines up to 20.10 (Debian 11's docker.io 20.10.5, docker-ce 20.10), but not in Debian 12's 20.10.24"
)


def engine_problems(host: str, engine: Mapping, settings: Mapping) -> list[str]:
    """What must be put right first, one message each.

    :param host: inventory name
    :param engine: `engine` of the module engine_facts
    :param settings: overlay, data_root ('' for the engine's own choice), extra_config, config (all that the role wants in
        daemon.json)
    :returns: [] when nothing is wrong
    """
    return [
        *_engine(host, engine),
        *_overlay(host, engine, settings["overlay"]),
        *_unit(host, engine),
        *_config(host, engine, settings),
    ]


def described(engine: Mapping) -> str:
    """An engine in words: docker.io 26.1.5 (installed)."""
    number = VERSION.search(engine["version"])
    number = number.group() if number else "of unknown version"
    return f"{engine['package'] or engine['binary']} {number} ({'installed' if engine['installed'] else 'to be installed'})"


def _engine(host: str, engine: Mapping) -> list[str]:
    found = []
    if upstream(engine["version"]) < OLDEST:
        oldest = ".".join(str(part) for part in OLDEST)
        found.append(f"the engine of {host} is {described(engine)}, but the role dockerd needs {oldest} or newer: upgrade it")
    if engine["installed"] and not engine["unit"]:
        found.append(
            f"{host} has {engine['binary']}, but no docker.service: install the package docker.io or docker-ce,"
            " or remove the program"
        )
    return found


def _overlay(host: str, engine: Mapping, overlay: str) -> list[str]:
    """Whether this engine can do the overlay, and is not busy with another."""
    if overlay not in OVERLAYS:
        return [f"dockerd_overlay is '{overlay}' on {host}: set discovery_overlay to one of {', '.join(OVERLAYS)}"]
    if overlay not in engine["overlays"]:
        other = "" if overlay == "swarm" else "discovery_overlay: swarm (recommended), or "
        why = WHERE_CONSUL if overlay == "consul" else "swarm needs 20.10 or newer"
        return [
            f"dockerd_overlay is '{overlay}' on {host}, whose engine is {described(engine)}: {why}."
            f" Set {other}discovery_overlay: none"
        ]
    state = engine["swarm"]["state"]
    if overlay == "consul" and state not in ("inactive", "unknown"):
        return [
            f"dockerd_overlay is 'consul' on {host}, whose engine is in a Swarm ({state}, node {engine['swarm']['node']});"
            " an engine cannot do both: leave it (docker swarm leave), or set discovery_overlay: swarm"
        ]
    return []


def _unit(host: str, engine: Mapping) -> list[str]:
    """Flags outside daemon.json, which our ExecStart would drop or never come to."""
    found = []
    if engine["options"] and engine["package"] == "docker.io":
        found.append(
            f"/etc/default/docker of {host} sets DOCKER_OPTS ({engine['options']}), which would be lost:"
            " put these settings into dockerd_extra_config and remove the line"
        )
    for dropin in engine["dropins"]:
        effect = "would win over the role's own" if dropin["wins"] else "would be lost"
        found.append(
            f"{dropin['path']} of {host} sets ExecStart, which {effect}:"
            " put its settings into dockerd_extra_config and remove the file"
        )
    return found


def _config(host: str, engine: Mapping, settings: Mapping) -> list[str]:
    """daemon.json, as it would be."""
    if engine["config"] is None and not engine["written"]:
        return [f"{CONFIG} of {host} cannot be read ({engine['config_error']}): mend it, or remove it to start anew"]
    present, written = engine["config"] or {}, engine["written"]
    after = merged(present, settings["config"], written)
    foreign = {key: value for key, value in present.items() if written.get(key) != value}

    def source(key: str) -> str:
        return "dockerd_extra_config" if key in settings["extra_config"] else CONFIG

    found = []
    overlay = settings["overlay"]
    if overlay != "none" and after.get("live-restore"):
        found.append(
            f"{source('live-restore')} sets live-restore on {host}, which does not work with dockerd_overlay '{overlay}'"
            f" (its engine is {described(engine)}): take it out, or set discovery_overlay: none"
        )
    store = sorted(key for key in after if key.startswith("cluster-"))
    if overlay != "consul" and store:
        found.append(
            f"{source(store[0])} sets {', '.join(store)} on {host}, but dockerd_overlay is '{overlay}': take it out,"
            " or set discovery_overlay: consul"
        )
    # By the file, not by what the engine tells: that has links resolved.
    root, now = (config.get("data-root", "/var/lib/docker") for config in (after, present))
    if engine["containers"] and root != now:
        found.append(
            f"dockerd_data_root is {root} on {host}, but its engine has {engine['containers']} containers in"
            f" {now}, which would be out of its sight: set it to that, or stop the engine and move the data first"
        )
    if not engine["validate"] and upstream(engine["version"]) >= OLDEST:
        for problem in problems(after):
            key = problem.split(" ", 1)[0].rstrip(":")
            owner = CONFIG if key in foreign and key not in settings["config"] else "dockerd_extra_config"
            found.append(f"{owner} on {host}: {problem}; the engine is {described(engine)}")
    return found
