"""When a load balancer that has ended starts again: one that was killed at once, one that fails after a second, each for ever.

The decision is balancer-killed.
"""

from __future__ import annotations

import re

NAME = re.compile(r"[a-z][a-z0-9-]*")
RESTART = """\
# Not a short time: systemd lets a timer wait for up to a quarter of a second more.
RestartSec=0
# One that was killed comes back at once, with the configuration that it has just served. One that fails, such as for a port that
# is taken, is tried again after a second, for ever; a limit of starts would end that, RestartSteps= would never make it quick
# again. So is one that a signal ends twice in six seconds, such as one that crashes at its start.
ExecStopPost=-/bin/sh -c 'again=$({recent}); rm -f {mark}; \\
    case $SERVICE_RESULT in signal) [ -z "$again" ] || sleep 1; touch {mark} ;; \\
    success|timeout) ;; *) sleep 1 ;; esac'"""
SYNC = """\
# Sync first: a port that was taken while it was down must not keep it from starting. Not right after it was killed, where the
# sync would take longer than all else: it follows the start.
ExecStartPre=-/bin/sh -c '[ -n "$({recent})" ] \\
    || exec /usr/local/sbin/discovery-balancer sync'"""


def quick_restart(name: str) -> dict[str, str]:
    """Parts of the [Service] section of a load balancer's unit.

    :param name: what its mark is called after, such as nginx
    :returns: `mark`, the file that says that it was killed; `restart`, lines that make it; `sync`, lines for after the unit's
        other commands before the start
    :raises ValueError: for a name that a shell would read as something else
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"needs a name such as nginx, got {name!r}")
    mark = f"/run/discovery-{name}-killed"
    recent = f"find {mark} -mmin -0.1 2>/dev/null"  # minutes: six seconds
    return {"mark": mark, "restart": RESTART.format(mark=mark, recent=recent), "sync": SYNC.format(recent=recent)}
