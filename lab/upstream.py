"""Another implementation of registrator, for tests of `registrator_image`. Not needed by any other test, so built only on demand.

No upstream build can be had from the Go module proxy or a registry, so it is a stand-in (registrator_upstream/main.go says
what it has in common). `DISCOVERY_LAB_REGISTRATOR` names an image of the real thing in this machine's podman instead.
"""

import os
import shutil
import tempfile
from pathlib import Path

from lab import images, releases, site
from lab.shell import run, step, succeeds

SOURCE = Path(__file__).parent / "registrator_upstream"
LIBRARY = "github.com/hashicorp/consul/api@v1.34.1"
NAME = "registrator-upstream:v1"


def image() -> str:
    """The image in this machine's podman."""
    if given := os.environ.get("DISCOVERY_LAB_REGISTRATOR"):
        return given
    files = sorted(SOURCE.iterdir())
    tag = f"{images.PREFIX}/registrator-upstream:{images.digest(*(file.read_text() for file in files))}"
    if not succeeds("podman", "image", "exists", tag):
        with step("building another implementation of registrator"), tempfile.TemporaryDirectory() as scratch:
            for file in files:
                shutil.copy(file, scratch)
            releases.go_sum(LIBRARY, Path(scratch))
            releases.go_build(Path(scratch), Path(scratch) / "registrator", ".")
            run("podman", "build", "-q", "--runtime", "runc", "-t", tag, scratch)
    return tag


def offer(address: str) -> str:
    """Put it into the registry of a lab.

    :param address: of the lab's site services
    :returns: the name under which the lab's docker hosts can pull it
    """
    site.offer(address, NAME, image())
    return NAME
