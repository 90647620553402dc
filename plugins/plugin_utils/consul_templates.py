"""A user's own templates: mistakes in them, and the configuration of the consul-template that follows one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

USER = "consul-template"  # without rights of its own; the role creates it
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
# What stands in a unit file as it is: without blanks, quotes and specifiers (%).
DESTINATION = re.compile(r"(/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*){2,}")
MODE = re.compile(r"0?[0-7][0-7][0-7]")
LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
PREFIX = re.compile(r"[A-Za-z0-9._/:@+-]+")
# Directories of the platform and its programs; the unit of a template may write beside its destination.
PLATFORM = (
    "/etc/consul-template", "/etc/consul.d", "/etc/discovery-acme", "/etc/discovery-balancer-acme",
    "/etc/discovery-balancer-certificates", "/etc/discovery-floating-address", "/etc/discovery-nginx",
    "/etc/discovery-templates", "/etc/docker", "/etc/haproxy", "/etc/nginx", "/etc/registrator", "/etc/registrator-clear",
    "/etc/systemd", "/opt/consul", "/opt/consul-template", "/opt/registrator", "/usr/bin", "/usr/lib", "/usr/local",
    "/usr/sbin", "/usr/share", "/var/backups/consul", "/var/lib/consul", "/var/lib/containerd", "/var/lib/discovery-acme",
    "/var/lib/discovery-balancer", "/var/lib/docker", "/var/lib/dockerd-discovery",
)  # fmt: skip
# What the unit sees another one of, may not see, or finds empty after a boot.
UNSEEN = ("/boot", "/dev", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var/run", "/var/tmp")


def template_problems(host: str, templates: Iterable[Mapping], prefixes: Iterable[str], users: Iterable[str]) -> list[str]:
    """Mistakes in consul_template_templates and consul_template_keys of a host, one message each.

    :param host: its inventory name
    :param templates: dicts with name, source (a file of the controller), destination, command, mode, user
    :param prefixes: of the keys that the templates may read
    :param users: names of the users that the host has
    :returns: [] when there is none. A message names variable, host, value, and the value to set
    """
    variable, templates, users = "consul_template_templates", list(templates), {*users, USER}
    found = [
        f"{variable}[{number}].{key} is {one.get(key)!r} on {host}: {advice}"
        for number, one in enumerate(templates)
        for key, advice in _of_one(one, users)
    ]
    for key in ("name", "destination"):
        values = [str(one.get(key)) for one in templates]
        found += [
            f"{variable} has {key} {value!r} more than once on {host}: give each template its own"
            for value in sorted({value for value in values if values.count(value) > 1})
        ]
    return found + [
        f"consul_template_keys has {prefix!r} on {host}: set the beginning of the keys, such as config/"
        for prefix in prefixes
        if not PREFIX.fullmatch(str(prefix)) or str(prefix).startswith("/")
    ]


def _of_one(one: Mapping, users: set[str]) -> Iterator[tuple[str, str]]:
    if not NAME.fullmatch(str(one.get("name"))):
        yield "name", "set it to at most 40 lower-case letters, digits and hyphens; its unit is called discovery-template-<name>"
    if not Path(str(one.get("source"))).expanduser().is_file():
        yield "source", "the controller has no such file; set the absolute path of the template, such as /srv/site/motd.ctmpl"
    if advice := destination_advice(str(one.get("destination"))):
        yield "destination", advice
    mode = one.get("mode", "0644")
    if not isinstance(mode, str):
        yield "mode", "put it between quotes; without them YAML reads 0644 as the number 420"
    elif not MODE.fullmatch(mode):
        yield "mode", "set it to octal digits between quotes, such as '0640'"
    if not str(one.get("command", "")).isprintable():
        yield "command", "set it to one line; put a longer one into a script on the host"
    user = str(one.get("user", USER))
    if not LOGIN.fullmatch(user) or user not in users:
        yield "user", "the host has no such user; create it first, or leave it unset"


def destination_advice(path: str) -> str:
    """What to set instead of a destination that cannot be one; '' when it can."""
    if not DESTINATION.fullmatch(path):
        return "set the absolute path of a file in a directory, of letters, digits and ._@+-"
    directory = path.rpartition("/")[0]
    if taken := next((one for one in PLATFORM if _overlap(directory, one)), ""):
        return f"{taken} is the platform's or the system's; use a directory beside it, such as /etc/<program>"
    if hidden := next((one for one in UNSEEN if _overlap(directory, one)), ""):
        return f"the sandbox of the unit hides {hidden}, or a boot empties it; use another directory, such as /etc/<program>"
    return ""


def _overlap(directory: str, other: str) -> bool:
    """Whether one is the other, or below it."""
    return f"{directory}/".startswith(f"{other}/") or f"{other}/".startswith(f"{directory}/")


def template_config(template: Mapping, address: str, max_backoff: str) -> str:
    """Configuration of the consul-template of one template, as JSON.

    The source is rendered twice from the same data: to its destination, and then to a file of the unit's own directory, which has
    the command. That directory is empty at each start, so the command runs at each start and after each change, and never before
    the destination is up to date. `done` tells that it ended well.

    :param address: of the agent, host:port
    :param max_backoff: longest pause between two attempts, a duration
    """
    run = f"/run/{unit_name(template['name'])}"
    source = f"{run}/template.ctmpl"
    command = f"( {template.get('command') or ':'}\n) && : > {run}/done"
    settings = {
        "consul": {
            "address": address,
            "token_file": f"{run}/token",
            "ssl": {"enabled": True, "verify": True, "ca_cert": f"{run}/ca.pem"},
            "retry": {"attempts": 0, "max_backoff": max_backoff},
        },
        "kill_signal": "SIGINT",
        "log_level": "warn",
        "max_stale": "2s",
        "template": [
            {
                "source": source,
                "destination": template["destination"],
                "perms": template.get("mode") or "0644",
                "create_dest_dirs": False,
            },
            {"source": source, "destination": f"{run}/rendered", "perms": "0600", "command": ["/bin/sh", "-c", command]},
        ],
    }
    return json.dumps(settings, indent=4) + "\n"


def unit_name(name: str) -> str:
    """The unit of a template, without its suffix; also its directory below /run."""
    return f"discovery-template-{name}"
