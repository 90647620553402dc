"""Hand this host's services over to another implementation: python3 -m registrator.handover consul-tls://127.0.0.1:8501

For the host, after the other registrator has started. It registers the running containers under the same ids, which removes our
marker; but our checks would stay beside its own for ever: `health` critical if it was so at that moment, the others at an old
port. So they are removed, and so are the services that the other one does not adopt. Services stay registered all the time. Ends
with 1 when nothing was adopted. Python 3.9.
"""

from __future__ import annotations

import os
import sys
import time
from typing import NamedTuple

from .agent import Agent
from .clear import DAEMON_JSON, FAILURES, leftover, owners, read, settings
from .log import log
from .marker import CHECKS, Owner, described

PATIENCE = 10  # seconds without progress, before the services that are still marked are left over
PAUSE = 0.5  # seconds between two comparisons


class Left(NamedTuple):
    """Entries that are still ours at the agent."""

    services: list[str]
    checks: list[tuple[str, str]]  # service and check, where the service is not ours any more


def left(services: dict[str, dict], checks: dict[str, dict], owners: list[Owner]) -> Left:
    """:param services: the agent's answer to GET /v1/agent/services: id to entry
    :param checks: the agent's answer to GET /v1/agent/checks: id to check
    """
    marked = leftover(services, owners, cleanup=False)
    ours = {f"service:{service}:{name}": service for service in services if service not in marked for name in CHECKS}
    return Left(marked, [(ours[check], check) for check in sorted(checks) if check in ours])


def hand_over(agent: Agent, owners: list[Owner]) -> int:
    """Wait until nothing is ours, or nothing happens any more; returns 0 when it is done."""
    first = last = None
    since, dropped, trouble = time.monotonic(), 0, ""
    while True:
        try:
            services = agent.services()
            now = left(services, agent.checks(), owners)
            for service, check in now.checks:
                agent.drop_check(check)
                log("check-dropped", id=service, **described(services[service]), check=check, reason="another registrator has it")
            dropped += len(now.checks)
            first = now.services if first is None else first
            if now.services != last:
                last, since = now.services, time.monotonic()
            if not now.services:
                break
            if time.monotonic() - since > PATIENCE:
                if now.services == first:
                    log("failed", reason=f"nothing was adopted within {PATIENCE} s: see `docker logs registrator`")
                    return 1
                for service in now.services:
                    agent.deregister(service)
                    log("deregistered", id=service, **described(services[service]), reason="not adopted by the other registrator")
        except FAILURES as error:
            trouble = f"{type(error).__name__}: {error}"
            if time.monotonic() - since > PATIENCE:
                log("failed", reason=trouble)
                return 1
        time.sleep(PAUSE)
    if first or dropped:
        log("handed-over", services=len(first), checks=dropped)
    return 0


if __name__ == "__main__":
    sys.exit(hand_over(Agent(sys.argv[-1]), owners(os.uname().nodename, settings(read(DAEMON_JSON)), read)))
