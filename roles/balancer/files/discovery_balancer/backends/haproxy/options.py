"""What only HAProxy knows: /etc/discovery-balancer-haproxy.json, written by the role haproxy."""

import dataclasses
import ipaddress
import pathlib
import re

from ...limits import KINDS, LIMITS
from ...patterns import FILE

TIME = KINDS["time"][0]
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
COUNTS = {"old_workers": 1, "spare": 0, "buffer_size": 1}  # name to the least
SWITCHES = ("floating_addresses", "underscores_in_headers")


@dataclasses.dataclass(frozen=True)
class HaproxyOptions:
    binary: str = "/usr/sbin/haproxy"
    config: str = "/etc/haproxy/haproxy.cfg"  # the part that is the same for all services
    pid_file: str = "/run/haproxy.pid"
    socket: str = "/run/discovery-haproxy/api.sock"  # the runtime API, in a directory of root's alone
    certificates: str = "/etc/haproxy/discovery-certificates"  # a directory with the site's certificates, and `list`
    user: str = "haproxy"  # user and group of the workers
    log: bool = False  # a line for each request and connection on standard output
    trusted_proxies: tuple = ()  # networks whose X-Forwarded-* and Forwarded are trusted
    underscores_in_headers: bool = False  # whether headers of requests with one in their names are passed on
    floating_addresses: bool = False  # whether the site has some, whose check asks for a host of its own
    tries_timeout: str = "5s"  # no further instance is tried for a request that has waited longer
    limits: dict = dataclasses.field(default_factory=dict)  # name to value, of limits.py
    shutdown_timeout: str = "10m"  # how long old workers may finish their connections, where no service wants it longer
    old_workers: int = 64  # most of them at one time
    stats_port: int = 0  # of its page with statistics; 0: none
    stats_networks: tuple = ()  # that see it, beside the host itself
    buffer_size: int = 45056  # bytes, of haproxy.cfg
    spare: int = 0  # servers without an address in each backend, for a HAProxy that cannot add one (before 2.5)

    def __post_init__(self):
        """Reject what could not be rendered safely; the message names the option and the value."""
        for name in ("shutdown_timeout", "tries_timeout"):
            if not TIME.fullmatch(str(getattr(self, name))):
                raise ValueError(f"{name}: {getattr(self, name)!r} is not a time such as '10m'")
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: {getattr(self, name)!r} is neither true nor false")
        for name, least in COUNTS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name}: {value!r} is not a whole number above {least - 1}")
        for name in ("binary", "config", "pid_file", "socket", "certificates"):
            if not FILE.fullmatch(str(getattr(self, name))):
                raise ValueError(f"{name}: {getattr(self, name)!r} is not the absolute path of a file")
        if not USER.fullmatch(str(self.user)):
            raise ValueError(f"user: {self.user!r} is not the name of a user")
        known = {limit.name: limit for limit in LIMITS}
        for name, value in self.limits.items():
            if name not in known or known[name].problem(value):
                raise ValueError(f"limits: {name} {value!r} is no limit, or not a value for it")
        if isinstance(self.stats_port, bool) or not isinstance(self.stats_port, int) or not 0 <= self.stats_port <= 65535:
            raise ValueError(f"stats_port: {self.stats_port!r} is not a port")
        for network in (*self.trusted_proxies, *self.stats_networks):
            ipaddress.ip_network(network)

    def limit(self, name) -> str:
        """The site's value of a limit, else its default."""
        return str(self.limits.get(name, next(limit.default for limit in LIMITS if limit.name == name)))

    @property
    def tls_directory(self) -> pathlib.Path:
        """The socket of the second step of TLS connections: HAProxy's workers may pass, nobody else."""
        return pathlib.Path(f"{pathlib.Path(self.socket).parent}-tls")
