"""The footprint of a site: all that it leaves on hosts, in the cluster and on the controller, as lists of names.

Two sites with the same inventory have the same footprint, so what one has beside the other is a leftover:

`python -m tests.support.footprint INVENTORY` prints the footprint of a running site as JSON.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.balancer import BACKENDS

if TYPE_CHECKING:
    from tests.support.site import Node, Site

# Links to the current generation, whose files come and go.
GENERATIONS = "".join(f" ! -path '{place}/discovery/*'" for backend in BACKENDS.values() for place in backend.places)
# Shell commands, each of which prints one name a line.
OF_A_HOST = {
    "files": f"find /etc /opt /usr/local -xdev ! -path '*/__pycache__*' ! -path '/etc/ssl/certs/*'{GENERATIONS}",
    "state": "find /var/lib -xdev -maxdepth 1 -mindepth 1",
    "balancer": "! [ -d /var/lib/discovery-balancer ] || find /var/lib/discovery-balancer -xdev -maxdepth 1 -mindepth 1",
    "units": "systemctl list-unit-files --no-legend --no-pager --state=enabled,masked,linked | awk '{print $1, $2}'",
    "timers": "systemctl list-timers --all --no-legend --no-pager | grep -o '[^ ]*\\.timer'",
    "tables": "nft list tables 2>/dev/null || true",
    "users": "getent passwd | cut -d: -f1",
    "packages": "dpkg-query --show --showformat='${Package}\\n'",
    "containers": "command -v docker >/dev/null && docker ps -a --format '{{.Names}}' || true",
    "networks": "command -v docker >/dev/null && docker network ls --format '{{.Name}}' || true",
    "mounts": "awk '{print $2}' /proc/self/mounts | grep -Ev '^/(proc|sys|dev|run)|/docker/|/containers/' || true",
}
OF_TESTS = ("load ", "load-", "load/")  # names that the tests' own load uses


def of_host(node: Node) -> dict[str, list[str]]:
    return {kind: sorted(set(node.run(command).splitlines())) for kind, command in OF_A_HOST.items()}


def of_cluster(site: Site) -> dict[str, list[str]]:
    """Tokens by their description, policies, roles, keys of the KV store, services."""
    api = site.consul()
    found = {
        "tokens": [token["Description"] for token in api.get("/v1/acl/tokens")],
        "policies": [policy["Name"] for policy in api.get("/v1/acl/policies")],
        "roles": [role["Name"] for role in api.get("/v1/acl/roles")],
        "keys": api.get("/v1/kv/?keys"),
        "services": list(api.get("/v1/catalog/services")),
    }
    return {kind: sorted(name for name in names if not name.startswith(OF_TESTS)) for kind, names in found.items()}


def footprint(site: Site) -> dict[str, dict[str, list[str]]]:
    """Kinds of names by place: each host, `cluster`, `controller`."""
    with ThreadPoolExecutor() as pool:
        hosts = dict(zip(site.nodes, pool.map(of_host, site.nodes.values()), strict=True))
    secrets = sorted(str(path.relative_to(site.secrets)) for path in site.secrets.rglob("*") if path.is_file())
    return hosts | {"cluster": of_cluster(site), "controller": {"secrets": secrets}}


def differences(wanted: dict, found: dict) -> list[str]:
    """A line for each name that one footprint has and the other has not; a name that is there twice counts twice."""
    lines = []
    for place in sorted(wanted.keys() | found.keys()):
        for kind in sorted(wanted.get(place, {}).keys() | found.get(place, {}).keys()):
            missing, extra = list(wanted.get(place, {}).get(kind, [])), []
            for name in found.get(place, {}).get(kind, []):
                if name in missing:
                    missing.remove(name)
                else:
                    extra.append(name)
            lines += [f"{place}: {kind}: leftover: {name}" for name in extra]
            lines += [f"{place}: {kind}: missing: {name}" for name in missing]
    return lines


def main() -> None:
    from tests.support.site import Site

    print(json.dumps(footprint(Site(Path(sys.argv[1]).resolve())), indent=1))


if __name__ == "__main__":
    main()
