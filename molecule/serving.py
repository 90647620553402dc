"""Services of tests that need no container: a process of a host, registered with the host's own agent."""

import base64
import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers import eventually, tcp_open

PROGRAM = Path(__file__).with_name("instance.py")
FOLDER = "/run/discovery-test"


@dataclass(frozen=True)
class Instance:
    """One instance: its host, and the unit that runs it."""

    node: object
    service: str
    port: int

    @property
    def unit(self) -> str:
        return f"discovery-test-{self.port}"

    def start(self, certificate: str = "") -> None:
        """Run it, with the text of certificate and key when it speaks TLS; it answers when this returns."""
        arguments = f"{self.port} {self.service}-{self.port}"
        written = {"instance.py": PROGRAM.read_text()}
        if certificate:
            written[f"{self.port}.pem"] = certificate
            arguments += f" {FOLDER}/{self.port}.pem"
        for name, text in written.items():
            packed = base64.b64encode(text.encode()).decode()
            self.node.run(f"install -d -m 0700 {FOLDER} && echo {packed} | base64 -d >{FOLDER}/{name}")
        self.node.run(f"systemd-run --collect --unit={self.unit} python3 {FOLDER}/instance.py {arguments}")
        eventually(lambda: tcp_open(self.node.address, self.port), 20)

    def stop(self) -> None:
        self.node.tries(f"systemctl kill --signal=KILL {self.unit}; systemctl stop {self.unit}")


@pytest.fixture
def serve(site):
    """Start an instance on a host and register it: serve(node, service, *tags, certificate="", **settings of the balancer)."""
    started: list[Instance] = []
    ports = itertools.count(18100)

    def one(node, service: str, *tags: str, certificate: str = "", **settings: str) -> Instance:
        instance = Instance(node, service, next(ports))
        started.append(instance)
        instance.start(certificate)
        entry = {
            "ID": instance.unit, "Name": service, "Address": node.address, "Port": instance.port, "Tags": list(tags),
            "Meta": {f"balancer_{key}": value for key, value in settings.items()},
        }  # fmt: skip
        site.consul(node).put("/v1/agent/service/register", entry)
        return instance

    yield one
    for instance in started:
        site.consul(instance.node).tell("PUT", f"/v1/agent/service/deregister/{instance.unit}")
        instance.stop()
    if started:
        site.settle()
