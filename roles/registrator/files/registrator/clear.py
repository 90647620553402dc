"""Deregister this host's containers: python3 -m registrator.clear [-cleanup] [-stopped] consul-tls://127.0.0.1:8501

For the host, not for the image: runs after each end of dockerd, and at boot before dockerd starts. Until the registrator runs
again nobody else would deregister them, and the ports that dockerd freed may belong to other services by then. The agent syncs
the catalog by itself, but only while there is a leader: without one the catalog, which still answers, may keep the old entries
until after dockerd's start. So they are deregistered in the catalog, too, until the servers have agreed on it; then the load
balancers get the time to sync. It ends within DEADLINE seconds and always with 0: neither dockerd nor a boot may wait
longer, or fail, because of it. Python 3.9.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from .agent import Agent, AgentError, Refused
from .log import log
from .marker import Owner, described, is_ours, is_predecessors

DEADLINE = 10  # seconds in all: servers that all boot at once, or have lost their leader, have to agree on one first
FOLLOW = 2  # seconds that a load balancer may be behind the catalog: it reloads once a second, and a reload takes time
PATIENCE = 1  # seconds for one answer: a request that went to a leader without power hangs, the next one may find another
PAUSE = 0.2  # seconds between two attempts
T = TypeVar("T")
DAEMON_JSON = "/etc/docker/daemon.json"
FAILURES = (OSError, http.client.HTTPException, ValueError, AgentError, Refused)


class Late(BaseException):
    """The deadline; not an Exception, so that no attempt handles it as its own failure."""


def leftover(services: dict[str, dict], owners: Iterable[Owner], cleanup: bool) -> list[str]:
    """Ids of the services that stand for containers of this host.

    :param services: the agent's answer to GET /v1/agent/services: id to entry
    :param owners: identify our own entries; one for each id that dockerd may have
    :param cleanup: also entries that a registrator without our marker left on this host
    """
    owners = list(owners)
    return [
        service_id
        for service_id, entry in sorted(services.items())
        if any(is_ours(entry, owner) or (cleanup and is_predecessors(entry, owner)) for owner in owners)
    ]


def owners(host: str, daemon: dict, read) -> list[Owner]:
    """This host by its name, and by dockerd's id where dockerd's files hold it.

    :param daemon: content of dockerd's daemon.json
    :param read: text of a file by its path, '' where there is none
    """
    ids = {"", read(os.path.join(daemon.get("data-root", "/var/lib/docker"), "engine-id")).strip()}
    ids.add(settings(read("/etc/docker/key.json")).get("kid", ""))  # up to version 24
    return [Owner(host, dockerd) for dockerd in sorted(ids)]


def clear(agent: Agent, owners: list[Owner], cleanup: bool, removed: set[str]) -> None:
    """Deregister them at the agent until none is left.

    :param removed: gets the id of each one before it goes, so that none is lost when this fails on the way
    """
    while True:
        services = agent.services()
        ids = leftover(services, owners, cleanup)
        for service_id in ids:
            removed.add(service_id)
            agent.deregister(service_id)
            log("deregistered", id=service_id, **described(services[service_id]), reason="dockerd does not run")
        if not ids:
            return


def retry(step: Callable[..., T], *arguments: object) -> T:
    """Repeat a step until it succeeds; at boot the agent may need a moment."""
    trouble = ""
    while True:
        try:
            return step(*arguments)
        except FAILURES as error:
            if trouble != f"{type(error).__name__}: {error}":
                trouble = f"{type(error).__name__}: {error}"
                log("failed", reason=trouble)
        time.sleep(PAUSE)


def clear_all(agent: Agent, owners: list[Owner], cleanup: bool) -> int:
    """Deregister them at the agent and in the catalog; returns their number."""
    removed: set[str] = set()
    node = retry(agent.node) or owners[0].host
    retry(clear, agent, owners, cleanup, removed)
    for service_id in sorted(removed):
        retry(agent.deregister_in_catalog, node, service_id)
    log("cleared", services=len(removed))
    return len(removed)


def read(path: str) -> str:
    """The text of a file; '' where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError):
        return ""


def settings(text: str) -> dict:
    """A JSON object; {} where the text is none."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def late(*_: object) -> None:
    raise Late


def main(arguments: list[str]) -> int:
    """0, whatever happens."""
    stopped = "-stopped" in arguments
    signal.signal(signal.SIGALRM, late)
    signal.alarm(DEADLINE)
    try:
        daemon = settings(read(DAEMON_JSON))
        if stopped and daemon.get("live-restore"):
            log("kept", reason="live-restore: the containers run on without dockerd")
            return 0
        agent = Agent(arguments[-1], timeout=PATIENCE)
        found = clear_all(agent, owners(os.uname().nodename, daemon, read), "-cleanup" in arguments)
        if found or stopped:  # the registrator may have deregistered them a moment ago
            time.sleep(FOLLOW)
    except Late:
        log("failed", reason=f"not done within {DEADLINE} s: catalog and load balancers sync later")
    finally:
        signal.alarm(0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
