"""Pure: times as settings of the site, labels and nginx write them."""

import re

SECONDS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(text) -> float:
    """A time such as 90, 500ms, 1.5h or 1h30m, in seconds; 0 for what is none."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdw]?)", str(text))
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def longest(plan, default) -> str:
    """How long the processes of this generation may finish their connections: one that may be silent for longer than the site's
    time would be cut within the time that its service has asked for.

    :param default: the site's; 0 for no limit
    """
    if not seconds(default):
        return default
    asked = [service.settings.read_timeout for service in (*plan.http, *plan.tcp) if service.settings.read_timeout]
    return max([default, *sorted(asked)], key=seconds)
