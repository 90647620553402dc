"""Pebble: Let's Encrypt's CA for tests, and its DNS server, built once from the Go module proxy. Only tests of ACME need it."""

import tempfile
from pathlib import Path

from lab import releases
from lab.shell import CACHE, step

MODULE, VERSION = "github.com/letsencrypt/pebble/v2", "2.10.3"
PROGRAMS = ("pebble", "pebble-challtestsrv")


def programs() -> Path:
    """The folder of PROGRAMS.

    :raises LabError: the module proxy is out of reach
    """
    folder = CACHE / "pebble" / VERSION
    if not all((folder / name).exists() for name in PROGRAMS):
        folder.mkdir(parents=True, exist_ok=True)
        with step(f"building pebble {VERSION} (once; some minutes)"), tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch)
            releases.go_sum(f"{MODULE}@v{VERSION}", source)
            (source / "go.mod").write_text(f"module build\n\ngo 1.25\n\nrequire {MODULE} v{VERSION}\n")
            releases.go_build(source, f"{folder}/", *(f"{MODULE}/cmd/{name}" for name in PROGRAMS))
    return folder
