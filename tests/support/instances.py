"""Services of tests that need no container: a process of a host, registered with the host's own agent."""

import base64
from dataclasses import dataclass
from pathlib import Path

from tests.support.clients import tcp_open
from tests.support.wait import eventually

PROGRAM = Path(__file__).with_name("instance_server.py")
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
        written = {"instance_server.py": PROGRAM.read_text()}
        if certificate:
            written[f"{self.port}.pem"] = certificate
            arguments += f" {FOLDER}/{self.port}.pem"
        for name, text in written.items():
            packed = base64.b64encode(text.encode()).decode()
            self.node.run(f"install -d -m 0700 {FOLDER} && echo {packed} | base64 -d >{FOLDER}/{name}")
        self.node.run(f"systemd-run --collect --unit={self.unit} python3 {FOLDER}/instance_server.py {arguments}")
        eventually(lambda: tcp_open(self.node.address, self.port), 20)

    def stop(self) -> None:
        self.node.tries(f"systemctl kill --signal=KILL {self.unit}; systemctl stop {self.unit}")
