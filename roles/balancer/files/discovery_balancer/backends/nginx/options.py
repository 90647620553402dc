"""What only nginx knows: /etc/discovery-balancer-nginx.json, written by the role nginx."""

import dataclasses
import pathlib

from ...limits import KINDS

TIME = KINDS["time"][0]


@dataclasses.dataclass(frozen=True)
class NginxOptions:
    binary: str = "/usr/sbin/nginx"
    config: str = "/etc/nginx/nginx.conf"
    pid_file: str = "/run/nginx.pid"
    socket: str = "/run/discovery-balancer/nginx.sock"  # in a directory of root's alone
    container: str = ""  # the name of nginx's container; empty: nginx is a process of this host
    container_run: tuple = ()  # arguments of `docker run` after the name and network, up to the image
    docker_binary: str = "/usr/bin/docker"
    workers: str = "www-data"  # user and group of nginx's workers
    shutdown_timeout: str = "10m"  # how long old workers may finish their connections, where no service wants it longer
    old_workers: int = 64  # most of these processes at one time; a generation has one for each processor
    client_requests: int = 0  # a second from one address to all services together, as in nginx.conf; 0: any
    client_open_connections: int = 0  # of one address to TLS and tcp services, also idle ones; 0: any
    udp_sessions: int = 1024  # most of all udp services together at one time; a part of worker_connections of nginx.conf

    def __post_init__(self):
        """Reject what could not be rendered safely; the message names the option and the value."""
        if not TIME.fullmatch(str(self.shutdown_timeout)):
            raise ValueError(f"shutdown_timeout: {self.shutdown_timeout!r} is not a time such as '10m'")
        for name in ("old_workers", "udp_sessions"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: {value!r} is not a whole number above 0")
        for name in ("client_requests", "client_open_connections"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name}: {value!r} is not a whole number")

    @property
    def tls_directory(self) -> pathlib.Path:
        """The sockets of the second step of TLS connections: nginx's workers may pass, nobody else."""
        return pathlib.Path(f"{pathlib.Path(self.socket).parent}-tls")
