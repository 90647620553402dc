"""A service that is scaled by playbooks/scale_service.yml: its runs, its instances, and one round up and down under load."""

from __future__ import annotations

import datetime
import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.catalog_watch import Watch
from tests.support.http_load import http_load, spread
from tests.support.playbook import play
from tests.support.wait import eventually

if TYPE_CHECKING:
    from tests.support.site import Node, Site

SERVICE, IMAGE = "test-scale", "httpbackend:v1.0.0"
FOLLOWS = 3.0  # seconds until a balancer follows


def run_scale(site: Site, hosts: list[Node], count: int, **variables):
    """Run the playbook for the service on some docker hosts; how it ended."""
    given = {
        "scale_service": SERVICE, "scale_image": IMAGE, "scale_count": count,
        "scale_hosts": ",".join(node.name for node in hosts), "scale_env": {"SERVICE_TAGS": "http", "VERSION": SERVICE},
        **variables,
    }  # fmt: skip
    return play(site, "playbooks/scale_service.yml", "-e", json.dumps(given))[0]


def ran(done) -> None:
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def instances(nodes: list[Node]) -> dict[str, tuple[str, str, float]]:
    """The service's running containers by the instance's name in its answers: node, container's name, start (Unix time)."""
    found = {}
    for node in nodes:
        listed = node.run(
            f"docker ps -q --filter label=org.fewnodes.scale.service={SERVICE} | xargs -r docker inspect"
            " -f '{{.Config.Hostname}} {{.Name}} {{.State.StartedAt}}'"
        )
        for line in listed.splitlines():
            hostname, name, started = line.split()
            seconds = datetime.datetime.fromisoformat(started[:26].rstrip("Z") + "+00:00").timestamp()
            found[hostname] = (node.name, name.lstrip("/"), seconds)
    return found


def remove(nodes: list[Node]) -> None:
    """Remove the service's containers, also stopped ones."""
    for node in nodes:
        node.tries(f"docker ps -aq --filter label=org.fewnodes.scale.service={SERVICE} | xargs -r docker rm -f")


def up_and_down(site: Site, hosts: list[Node], many: int, folder: Path, show, at_many=lambda: None, at_one=lambda: None) -> None:
    """From one container to many, spread evenly over the hosts, and back to one, under load: 0 failed requests, each instance
    that comes answers and each that goes has stopped to, within FOLLOWS.

    :param folder: where the load writes its log
    :param at_many: called when all of them run
    :param at_one: called when the first one is served
    """
    ran(run_scale(site, hosts, 1))
    with Watch(site, SERVICE) as watch, http_load(site, site.backend(SERVICE), folder) as requests:
        one = instances(hosts)
        assert len(one) == 1
        at_one()
        ran(run_scale(site, hosts, many))
        all_of_them = instances(hosts)
        assert one.items() <= all_of_them.items(), "the first instance was moved"
        count = Counter(node for node, _, _ in all_of_them.values())
        assert [count[host.name] for host in hosts] == [many // len(hosts)] * len(hosts)
        came = [eventually(lambda i=i: requests.first(i), 10)[0] - all_of_them[i][2] for i in all_of_them.keys() - one.keys()]
        show(f"1→{many}: first answer after the start of a container: {spread(came)}")
        at_many()

        ran(run_scale(site, hosts, 1))
        left = instances(hosts)
        assert len(left) == 1 and left.items() <= all_of_them.items(), "the last instance was moved"
        went = []
        for instance in all_of_them.keys() - left.keys():
            node, name, _ = all_of_them[instance]
            (registered,) = {one for _, passing, _ in watch.history for one in passing if f":{name}:" in one[1]}
            assert registered[0] == node
            went.append(max(0.0, requests.last(instance) - watch.left(registered, all_of_them[instance][2] + max(came))))
        show(f"{many}→1: last answer after it left the catalog: {spread(went)}")
        time.sleep(2)
    show(str(requests))
    requests.assert_served()
    assert max(came + went) <= FOLLOWS
