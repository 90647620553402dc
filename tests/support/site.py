"""The site under test. Its hosts, groups, addresses and variables come from the inventory, never from a test."""

import itertools
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import testinfra
import yaml
from lab import nodes as lab_nodes
from lab.images import SUITE
from lab.inventory import Site as Lab
from lab.inventory import is_controller
from testinfra.utils.ansible_runner import AnsibleRunner

from tests.support.clients import FRONT_BODY, backend_body, http_get, tcp_echo
from tests.support.consul import Consul
from tests.support.http_load import Expected
from tests.support.wait import eventually

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_SERVICES = yaml.safe_load((ROOT / "playbooks/vars/sample_services.yml").read_text())["sample_services"]


@dataclass(frozen=True, eq=False)
class Node:
    """One host of the inventory, reached over SSH as its sudo user."""

    name: str
    address: str
    variables: dict = field(repr=False)
    host: testinfra.host.Host = field(repr=False)
    ssh: list[str] = field(repr=False, default_factory=list)  # the command that reaches it

    def run(self, command: str, *args) -> str:
        """Run a command as root; it must end with 0. What it printed."""
        return self.host.check_output(command, *args)

    def tries(self, command: str, *args):
        """Run a command as root, whatever it ends with; rc, stdout, stderr."""
        return self.host.run(command, *args)

    def feed(self, command: str, text: str) -> str:
        """Run a command as root with a text as its input, which no argument and no log of the host shows. What it printed."""
        done = subprocess.run([*self.ssh, f"sudo {command}"], input=text, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-1000:]
        return done.stdout

    def hostname_of(self, container: str) -> str:
        """The host name of a container: the name by which an instance answers (X-Instance)."""
        return self.run(f"docker inspect -f '{{{{.Config.Hostname}}}}' {container}").strip()

    def kill(self, unit: str, seconds: float = 60) -> float:
        """Kill the main process of a unit, and wait until systemd has started another one; the seconds it took."""
        (before,) = self.unit(unit, "MainPID")
        self.run(f"kill -9 {before}")

        def runs_again() -> bool:
            state, pid = self.unit(unit, "ActiveState", "MainPID")
            return state == "active" and pid not in ("0", before)

        return eventually(runs_again, seconds, every=0.1)[1]

    def unit(self, unit: str, *properties: str) -> list[str]:
        """Properties of a systemd unit, in the order asked for."""
        shown = self.run(f"systemctl show {unit} -p {','.join(properties)}")
        values = dict(line.split("=", 1) for line in shown.splitlines())
        return [values[name] for name in properties]


class Site:
    """All hosts of the inventory, and the way to ask the site how it is."""

    def __init__(self, inventory: Path):
        self.inventory = self.made_from = inventory  # the second one is that of the lab, whatever a test does to the first
        # testinfra starts ansible-inventory by its name: that of this interpreter's environment.
        os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.runner = AnsibleRunner.get_runner(str(inventory))
        self.sockets = tempfile.mkdtemp(prefix="site")
        variables = {name: self.runner.get_variables(name) for name in self.runner.get_hosts()}
        self.nodes = {name: self._reached(name, found) for name, found in variables.items() if not is_controller(name, found)}
        anyone = next(iter(self.nodes.values())).variables
        self.domain = anyone["discovery_domain"]
        overlay = anyone.get("discovery_overlay", "none") != "none"
        self.network = anyone.get("discovery_overlay_network", "discovery") if overlay else ""
        self.names_by_host = overlay  # the samples' containers have their host's name in theirs
        self.balancer = anyone.get("discovery_balancer", "nginx")  # the backend, which is its unit as well
        self.datacenter = anyone.get("discovery_datacenter", "dc1")
        self.secrets = Path(anyone.get("discovery_secrets_dir", self._folder / ".secrets"))
        self.ca = self.secrets / "ca.pem"
        # Only this of Ansible's templates: an inventory that is copied cannot name its place otherwise.
        here = anyone.get("discovery_vault_password_file", "").replace("{{ inventory_dir }}", str(self._folder))
        self.vault_password_file = here

    @property
    def _folder(self) -> Path:
        return self.inventory if self.inventory.is_dir() else self.inventory.parent

    def external_host(self, suite: str = SUITE) -> Node:
        """A machine in the lab's network that is no host of the site, of a Debian release; it goes with the lab."""
        like = next(iter(self.nodes.values())).variables
        address = str(lab_nodes.external_host(Lab.read(self.made_from), suite))
        own = {"ansible_host": address, "discovery_address": address, "group_names": []}
        return self._reached(f"external-{suite}", like | own)

    def _reached(self, name: str, variables: dict) -> Node:
        address = variables.get("discovery_address", variables["ansible_host"])
        user = f"{variables['ansible_user']}@" if "ansible_user" in variables else ""
        host = testinfra.get_host(
            f"ssh://{user}{variables['ansible_host']}:{variables.get('ansible_port', 22)}",
            sudo=True,
            ssh_identity_file=variables.get("ansible_ssh_private_key_file"),
            ssh_extra_args=f"-o ServerAliveInterval=5 {variables.get('ansible_ssh_common_args', '')}".strip(),
            controlpath=f"{self.sockets}/%%C",
        )
        ssh = ["ssh", "-o", "BatchMode=yes", "-p", str(variables.get("ansible_port", 22))]
        ssh += shlex.split(variables.get("ansible_ssh_common_args", ""))
        if "ansible_ssh_private_key_file" in variables:
            ssh += ["-i", variables["ansible_ssh_private_key_file"]]
        return Node(name, address, variables, host, [*ssh, f"{user}{variables['ansible_host']}"])

    def group(self, name: str) -> list[Node]:
        """The hosts of an inventory group."""
        return [node for node in self.nodes.values() if name in node.variables["group_names"]]

    @property
    def units(self) -> dict[str, list[str]]:
        """The units of the hosts of each group."""
        return {
            "consul_servers": ["consul"],
            "consul_clients": ["consul"],
            "docker_hosts": ["docker", "registrator-watch"],
            "load_balancers": ["consul-template", "discovery-balancer", self.balancer],
        }

    @property
    def servers(self) -> list[Node]:
        return self.group("consul_servers")

    @property
    def docker_hosts(self) -> list[Node]:
        return self.group("docker_hosts")

    @property
    def balancers(self) -> list[Node]:
        return self.group("load_balancers")

    def name_of(self, service: str) -> str:
        """The DNS name of a service."""
        return f"{service}.service.{self.datacenter}.consul"

    def host_of(self, service: str) -> str:
        """The virtual host of a service."""
        return f"{service}.{self.domain}"

    @property
    def front(self) -> Expected:
        """The sample service httpfront, through a balancer."""
        return Expected(self.host_of("httpfront"), FRONT_BODY)

    def backend(self, service: str) -> Expected:
        """A service of the image httpbackend with its own name as VERSION, so that the body says which service answered."""
        return Expected(self.host_of(service), backend_body(service))

    def consul(self, node: Node | None = None) -> Consul:
        """The API of a node (default: the first server), as management."""
        node = node or self.servers[0]
        return Consul(node.address, self.ca, self.secret("management_token"))

    def secret(self, name: str) -> str:
        """A secret of the site, decrypted where the inventory has a vault password."""
        from ansible.parsing.dataloader import DataLoader
        from ansible_collections.fewnodes.discovery.plugins.plugin_utils.secrets import Secrets

        return Secrets(str(self.secrets), self.vault_password_file, DataLoader()).read(name)

    def passing(self, service: str, asked: Node | None = None) -> set[tuple[str, int]]:
        """Address and port of each healthy instance in the catalog, as one node (default: the first server) reports it."""
        found = self.consul(asked).get(f"/v1/health/service/{service}?passing=1")
        return {(e["Service"]["Address"] or e["Node"]["Address"], e["Service"]["Port"]) for e in found}

    def container_of(self, service: str, node: Node) -> str:
        """The name of a sample service's container on a docker host."""
        return f"{service}-{node.name}" if self.names_by_host else service

    def published(self, service: str) -> set[tuple[str, int]]:
        """Address and port at which each running container of a sample service is reachable, as dockerd reports it."""
        return self.published_of_each([service])[service]

    def published_of_each(self, services: Iterable[str]) -> dict[str, set[tuple[str, int]]]:
        """The same for several of them: each host is asked once."""
        found: dict[str, set[tuple[str, int]]] = {service: set() for service in services}

        def of_host(node: Node) -> list[tuple[str, set[tuple[str, int]]]]:
            names = {self.container_of(service, node): service for service in found}
            listed = self._containers(node, *(f"name=^{name}$" for name in names))
            return [(names[one["Name"].removeprefix("/")], self._reached_at(node, one)) for one in listed]

        with ThreadPoolExecutor(len(self.docker_hosts) or 1) as pool:
            for service, places in itertools.chain.from_iterable(pool.map(of_host, self.docker_hosts)):
                found[service] |= places
        return found

    def places(self, node: Node, *filters: str) -> set[tuple[str, int]]:
        """The same for any containers of a docker host: in the overlay network, if they are in it, else by published port.

        :param filters: of `docker ps`
        """
        return set().union(*(self._reached_at(node, one) for one in self._containers(node, *filters)))

    @staticmethod
    def _containers(node: Node, *filters: str) -> list[dict]:
        """The running containers of a docker host that one of the filters chooses."""
        chosen = " ".join(f"--filter '{one}'" for one in filters)
        listed = node.run(f"ids=$(docker ps -q {chosen}); [ -z \"$ids\" ] || docker inspect $ids")
        return json.loads(listed or "[]")

    def _reached_at(self, node: Node, container: dict) -> set[tuple[str, int]]:
        """Address and port of each port of a container."""
        settings = container["NetworkSettings"]
        if address := settings["Networks"].get(self.network, {}).get("IPAddress"):
            return {(address, int(port.split("/")[0])) for port in container["Config"].get("ExposedPorts") or {}}
        bindings = [one for ports in (settings["Ports"] or {}).values() for one in ports or []]
        return {(node.address, int(one["HostPort"])) for one in bindings if one["HostIp"] == "0.0.0.0"}

    def leader(self) -> str:
        """The leader that all servers name; '' while they have none or differ."""
        named = {self.consul(node).get("/v1/status/leader") for node in self.servers}
        return named.pop() if len(named) == 1 else ""

    def raft(self, server: Node) -> dict[str, int]:
        """A server's place in the log of all changes: commit_index and applied_index (`/v1/agent/self`)."""
        own = self.consul(server).get("/v1/agent/self")["Stats"]["raft"]
        return {name: int(own[name]) for name in ("commit_index", "applied_index")}

    def is_healthy(self, beside: Iterable[str] = ()) -> bool:
        """Everything that should run does, and answers; else an AssertionError or OSError names what does not.

        :param beside: services in the catalog that are no samples
        """
        assert self.leader(), "no leader that all servers agree on"
        assert self.consul().get("/v1/operator/autopilot/health")["Healthy"], "autopilot is not healthy"
        committed = max((self.raft(server)["commit_index"] for server in self.servers), default=0)
        for server in self.servers:  # for some seconds after its start one does not know the tokens that came last
            applied = self.raft(server)["applied_index"]
            assert applied >= committed, f"{server.name}: has applied {applied} of {committed} changes"
        expected = {"consul"} | {s["env"]["SERVICE_NAME"] for s in SAMPLE_SERVICES}
        for server in self.servers:  # each from its own state: one that has just joined may have applied nothing yet
            names = set(self.consul(server).get("/v1/catalog/services?stale")) - set(beside)
            assert names == expected, f"{server.name}: services {sorted(names)}, expected {sorted(expected)}"
        for service, running in self.published_of_each(expected - {"consul"}).items():
            passing = self.passing(service)
            assert len(running) == len(self.docker_hosts), f"{service} runs on {sorted(running)} only"
            assert passing == running, f"{service}: in the catalog {sorted(passing)}, in truth {sorted(running)}"
        front = self.host_of("httpfront")
        within_reach = set() if self.network else self.passing("httpfront")  # an overlay address is not, from here
        for address, port in within_reach | {(balancer.address, 80) for balancer in self.balancers}:
            answer = http_get(address, front, port)
            assert (answer.status, answer.body) == (200, FRONT_BODY), f"{address}:{port}: {answer}"
        for balancer in self.balancers:
            assert "[probe]" in tcp_echo(balancer.address, 9999, "probe"), f"{balancer.name}: no echo on 9999"
        return True

    def settle(self, seconds: float = 120) -> float:
        """Wait until the site is healthy; the seconds it took."""
        return eventually(self.is_healthy, seconds, every=0.5)[1]
