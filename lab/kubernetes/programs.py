"""The programs of a cluster, built from the Go module proxy: no site with their releases is within everybody's reach."""

import json
import re
import shutil
import tempfile
from pathlib import Path

from lab import releases
from lab.images import digest
from lab.shell import CACHE, run, step

VERSION = "1.34.0"
KUBERNETES = ("k8s.io/kubernetes", f"v{VERSION}")
CLUSTER = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
# Program: its module, the version, the package: in the module, or of ours in a folder beside this file.
OTHERS = {
    "coredns": ("github.com/coredns/coredns", "v1.15.0", "coredns"),
    "kube-router": ("github.com/cloudnativelabs/kube-router/v2", "v2.1.0", "/cmd/kube-router"),
}
OWN = Path(__file__).parent
STAMP = "k8s.io/component-base/version"


def provide() -> Path:
    """The folder with all programs, made once for a machine: some twelve minutes on two cores.

    :raises LabError: a module cannot be had, or does not compile
    """
    made = folder()
    made.mkdir(parents=True, exist_ok=True)
    if any(not (made / name).exists() for name in CLUSTER):
        with step(f"building Kubernetes {VERSION} (once; a quarter of an hour)"):
            _build(*KUBERNETES, [f"{KUBERNETES[0]}/cmd/{name}" for name in CLUSTER], made, _stamps())
    for name, (module, version, package) in OTHERS.items():
        if not (made / name).exists():
            with step(f"building {name} {version} (once; some minutes)"):
                own = OWN / package if not package.startswith("/") else None
                _build(module, version, [f"./{package}" if own else f"{module}{package}"], made, own=own)
    return made


def folder() -> Path:
    """Where the programs are, or will be."""
    recipe = repr((KUBERNETES, CLUSTER, OTHERS, _stamps()))
    return CACHE / "kubernetes" / digest(recipe, (OWN / "coredns/main.go").read_text())


def _stamps() -> str:
    """By what the programs know their version."""
    major, minor, _ = VERSION.split(".")
    values = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X {STAMP}.{name}={value}" for name, value in values.items())


def wrapper(released: str, module: str, version: str) -> str:
    """The go.mod of a module of ours that requires a released one, from that one's own.

    The parts of Kubernetes are modules, which its go.mod replaces by folders; those outside know them as v0.<minor>.<patch>.
    """
    text = re.sub(r"^module .*$", "module build", released, count=1, flags=re.MULTILINE)
    if module == KUBERNETES[0]:
        text = re.sub(r"^replace (\(.*?^\)|.*?$)", "", text, flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"(k8s\.io/\S+) v0\.0\.0(?=\s|$)", rf"\1 v0.{version.removeprefix('v1.')}", text)
    return f"{text}\nrequire {module} {version}\n"


def _build(module: str, version: str, packages: list[str], made: Path, flags: str = "", own: Path | None = None) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        source, programs = Path(scratch) / "source", Path(scratch) / "programs"
        source.mkdir()
        programs.mkdir()
        found = releases.go_download(f"{module}@{version}", source)
        (source / "go.mod").write_text(wrapper(Path(found["GoMod"]).read_text(), module, version))
        (source / "go.sum").write_bytes((Path(found["Dir"]) / "go.sum").read_bytes())
        if own:
            shutil.copytree(own, source / own.name)
        releases.go_build(source, f"{programs}/", *packages, flags=flags)
        for program in programs.iterdir():
            program.rename(made / program.name)


def kubectl(kubeconfig: Path, *arguments: str, manifests: list[dict] | None = None) -> str:
    """Run kubectl of the lab's Kubernetes; what it printed.

    :param manifests: objects that it reads from its input
    :raises LabError: it ended with another code than 0
    """
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}).encode() if manifests else None
    return run(folder() / "kubectl", "--kubeconfig", kubeconfig, *arguments, stdin=given)
