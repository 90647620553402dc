"""Print the services that this host's containers stand for, as JSON: python3 -m registrator.listing [-other] [flags] consul-tls://…

With them, those that containers ask for in vain. For the host, not for the image: the status of a site compares it with the
catalog. It asks dockerd only and changes nothing, so it also answers while the registrator does not run. -other: another
implementation registers them. Python 3.9.
"""

from __future__ import annotations

import json
import os
import sys

from .dockerd import Dockerd
from .marker import Owner, mark
from .options import Options, dockerd_address, parse
from .wanted import Service, wanted

OTHER = "-other"
WEIGHT = 1  # Consul's own for a service that asks for none, as all of ours


def listing(options: Options, dockerd: Dockerd, host: str, other: bool = False) -> dict:
    """Services as they should be in the catalog, and ids that stay though their container has failed.

    :param other: another implementation registers them, whose tags and meta differ from ours: they are not given
    :returns: services, each with id, name, address, port and container, and else with tags, weight and meta, where only the hash
        of our marker is missing; kept; lost, texts: services that somebody asked for and that there are not, with the reason. Of
        another implementation none: its reasons differ
    """
    found = wanted(
        dockerd.containers(stopped=options.deregister == "on-success"),
        options,
        host,
        overlays=dockerd.overlays() if options.internal else frozenset(),
    )
    owner = None if other else Owner(host, dockerd.id())
    return {
        "services": [_described(one, owner) for one in found.services],
        "kept": sorted(found.kept),
        "lost": [] if other else [f"{one.container}: {one.item}: {one.reason}" for one in found.skipped if one.lost],
    }


def _described(service: Service, owner: Owner | None) -> dict:
    place = {field: getattr(service, field) for field in ("id", "name", "address", "port", "container")}
    if owner is None:
        return place
    meta = {**service.meta, **mark(owner, service.container, service.udp)}
    return {**place, "tags": list(service.tags), "weight": WEIGHT, "meta": meta}


def main() -> None:
    other = sys.argv[1:2] == [OTHER]
    options = parse(sys.argv[1 + other :])
    images = other or options.image_labels  # labels of an image apply
    dockerd = Dockerd(dockerd_address(os.environ, os.path.exists), with_images=not images)
    print(json.dumps(listing(options, dockerd, os.uname().nodename, other)))


if __name__ == "__main__":
    main()
