"""nginx: how its configuration is completed, checked and reloaded, and how it is asked what it runs."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import select
import shutil
import signal
import socket
import time

from ... import addresses
from ...ask import Connection
from . import workers
from .deployment import deployment
from .options import NginxOptions
from .render import render_nginx

PATIENCE = 2  # seconds for an answer over the socket
MOST_PROBES = 64  # connections at one time


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


class Nginx:
    """The nginx of this site's balancer. `nginx -s reload` ends with 0 even where the master refuses the new
    configuration, so every generation carries a marker, and only the marker's answer counts."""

    unit = "nginx.service"  # in both deployments

    def __init__(self, options, main_file=""):
        self.options, self.own = options, NginxOptions(**options.backend)
        if main_file:
            self.own = dataclasses.replace(self.own, config=str(main_file))
        self.before = []  # workers that served before the reload
        self.deployment = deployment(options, self.own)
        self.master, self.port_taken = self.deployment.master, self.deployment.port_taken

    def files(self, plan) -> tuple:
        """The files of a generation and their marker, which covers nginx.conf and the certificates as well."""
        own = self.own
        limits = own.client_requests, own.udp_sessions, own.client_open_connections
        files = render_nginx(plan, self.options, own.tls_directory, own.shutdown_timeout, *limits)
        main = pathlib.Path(self.own.config).read_bytes()
        texts = [*files.values(), _marker("", self.own.socket)]
        certificates = [_content(one["certificate"]) for one in self.options.certificates]
        certificates += map(_content, self.options.client_cas.values())
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

    def addresses(self) -> frozenset:
        """The addresses of this host and of nginx, which has others in a container."""
        return addresses.own(self.master())

    def running(self) -> str:
        """The marker of the configuration that serves now; "" when none answers."""
        with contextlib.closing(self._markers(1)) as found:
            return next(found, "")

    def answers(self, marker) -> bool:
        """Whether a worker with this marker answers. Idle workers of before the reload take the first connections, because the
        kernel wakes those that wait longest. So when there is a new one, one more are made at once than there are workers."""
        found = workers.serving(workers.workers(self.master()))
        if found and set(found) <= set(self.before):
            return False
        with contextlib.closing(self._markers(min(len(found) + 1, MOST_PROBES))) as markers:
            return marker in markers  # the first one that has it ends the wait

    def _markers(self, count):
        """The markers in the answers to some requests at once, as they come in time."""
        asked, deadline = [], time.monotonic() + PATIENCE
        try:
            with contextlib.suppress(OSError):  # nobody listens, or more of them wait than may: those that were made count
                for _number in range(count):
                    connection = Connection(self._connect)
                    connection.send("GET", "/", {"Connection": "close"})
                    asked.append(connection)
            while asked:
                ready = select.select(asked, [], [], max(0, deadline - time.monotonic()))[0]
                if not ready:
                    return
                for connection in ready:
                    asked.remove(connection)
                    with contextlib.suppress(OSError):
                        status, text = connection.answer()
                        if status == 200:
                            yield text[:64]
        finally:
            for connection in asked:
                connection.close()

    def _connect(self):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(PATIENCE)
            connection.connect(self.own.socket)
        except BaseException:
            connection.close()
            raise
        return connection

    def reload(self) -> list:
        """Ask the master to load what the link points to; the workers of now."""
        master = self.master()
        self.before = workers.serving(workers.workers(master))
        if master:
            os.kill(master, signal.SIGHUP)
        return self.before

    def retire(self, before):
        """The master sleeps for 100 ms before it does the same, in which idle workers of before take most connections."""
        master = self.master()
        for worker in before:
            workers.send(worker, master, signal.SIGQUIT)

    def trim(self) -> tuple:
        """Ends the oldest workers that finish their connections, beyond `old_workers`."""
        master = self.master()
        found = workers.workers(master)
        return workers.end_oldest(found, workers.bound(found, self.own.old_workers), master)

    def hangs(self) -> str:
        """Its master does not take a signal, or its workers are silent on the socket and do nothing else meanwhile. One that is
        busy, that closes the connection because it has too many, or that has another configuration does not hang."""
        master = self.master()
        before = workers.spent(workers.workers(master))
        heard = self._heard() if master else None
        if heard is None:
            return ""
        if workers.deaf(master, signal.SIGHUP):
            return "nginx's master takes no signal"
        return "" if heard or workers.spent(workers.workers(master)) != before else "nginx does not answer"

    def _heard(self):
        """Whether anything comes over the socket in time, also its end; None where nobody listens."""
        connection = Connection(self._connect)
        try:
            connection.send("GET", "/", {"Connection": "close"})
            return bool(select.select([connection], [], [], PATIENCE)[0])
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except ConnectionError:  # it was closed before the request was there
            return True
        except OSError:  # more of them wait than may
            return False
        finally:
            connection.close()
