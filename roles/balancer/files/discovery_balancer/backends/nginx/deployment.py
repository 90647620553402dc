"""The two deployments of nginx, which differ here and nowhere else: a process of this host, or a container.

    test(config)      `nginx -t` on a complete tree: "" or nginx's error
    master()          the process id, on this host, of nginx's master; 0 when there is none
    port_taken(port)  why nginx could not listen on this port; "" when it could
"""

import pathlib
import socket
import struct
import subprocess

from discovery_program.systemd import dockerd_runs

from .. import ports

TEST = ["-t", "-q", "-c"]


def deployment(options, own):
    """Nginx on this host, as the site has chosen.

    :param options: the site's
    :param own: nginx's
    """
    return Container(own) if own.container else HostProcess(own, options.listen)


class HostProcess:
    """The distribution's nginx, a service of this host."""

    def __init__(self, options, listen):
        self.options, self.listen = options, listen

    def test(self, config) -> str:
        return _run([self.options.binary, *TEST, str(config)])

    def master(self) -> int:
        try:
            return _nginx(int(pathlib.Path(self.options.pid_file).read_text()))
        except (OSError, ValueError):
            return 0

    def port_taken(self, port) -> str:
        return ports.taken(port, self.listen)


class Container:
    """A container that sees the configuration, the generations and the socket under the paths of this host."""

    def __init__(self, options):
        self.options = options

    def test(self, config) -> str:
        """In the container; while it is down, in one of the same image and options that ends with the test."""
        if not dockerd_runs():
            return "dockerd of this host is not running"
        docker = [self.options.docker_binary]
        if self.master():
            docker += ["exec", self.options.container, "nginx"]
        else:
            docker += ["run", "--rm", "--network", "none", *self.options.container_run]
        return _run([*docker, "-e", "stderr", *TEST, str(config)])

    def master(self) -> int:
        """The process that listens on the socket; the kernel gives the process id as this host sees it (unix(7), SO_PEERCRED)."""
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(2)
                probe.connect(self.options.socket)
                return _nginx(struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
        except OSError:
            return 0

    def port_taken(self, port) -> str:
        """The container's ports are its own; those of the host are published before nginx starts."""
        return ""


def _nginx(pid) -> int:
    """The process id when it is an nginx, else 0."""
    return pid if pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("nginx") else 0


def _run(command) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if result.returncode == 0 else (result.stderr.strip() or f"{command[0]} ended with {result.returncode}")
