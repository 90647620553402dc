"""A site without an overlay network gets one for as long as tests want it: swarm mode, the load balancers inside it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.overlay_reach import network_name
from tests.support.playbook import altered_inventory, play
from tests.support.site import SAMPLE_SERVICES
from tests.support.wait import side_by_side

if TYPE_CHECKING:
    from tests.support.site import Site

SETTINGS = {"discovery_overlay": "swarm", "discovery_balancer_deployment": "overlay"}
PARTS = ("firewall", "registrator", "load_balancer")  # what has to follow, beside the network itself
SAMPLES = " ".join(service["name"] for service in SAMPLE_SERVICES)


def with_settings(hosts: dict) -> dict:
    """The content of hosts.yml with these settings for all hosts."""
    return hosts | {"all": hosts["all"] | {"vars": hosts["all"].get("vars", {}) | SETTINGS}}


def converged(site: Site, *options: str, playbook: str = "site.yml", inventory: Path | None = None) -> None:
    """Run a playbook, which goes through."""
    done, _ = play(site, playbook, *options, inventory=inventory)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def on_docker_hosts(site: Site, command: str) -> None:
    side_by_side(functools.partial(node.run, command) for node in site.docker_hosts)


@contextlib.contextmanager
def switched_on(site: Site, folder: Path) -> Iterator[Site]:
    """The site with an overlay network while the block runs. The sample containers are connected to it, and published as before.

    :param folder: where its inventory is written, under the same name
    :returns: the same object, with the inventory, network and variables of now
    """
    plain, before = site.inventory, {name: dict(node.variables) for name, node in site.nodes.items()}
    switched = altered_inventory(plain, folder / plain.name, with_settings)
    for node in site.nodes.values():
        node.variables.update(SETTINGS)
    network = network_name(site)
    try:
        converged(site, "--tags", ",".join((*PARTS, "overlay")), inventory=switched)
        on_docker_hosts(site, f"for name in {SAMPLES}; do docker network connect {network} $name || exit 1; done")
        site.inventory, site.network = switched, network
        site.settle()
        yield site
    finally:
        site.inventory, site.network = plain, ""
        for node in site.nodes.values():
            node.variables.clear()
            node.variables.update(before[node.name])
        on_docker_hosts(site, f"for name in {SAMPLES}; do docker network disconnect --force {network} $name; done; true")
        converged(site, "--tags", ",".join(PARTS))
        reset = ("-e", "reset_scope=overlay", "-e", f"reset_datacenter={site.datacenter}")
        converged(site, *reset, playbook="playbooks/reset.yml", inventory=switched)
        on_docker_hosts(site, "docker network rm docker_gwbridge 2>/dev/null; true")  # swarm mode leaves it
        site.settle()
