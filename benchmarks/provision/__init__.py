"""(e) Provisioning: from bare hosts to a site, again without a change, after an edit, and with one more host.

Beside the collection: a shell script that installs the same programs on all hosts at once (`install`). Each has bare nodes of its
own, in the lab of `inventory`; downloads come from the caches of the lab.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from lab import nodes
from lab.inventory import Site as Lab
from tests.support.site import Site

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
INVENTORY = Path("benchmarks/provision/inventory")
JOINS = "host-4"
EDITED = "/etc/nginx/nginx.conf"
STEPS = ("bare", "again", "edited", "add")
LIMIT = 1200  # seconds for one step


class Failed(Exception):
    """A tool that did not end with 0."""


def without(hosts: dict, name: str) -> dict:
    """An inventory's groups without one host.

    :param hosts: as hosts.yml holds it
    :param name: of the host
    """
    return {key: without(part, name) if isinstance(part, dict) else part for key, part in hosts.items() if key != name}


def earlier(inventory: Path, folder: Path) -> Path:
    """A copy of the inventory without the host that joins; variables and secrets are shared."""
    (inventory / ".secrets").mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
    (folder / "hosts.yml").write_text(yaml.safe_dump(without(hosts, JOINS), sort_keys=False))
    for shared in ("group_vars", ".secrets"):
        if not (folder / shared).is_symlink():
            (folder / shared).symlink_to((inventory / shared).resolve())
    return folder


def collection(inventory: Path) -> None:
    """Run site.yml over an inventory."""
    settings = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    _run([Path(sys.executable).parent / "ansible-playbook", ROOT / "site.yml", "-i", inventory], settings)


def shell(inventory: Path) -> None:
    """Run the script over the hosts of an inventory."""
    site = Site(inventory.resolve())
    hosts = list(site.nodes.values())
    anyone = hosts[0].variables
    settings = {
        "SSH": " ".join(hosts[0].ssh[:-1]),
        "SERVERS": " ".join(node.address for node in site.servers),
        "MIRROR": anyone["discovery_release_mirror"],
        "REGISTRY": anyone["dockerd_registry_mirrors"][0],
        "UPSTREAM": anyone["discovery_resolvers"][0],
        "DOMAIN": site.domain,
    }
    _run([HERE / "install", inventory / ".secrets/shell", *(node.ssh[-1] for node in hosts)], os.environ | settings)


TOOLS: dict[str, Callable[[Path], None]] = {"ours": collection, "shell": shell}


def measure(inventory: Path, rounds: int, log: Callable[[str], None]) -> Iterator[dict]:
    """Each tool on bare nodes, round by round; a result for each step of each tool, with the seconds of all rounds.

    :param inventory: of the site with the host that joins; its lab is made and removed
    :raises Failed: a tool did not end with 0
    """
    seconds: dict[tuple[str, str], list[float]] = {(tool, step): [] for step in STEPS for tool in TOOLS}
    for _ in range(rounds):
        for tool, run in TOOLS.items():
            for step, took in _steps(inventory, run):
                seconds[tool, step].append(round(took, 1))
                log(f"provision: {tool}, {step}: {took:.1f} s")
    for (tool, step), values in seconds.items():
        yield {"balancer": tool, "step": step, "seconds": values}


def _steps(inventory: Path, run: Callable[[Path], None]) -> Iterator[tuple[str, float]]:
    nodes.down(inventory)
    nodes.up(Lab.read(inventory))
    three = earlier(inventory, Path(".lab/provision-three"))
    for step in STEPS:
        if step == "edited":
            Site(three.resolve()).balancers[0].run(f"echo '# edited' >>{EDITED}")
        begin = time.monotonic()
        run(inventory if step == "add" else three)
        yield step, time.monotonic() - begin


def versions() -> dict[str, str]:
    """Of what drives the collection."""
    command = [Path(sys.executable).parent / "ansible-playbook", "--version"]
    first = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return {"ansible-core": first.partition("core ")[2].rstrip("]")}


def _run(command: list, environment: dict[str, str]) -> None:
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    if done.returncode != 0:
        raise Failed(f"{Path(command[0]).name} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")

