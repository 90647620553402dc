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

from lab import nodes
from lab.inventory import Site as Lab
from tests.support.playbook import altered_inventory
from tests.support.site import Site

from benchmarks.site import ROOT, playbook

HERE = Path(__file__).parent
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


def collection(site: Site) -> None:
    """Run site.yml over a site."""
    _run(**playbook(ROOT / "site.yml", site.inventory))


def shell(site: Site) -> None:
    """Run the script over the hosts of a site."""
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
    command = [HERE / "install", site.inventory / ".secrets/shell", *(node.ssh[-1] for node in hosts)]
    _run([str(word) for word in command], cwd=ROOT, env=os.environ | settings)


TOOLS: dict[str, Callable[[Site], None]] = {"ours": collection, "shell": shell}


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


def _steps(inventory: Path, run: Callable[[Site], None]) -> Iterator[tuple[str, float]]:
    nodes.down(inventory)
    nodes.up(Lab.read(inventory))
    (inventory / ".secrets").mkdir(mode=0o700, exist_ok=True)
    three = Site(altered_inventory(inventory, Path(".lab/provision-three"), lambda hosts: without(hosts, JOINS)).resolve())
    four = Site(inventory.resolve())
    for step in STEPS:
        if step == "edited":
            three.balancers[0].run(f"echo '# edited' >>{EDITED}")
        begin = time.monotonic()
        run(four if step == "add" else three)
        yield step, time.monotonic() - begin


def versions() -> dict[str, str]:
    """Of what drives the collection."""
    command = [Path(sys.executable).parent / "ansible-playbook", "--version"]
    first = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return {"ansible-core": first.partition("core ")[2].rstrip("]")}


def _run(args: list[str], cwd: Path, env: dict[str, str]) -> None:
    done = subprocess.run(args, cwd=cwd, env=env, capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode != 0:
        raise Failed(f"{Path(args[0]).name} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
