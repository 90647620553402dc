"""The addresses of this host, as the kernel has them: /proc/<pid>/net (proc(5)), because the unit's sandbox has no netlink.

Connections to them never leave the host: an instance there is the balancer itself, or a program of its host.
"""

import ipaddress
import pathlib
import re

TABLES = ("Main", "Local")  # the kernel's; a route of another table is for marked packets only, such as those of a proxy
TABLE = re.compile(r"(\S.*):")
LEAF = re.compile(r"\s*\|-- (\S+)")
LOCAL = re.compile(r"\s*/([0-9]+) \S+ LOCAL\b")
OWN = 0x80100000  # RTF_LOCAL and RTF_ANYCAST (linux/ipv6_route.h)


def own(master=0, proc=pathlib.Path("/proc")) -> frozenset:
    """All addresses but loopback ones, as networks ("172.17.0.1/32").

    :param master: process id of the balancer; where it is in a container, the container's addresses are its own, too. 0: none
    :raises OSError: the kernel does not show those of this host
    """
    found = _ipv4((proc / "self/net/fib_trie").read_text()) | _ipv6(_text(proc / "self/net/ipv6_route"))
    if master:
        found |= _ipv4(_text(proc / f"{master}/net/fib_trie")) | _ipv6(_text(proc / f"{master}/net/ipv6_route"))
    return frozenset(str(network) for network in found if not network.is_loopback)


def _text(file) -> str:
    """A file's text, "" without it: a host without IPv6, a process that has just ended."""
    try:
        return file.read_text()
    except OSError:
        return ""


def _ipv4(trie) -> set:
    """The networks of all local routes, which cover more than one address for "any IP" routes."""
    found, table, address = set(), "", ""
    for line in trie.splitlines():
        if match := TABLE.fullmatch(line):
            table = match[1]
        elif match := LEAF.match(line):
            address = match[1]
        elif table in TABLES and (match := LOCAL.match(line)):
            found.add(ipaddress.ip_network(f"{address}/{match[1]}"))
    return found


def _ipv6(routes) -> set:
    """Single addresses only: the file does not tell tables apart."""
    found = set()
    for line in routes.splitlines():
        words = line.split()
        if len(words) == 10 and words[1] == "80" and int(words[8], 16) & OWN:
            found.add(ipaddress.ip_network(int(words[0], 16).to_bytes(16, "big")))
    return found
