"""Print the services that this host's containers stand for, as JSON: python3 -m registrator.listing [flags] consul-tls://…

For the host, not for the image: the status of a site compares it with the catalog. It asks dockerd only and changes nothing, so
it also answers while the registrator does not run. Python 3.9.
"""

from __future__ import annotations

import json
import os
import sys

from .dockerd import Dockerd
from .options import Options, dockerd_address, parse
from .wanted import wanted


def listing(options: Options, dockerd: Dockerd, host: str) -> dict:
    """Services, each with id, name, address, port and container; and ids that stay though their container has failed."""
    found = wanted(
        dockerd.containers(stopped=options.deregister == "on-success"),
        options,
        host,
        overlays=dockerd.overlays() if options.internal else frozenset(),
    )
    fields = ("id", "name", "address", "port", "container")
    return {"services": [{field: getattr(one, field) for field in fields} for one in found.services], "kept": sorted(found.kept)}


def main() -> None:
    options = parse(sys.argv[1:])
    dockerd = Dockerd(dockerd_address(os.environ, os.path.exists), with_images=not options.image_labels)
    print(json.dumps(listing(options, dockerd, os.uname().nodename)))


if __name__ == "__main__":
    main()
