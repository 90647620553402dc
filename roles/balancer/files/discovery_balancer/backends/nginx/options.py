"""What only nginx knows: /etc/discovery-balancer-nginx.json, written by the role nginx."""

import dataclasses
import pathlib


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

    @property
    def tls_directory(self) -> pathlib.Path:
        """The sockets of the second step of TLS connections: nginx's workers may pass, nobody else."""
        return pathlib.Path(f"{pathlib.Path(self.socket).parent}-tls")
