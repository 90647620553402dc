"""The distribution's HAProxy with the role's own haproxy.cfg, in a directory of its own and on unprivileged ports."""

import json
import os
import subprocess
import time
from pathlib import Path

import haproxy_allowed
import real_nginx
from discovery_balancer.options import OF_BACKEND, Options
from discovery_balancer.store import Store
from real_nginx import ROOT, free_ports, written_by_the_roles

FURTHER = {
    "certificates.json": "{{ __haproxy_certificate_files | to_json }}",
    "drop-in.conf": "{{ lookup('ansible.builtin.template', '10-discovery.conf.j2') }}",
    "problems.json": "{{ __haproxy_checks | rejectattr('that') | map(attribute='message') | list | to_json }}",
    "logs.json": "{{ __haproxy_log_files | to_json }}",
    "stale.json": "{{ __haproxy_stale_files | to_json }}",
}
UNPACKED = ROOT / ".cache/haproxy"
# Another program, such as another distribution's, whose process must be called haproxy…; one before 2.6 needs spare servers.
OTHER, SPARE = os.environ.get("HAPROXY_UNDER_TEST", ""), int(os.environ.get("HAPROXY_SPARE", "0"))


class Balancer(real_nginx.Balancer):
    """A state directory of the program, its options, and a HAProxy that can be started; gone with the block.

    :param variables: of the roles balancer and haproxy
    """

    def _configure(self, variables):
        self.http_port, self.tls_port, *self.ports = free_ports()
        self.process = None
        self.store = Store(self.folder / "state")
        self.config = self.folder / "etc"
        for directory in (self.store.root, self.config / "certificates", self.folder / "run/own", self.folder / "run/own-tls"):
            directory.mkdir(parents=True)
        for directory in (self.folder / "run", self.folder / "run/own-tls"):  # the workers pass through them
            directory.chmod(0o711)
        log = variables.get("balancer_access_log", "off")
        given = {"balancer_tls_port": self.tls_port, "__haproxy_old": bool(SPARE)} | variables
        text, options, own, more = written_by_the_roles(self.http_port, "haproxy", "haproxy.cfg", FURTHER, **given)
        assert text.count("/run/discovery-haproxy/") == 1
        text = text.replace("/run/discovery-haproxy/", f"{self.folder}/run/own/")
        text = text.replace(f"user {own['user']}", "user nobody").replace(f"group {own['user']}", "group nogroup")
        self.config.joinpath("haproxy.cfg").write_text(text)
        self.config.joinpath("discovery").symlink_to(self.store.link)
        self._certificates(json.loads(more["certificates.json"]))
        self.log_file = log if log != "off" else os.devnull
        own |= {
            "binary": self._program(), "config": str(self.config / "haproxy.cfg"), "user": "nobody",
            "pid_file": str(self.folder / "run/haproxy.pid"), "socket": str(self.folder / "run/own/api.sock"),
            "certificates": str(self.config / "certificates"), "shutdown_timeout": "5s", "old_workers": 64,
            "spare": SPARE,
        }  # fmt: skip
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        own = {k: tuple(v) if isinstance(v, list) else v for k, v in own.items()}
        own |= self._files(given)
        options |= {name: own.pop(name) for name in OF_BACKEND if name in own}
        self.options = Options(**options, backend=own, refused_networks=())  # the instances are on this machine

    def _program(self) -> str:
        """A command called haproxy that finds its libraries."""
        program = UNPACKED / "usr/sbin/haproxy"
        assert OTHER or program.exists(), "no HAProxy to test with: run `make system`"
        wrapper = self.folder / "haproxy"
        libraries = ":".join(map(str, UNPACKED.glob("usr/lib/*-linux-gnu*")))
        setting = "" if OTHER else f"LD_LIBRARY_PATH={libraries} "
        wrapper.write_text(f'#!/bin/sh\n{setting}exec {OTHER or program} "$@"\n')
        wrapper.chmod(0o755)
        return str(wrapper)

    def _certificates(self, files):
        """The directory that the role makes, here."""
        there, here = "/etc/haproxy/discovery-certificates", str(self.config / "certificates")
        for one in files:
            path = Path(one["path"].replace(there, here))
            if one.get("state") == "link":
                path.symlink_to(one["target"])
            else:
                path.write_text(one["content"].replace(there, here))

    def start(self):
        """Start HAProxy with the current generation, as its unit does."""
        own = self.options.backend
        command = [own["binary"], "-W", "-C", self.config, "-f", "haproxy.cfg", "-f", "discovery/services.cfg"]
        command += ["-p", own["pid_file"]]
        with open(self.log_file, "ab") as out, open(self.folder / "haproxy.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=out, stderr=log)
        deadline = time.monotonic() + 60
        while not self.backend.running():
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "haproxy.log").read_text()
            time.sleep(0.02)

    def foreign(self) -> list[str]:
        """What is in the current generation that the table does not allow."""
        return haproxy_allowed.foreign(self.store.link, self.options, self.backend.own)

    def workers(self) -> set:
        """Process ids of its workers."""
        return {worker.pid for worker in self.backend._workers()}
