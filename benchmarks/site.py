"""The site that is measured: its lab, and what the measurements do to it. Asking goes through the tests' view of a site."""

import http.client
import json
import os
import platform
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lab import nodes
from lab.inventory import Site as Lab
from tests.support.balancer import status
from tests.support.catalog_watch import Watch
from tests.support.http_load import Expected
from tests.support.site import Site
from tests.support.wait import Repeating, eventually

from benchmarks import balancers

HERE = Path(__file__).parent
ROOT = HERE.parent

PORT = 8080  # of the static backend
BODY = "hello\n"  # of its answers (backend.conf)
TIMEOUT = 3  # seconds for an answer
CONFIG = "/etc/bench-backend.conf"
# How a container's health gets into the catalog: the three lines on which propagation is given.
LINES = {
    "none": {},
    "pace": {},  # the same, with the next event as soon as another reload may be
    "engine": {
        "Healthcheck": {
            "Test": ["CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{PORT}"],
            "Interval": 1_000_000_000,  # a second: dockerd's least useful interval
            "Timeout": 1_000_000_000,
        }
    },
    "http": {"Env": ["SERVICE_CHECK_HTTP=/", "SERVICE_CHECK_INTERVAL=2s"]},
}


@dataclass(frozen=True)
class Instance:
    """A container that runs: its name (also what it answers as), when its process started (Unix time), where it is reached."""

    name: str
    asked: float
    started: float
    port: int


class Engine:
    """dockerd of a host, from outside with the admin's bundle."""

    def __init__(self, site, node):
        bundle = site.secrets / "docker-client"
        self.address = node.address
        self.tls = ssl.create_default_context(cafile=str(bundle / "ca.pem"))
        self.tls.load_cert_chain(bundle / "cert.pem", bundle / "key.pem")

    def ask(self, method: str, path: str, body=None):
        """One request; the decoded JSON. An answer of 400 or more is a RuntimeError."""
        connection = http.client.HTTPSConnection(self.address, 2376, timeout=60, context=self.tls)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300].decode(errors='replace')}")
        return json.loads(content) if content else None


class Bench:
    """What the measurements need of a site.

    :param site: as the tests have it (tests.support.site)
    :ivar balancer: the host of the balancers
    :ivar app: the host of the containers
    """

    def __init__(self, site):
        self.site, self.balancer, self.app = site, site.balancers[0], site.docker_hosts[-1]
        self.engine = Engine(site, self.app)
        self.made: set[str] = set()

    def prepare(self) -> None:
        """The static backend's configuration and image on the host of the containers; nothing of an earlier run."""
        # The image is built for these nodes: a pull gets it from the lab's registry, once.
        self.app.run(f"cat >{CONFIG} <<'END'\n{(HERE / 'backend.conf').read_text()}END\n")
        self.app.run("docker image inspect nginx:1.26 >/dev/null 2>&1 || docker pull -q nginx:1.26")
        self.app.run('ids=$(docker ps -aq --filter label=org.fewnodes.bench); [ -z "$ids" ] || docker rm -f $ids')

    def create(self, service: str, name: str, line: str = "none") -> None:
        """Make a container of the static backend, without starting it."""
        chosen = LINES[line]
        env = [f"SERVICE_NAME={service}", "SERVICE_TAGS=http", *chosen.get("Env", [])]
        body = {
            "Image": "nginx:1.26",
            "Hostname": name,
            "Cmd": ["nginx", "-c", CONFIG, "-g", "daemon off;"],
            "Env": env,
            "Labels": {"org.fewnodes.bench": "1"},
            "ExposedPorts": {f"{PORT}/tcp": {}},
            "HostConfig": {
                "Binds": [f"{CONFIG}:{CONFIG}:ro"],
                "PortBindings": {f"{PORT}/tcp": [{"HostPort": ""}]},
            },
        }
        if "Healthcheck" in chosen:
            body["Healthcheck"] = chosen["Healthcheck"]
        # The image's own port 80 is not published, so it is not registered.
        self.engine.ask("POST", f"/containers/create?name={name}", body)
        self.made.add(name)

    def start(self, name: str) -> Instance:
        """Start a container; its process runs when this returns."""
        asked = time.time()
        self.engine.ask("POST", f"/containers/{name}/start")
        inspected = self.engine.ask("GET", f"/containers/{name}/json")
        started = datetime.fromisoformat(inspected["State"]["StartedAt"]).timestamp()
        return Instance(name, asked, started, int(inspected["NetworkSettings"]["Ports"][f"{PORT}/tcp"][0]["HostPort"]))

    def kill(self, name: str) -> None:
        self.engine.ask("POST", f"/containers/{name}/kill")

    def remove(self, name: str) -> None:
        self.engine.ask("DELETE", f"/containers/{name}?force=true&v=true")
        self.made.discard(name)

    def remove_all(self) -> None:
        """What a measurement that failed has left."""
        for name in sorted(self.made):
            self.remove(name)

    def run(self, service: str, name: str, line: str = "none") -> Instance:
        self.create(service, name, line)
        return self.start(name)

    def serve_ports(self, name: str, first: int, last: int) -> None:
        """Run a backend in the network of the host, on each of these ports; it answers with the port."""
        config = f"{CONFIG}.ports"
        text = (HERE / "backend.conf").read_text().replace(f"listen {PORT};", f"listen {first}-{last};")
        self.app.run(f"cat >{config} <<'END'\n{text.replace('$hostname', '$server_port')}END\n")
        body = {
            "Image": "nginx:1.26",
            "Cmd": ["nginx", "-c", CONFIG, "-g", "daemon off;"],
            "Labels": {"org.fewnodes.bench": "1", "SERVICE_IGNORE": "true"},
            "HostConfig": {"Binds": [f"{config}:{CONFIG}:ro"], "NetworkMode": "host"},
        }
        self.engine.ask("POST", f"/containers/create?name={name}", body)
        self.made.add(name)
        self.engine.ask("POST", f"/containers/{name}/start")

    def expected(self, service: str, instance: str = "") -> Expected:
        """The answers of a service: its instances' names begin with its own. A balancer without a host of this name may answer
        from another one's instance, with 200.

        :param instance: another beginning of the names
        """
        return Expected(self.site.host_of(service), BODY, instance=instance or service)

    def watch(self, service: str) -> Watch:
        """The passing instances of a service, as the catalog's own server reports them."""
        return Watch(self.site, service)

    def instance_id(self, name: str) -> tuple[str, str]:
        """A container's service in the catalog: node and id."""
        return self.app.name, f"{self.app.name}:{name}:{PORT}"

    def agent(self):
        """The API of the agent of the containers' host, with the token by which its services are registered."""
        api = self.site.consul(self.app)
        api.headers = {"X-Consul-Token": (self.site.secrets / f"tokens/registrator-{self.app.name}").read_text().strip()}
        return api

    def drain(self, name: str, on: bool) -> float:
        """Consul's maintenance of one instance; when it was asked for."""
        asked = time.time()
        identity = self.instance_id(name)[1]
        self.agent().send("PUT", f"/v1/agent/service/maintenance/{identity}?enable={str(on).lower()}&reason=bench")
        return asked

    def reloads(self, balancer: balancers.Balancer) -> int | None:
        """How often a balancer has reloaded until now; None when it does not reload."""
        if balancer.options:
            return status(self.balancer)["reloads"]
        if balancer is balancers.TEMPLATE:
            log = "/var/log/nginx/bench-template-nginx.conf.error.log"
            return int(self.balancer.run(f"grep -c reconfiguring {log} || true"))
        if balancer is balancers.TEMPLATE_HAPROXY:  # each reload starts a worker
            return int(self.balancer.run(f"journalctl -q --no-pager -o cat -u {balancer.units[0]} | grep -c forked || true"))
        return None


def lab_up(inventory: Path, playbooks: bool = True):
    """The lab, with the site on it by the collection's own playbook, and the other balancers; the site as the tests have it."""
    program = balancers.traefik()
    nodes.up(Lab.read(inventory))
    # The clients ask the other balancers, and the containers, straight away.
    opening = json.dumps({"firewall_allow_rules": {"bench": {"tcp": ["1-65535"], "from": ["any"]}}})
    todo = ((ROOT / "site.yml", ["-e", opening]), (HERE / "peers.yml", ["-e", f"bench_traefik={program}"])) if playbooks else ()
    for path, extra in todo:
        subprocess.run(**playbook(path, inventory, *extra), check=True)

    return Site(inventory.resolve())


def playbook(path: Path, inventory: Path, *extra: str) -> dict:
    """Arguments of subprocess.run for a run of a playbook.

    :param extra: further arguments of ansible-playbook
    """
    command = [str(Path(sys.executable).parent / "ansible-playbook"), str(path), "-i", str(inventory), *extra]
    return {"args": command, "cwd": ROOT, "env": os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}}


def versions(bench: Bench) -> dict[str, str]:
    """Of the programs that are measured."""
    return {
        "nginx": bench.balancer.run("/usr/sbin/nginx -v 2>&1").rpartition("/")[2].strip(),
        "haproxy": bench.balancer.run("/usr/sbin/haproxy -v").split("version ")[1].split("-")[0].split()[0],
        "consul": bench.balancer.run("consul version").split()[1].lstrip("v"),
        "consul-template": bench.balancer.run("consul-template -v 2>&1").split()[1].lstrip("v"),
        "engine": bench.app.run("docker version --format '{{.Server.Version}}'").strip(),
        "traefik": balancers.TRAEFIK_VERSION,
    }


def machine(versions: dict[str, str]) -> dict:
    """The machine that is measured on, for readers of the figures.

    :param versions: of the programs
    """
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": os.cpu_count(),
        "cpu": cpu,
        "memory": memory,
        "kernel": platform.release().partition("-")[0],
        "load_before": os.getloadavg()[0],
        "versions": versions,
        "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def all_at_once(jobs: list, slots: int) -> list:
    """Call each job, so many at a time; their results in order. The first error ends it."""
    with ThreadPoolExecutor(slots) as pool:
        return list(pool.map(lambda job: job(), jobs))


__all__ = [
    "Bench", "Instance", "LINES", "ROOT", "Repeating", "all_at_once", "eventually", "lab_up", "machine", "playbook", "versions",
]  # fmt: skip
