"""What the parts of the platform need of their host, as far as a status compares it with what the host has. Pure: no clock, no
network, no files."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from .dockerd import State, pending
from .resolv_conf import resolv_conf_problems

# The servers that resolv.conf begins with, by the method of the role consul_dns.
FIRST = {"resolvconf": "127.0.0.1", "systemd_resolved": "127.0.0.53", "dnsmasq": "127.0.0.2"}
# memberlist's, for each probe of a member that TCP alone answers; of the ring of the datacenter.
UDP_LOST = re.compile(r"memberlist\.lan: memberlist: Was able to connect to (\S+) over TCP but UDP probes failed")
# A parser of HCL quotes the word that it does not take, which may be a secret.
QUOTED = re.compile(r"(Unknown token: \S+ \S+|: key(?= ')) .*")
FORWARD = "/proc/sys/net/ipv4/ip_forward"  # what forwarding_needed and forwarding_lost are about
MOST = 10**9  # of a number in an answer
NEVER = ("Created", "Exited", "Dead")  # the status of a container that does not run begins with one of these


def resolver_problems(method: str, resolv_conf: str, own: str) -> list[str]:
    """Problems of resolv.conf on a host whose resolver leads to Consul.

    :param method: a key of FIRST
    :param resolv_conf: content of /etc/resolv.conf
    :param own: content of the method's file that names the site's servers: resolvconf's base or dnsmasq's configuration; '' for
        a method whose servers of the site another program asks
    """
    needed = re.findall(r"^(?:nameserver\s+|server=)([^/\s]+)\s*$", own, re.MULTILINE)
    return resolv_conf_problems(resolv_conf, [FIRST[method]], needed)


def udp_lost(log: str, seconds: int, members: int) -> dict[str, int]:
    """Members that an agent reaches by TCP and not by UDP: name to the number of reports in its log.

    :param log: of the last so many seconds
    :param members: of the ring, the agent itself among them. It probes one of the others each second, one after the other. Busy
        hosts lose a probe now and then, so a third of a member's probes counts, and a single one never; or a third of all probes
    """
    least = max(2, seconds / max(1, members - 1) / 3)
    found = Counter(UDP_LOST.findall(log))
    least = 1 if sum(found.values()) >= seconds / 3 else least
    return {name: count for name, count in found.most_common(50) if count >= least}


def refused_configuration(message: str) -> str:
    """The reason of `consul validate`, in one line; '' where it gives none."""
    lines = [QUOTED.sub(r"\1", line).strip(" \t*") for line in message.splitlines()]
    _unused, found, reason = " ".join(filter(None, lines)).partition("Config validation failed: ")
    return reason if found else " ".join(filter(None, lines[-1:]))


def forwarding_needed(config: Mapping) -> bool:
    """Whether dockerd, by its configuration, needs the kernel to forward packets."""
    return config.get("ip-forward") is not False and config.get("bridge") != "none"


def forwarding_lost(action: str, config: Mapping | None, kernel: str) -> bool:
    """Whether somebody has taken from the kernel what dockerd set at its start. A start sets it again.

    :param action: what dockerd waits for: none, start, reload or restart
    :param config: what dockerd runs with, None when unknown
    :param kernel: net.ipv4.ip_forward
    """
    return action in ("none", "reload") and forwarding_needed(config or {}) and kernel.strip() != "1"


def configuration_lost(config, written: Mapping) -> list[str]:
    """Settings of the role that daemon.json no longer has.

    :param config: content of daemon.json, None where there is none that is JSON
    :param written: what the role wrote last
    :returns: names, never values
    """
    return sorted(key for key, value in written.items() if not _within(value, config.get(key) if _table(config) else None))


def _within(wanted, found) -> bool:
    """Whether a value is as wanted; in a table others may have keys of their own."""
    if _table(wanted) and _table(found):
        return all(_within(value, found.get(key)) for key, value in wanted.items())
    return wanted == found


def _table(value) -> bool:
    return isinstance(value, Mapping)


def configuration_waiting(config, started: Mapping | None, loaded: Mapping | None) -> list[str]:
    """Settings of daemon.json that dockerd would have only after its next start or reload. Name servers of containers may wait
    for it, see dockerd.py.

    :param config: content of daemon.json, None where there is none that is JSON
    :param started: the same when dockerd was started, None without a record
    :param loaded: the same when it was last reloaded, None without a record
    :returns: reasons with names, never values
    """
    if not _table(started):
        return []
    if not _table(config):
        return ["daemon.json is gone or no table of JSON"]
    hosts = [address for one in (config, started) for address in _list(one.get("dns"))]
    state = State(True, config=dict(config), started=dict(started), loaded=loaded, started_files={})
    return pending(state, hosts)[1]


def _list(value) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def stopped(listed: Mapping[str, str]) -> list[str]:
    """Containers that do not run.

    :param listed: name to status, as `docker ps --all` gives it
    """
    return sorted(name for name, status in listed.items() if status.startswith(NEVER))


def not_started(listed: Mapping[str, str], inspected: Iterable[str]) -> list[str]:
    """Containers that dockerd could not start, and that are to run: one that ran before, or has a restart policy. A container
    without one, whose command was wrong, is somebody's own affair.

    :param listed: name to status, as `docker ps --all` gives it
    :param inspected: of each container that does not run its name, restart policy and error (JSON), with blanks between
    """
    found = []
    for line in inspected:
        name, _unused, rest = line.strip().lstrip("/").partition(" ")
        policy, _unused, error = rest.partition(" ")
        # dockerd gives 128 where its own start failed; a program may end with that code, too, but without an error.
        asked = listed.get(name, "").startswith("Exited (128)") or policy not in ("", "no")
        if asked and json.loads(error or '""'):
            found.append(name)
    return sorted(found)


def held(addresses: Iterable[str], links: Iterable[Mapping]) -> list[str]:
    """The addresses that a host has, sorted.

    :param addresses: that are looked for
    :param links: what `ip -json address show` prints
    """
    here = {ipaddress.ip_address(one["local"]) for link in links for one in link.get("addr_info", []) if "local" in one}
    return sorted(one for one in addresses if ipaddress.ip_address(one) in here)


def room(blocks: int, size: int, files: int, free_files: int) -> dict:
    """What is left of a file system for a program that is not root.

    :param blocks: free blocks
    :param size: bytes of a block
    :param files: inodes of the file system; 0 where they are not counted
    :param free_files: free inodes
    :returns: free_mb, and free_inodes, which is None where they are not counted
    """
    return {
        "free_mb": min(blocks * size // 2**20, MOST),
        "free_inodes": min(free_files, MOST) if files else None,
    }
