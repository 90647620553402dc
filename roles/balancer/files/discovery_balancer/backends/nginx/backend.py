"""nginx: how its configuration is completed, checked and reloaded, and how it is asked what it runs."""

import dataclasses
import hashlib
import http.client
import os
import pathlib
import shutil
import signal
import socket

from .deployment import deployment
from .options import NginxOptions
from .render import render_nginx


def _marker(marker, socket_path):
    """Shows root of this host, and nobody else, which configuration is loaded: the socket's directory is root's."""
    return (
        "server {\n"
        + f"    listen unix:{socket_path};\n"
        + "    access_log off;\n"
        + "    default_type text/plain;\n"
        + f'    return 200 "{marker}";\n'
        + "}\n"
    )


def _content(file):
    """Content of a file; one that cannot be read is reported by nginx's own check."""
    try:
        return pathlib.Path(file).read_bytes()
    except OSError:
        return b""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Nginx:
    """The nginx of this site's balancer. `nginx -s reload` ends with 0 even where the master refuses the new
    configuration, so every generation carries a marker, and only the marker's answer counts."""

    def __init__(self, options, main_file=""):
        self.options, self.own = options, NginxOptions(**options.backend)
        if main_file:
            self.own = dataclasses.replace(self.own, config=str(main_file))
        self.deployment = deployment(options, self.own)
        self.master, self.port_taken = self.deployment.master, self.deployment.port_taken

    def files(self, plan) -> tuple:
        """The files of a generation and their marker, which covers nginx.conf and the certificates as well."""
        files = render_nginx(plan, self.options, self.own.tls_directory)
        main = pathlib.Path(self.own.config).read_bytes()
        texts = [*files.values(), _marker("", self.own.socket)]
        certificates = (_content(one["certificate"]) for one in self.options.certificates)
        marker = hashlib.sha256(b"\0".join([main, *certificates, *(text.encode() for text in texts)])).hexdigest()[:16]
        files["http.conf"] += _marker(marker, self.own.socket)
        return files, marker

    def check(self, generation: pathlib.Path, candidate: pathlib.Path) -> str:
        """Test the complete tree with this generation in it; "" or nginx's error."""
        for directory in (pathlib.Path(self.own.socket).parent, self.own.tls_directory):
            directory.mkdir(mode=0o700, exist_ok=True)
        if self.options.certificates:  # as the unit makes it; nginx may have started before the unit did
            shutil.chown(self.own.tls_directory, group=self.own.workers)
            self.own.tls_directory.chmod(0o710)
        candidate.mkdir(exist_ok=True)
        for name in ("nginx.conf", "discovery"):
            (candidate / name).unlink(missing_ok=True)
        shutil.copyfile(self.own.config, candidate / "nginx.conf")
        (candidate / "discovery").symlink_to(generation)
        return self.deployment.test(candidate / "nginx.conf")

    def running(self) -> str:
        """The marker of the configuration that serves now; "" when none answers."""
        connection = UnixConnection(self.own.socket, timeout=2)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            response = connection.getresponse()
            return response.read(64).decode("ascii", "replace") if response.status == 200 else ""
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()

    def reload(self):
        """Ask the master to load what the link points to."""
        if master := self.master():
            os.kill(master, signal.SIGHUP)
