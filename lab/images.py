"""Images of the lab: a bare Debian node, the site services, and the images that services of a site run from.

Each recipe is tagged with its own hash, so an image is built once and again only when its recipe changes.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from lab.machine import debian_mirrors
from lab.shell import CACHE, run, step, succeeds

IMAGES = Path(__file__).parent / "images"
PREFIX = "localhost/fewnodes"
SUITE = "trixie"  # the Debian release of the site services, of the samples, and of nodes unless the inventory sets another
SUITES = ("bullseye", "bookworm", "trixie")  # what nodes can be: Debian 11, 12 and 13
UBUNTU = "ubuntu-shaped"  # a Debian node of SUITE with what an Ubuntu 24.04 server has and a Debian has not
KUBERNETES = "kubernetes"  # a Debian node of SUITE that belongs to a Kubernetes cluster (lab.kubernetes)
KINDS = (*SUITES, UBUNTU, KUBERNETES)  # what lab_suite can be
USER = "admin"  # may sudo; Ansible connects as this user
HOST = ["systemd", "systemd-sysv", "dbus", "iproute2", "ca-certificates", "python3"]
NODE = [*HOST, "udev", "openssh-server", "sudo", "iputils-ping"]
UBUNTU_SHAPE = Path(__file__).with_name("ubuntu_shaped")
UBUNTU_PACKAGES = ["systemd-resolved", "netplan.io", "ufw", "unattended-upgrades", "python3-apt"]
KUBERNETES_PACKAGES = [
    "etcd-server", "containerd", "runc", "containernetworking-plugins", "iptables", "ipset", "nftables", "conntrack", "procps",
]  # fmt: skip
SITE = [*HOST, "apt-cacher-ng", "docker-registry", "dnsmasq"]
PYTHON = ["python3", "ca-certificates"]
NGINX = ["nginx", "libnginx-mod-stream"]  # 1.26 in trixie
LEAN = [  # no manuals, no translations, no package lists: these images travel to every node
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
]


def node(kind: str) -> str:
    """The image of a bare node: systemd, sshd, sudo, python3, and the package lists a fresh host has.

    :param kind: one of KINDS
    """
    user = f"--customize-hook=chroot $1 useradd --create-home --shell /bin/bash {USER}"
    options = ["--skip=cleanup/apt/lists", user]
    if kind == UBUNTU:
        return _rootfs(f"node-{kind}", SUITE, "apt", [*NODE, *UBUNTU_PACKAGES], options, UBUNTU_SHAPE)
    if kind == KUBERNETES:
        return _rootfs(f"node-{kind}", SUITE, "apt", [*NODE, *KUBERNETES_PACKAGES], options)
    return _rootfs(f"node-{kind}", kind, "apt", NODE, options)


def site() -> str:
    """The image of the site services."""
    return _rootfs("site", SUITE, "apt", SITE, [])


def samples() -> dict[str, str]:
    """The images a site's services run from, by the name under which the registry offers them."""
    base = _rootfs("python", SUITE, "minbase", PYTHON, LEAN)
    found = {"python:3.13-slim": base}
    for folder in sorted(path.parent for path in IMAGES.glob("*/Dockerfile")):
        if folder.name == "nginx":
            found["nginx:1.26"] = sample(folder, _rootfs("nginx", SUITE, "minbase", NGINX, LEAN))
        else:
            found[f"{folder.name}:v1.0.0"] = sample(folder, base)
    return found


def of_program(name: str, program: Path, version: str) -> str:
    """An image with nothing but one program, which is in its PATH and is what it runs.

    :param version: of the program, whose file is read only where there is no image of it
    """
    text = f'FROM scratch\nCOPY {name} /bin/{name}\nENV PATH=/bin\nENTRYPOINT ["{name}"]\n'
    tag = f"{PREFIX}/{name}:{digest(text, version)}"
    if not succeeds("podman", "image", "exists", tag):
        with step(f"making the image {name}"), tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            shutil.copy(program, Path(scratch) / name)
            (Path(scratch) / "Dockerfile").write_text(text)
            run("podman", "build", "-q", "--runtime", "runc", "-t", tag, scratch)
    return tag


def _rootfs(name: str, suite: str, variant: str, packages: list[str], options: list[str], shape: Path | None = None) -> str:
    """An image with a Debian root file system made by mmdebstrap from the machine's own mirrors.

    :param shape: a program that changes the root file system, which is its argument
    """
    sources = _sources(suite)
    command = ["mmdebstrap", f"--variant={variant}", f"--include={','.join(packages)}", *options]
    # What must differ from node to node is made at its first start, or put there by the lab.
    command += ["--customize-hook=rm -f $1/etc/ssh/ssh_host_* && : > $1/etc/machine-id"]
    tag = f"{PREFIX}/{name}:{digest(*command, *sources, *([shape.read_text()] if shape else []))}"
    if shape:
        command.insert(-1, f"--customize-hook={shape}")
    if not succeeds("podman", "image", "exists", tag):
        CACHE.mkdir(parents=True, exist_ok=True)
        with step(f"making the image {name} ({suite})"), tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            archive = Path(scratch) / "root.tar"
            run(*command, suite, archive, *sources)
            run("podman", "import", "-q", "--change", "CMD /sbin/init", archive, tag)
    return tag


def _sources(suite: str) -> list[str]:
    """Where the packages of a release come from: the machine's own mirrors, or DISCOVERY_LAB_MIRROR_<SUITE> for a release
    that those do not carry any more (Debian moves old ones to its archive)."""
    if elsewhere := os.environ.get(f"DISCOVERY_LAB_MIRROR_{suite.upper()}"):
        return [f"deb {elsewhere} {suite} main"]
    mirrors = debian_mirrors()
    sources = [f"deb {mirrors['Debian']} {suite} main", f"deb {mirrors['Debian']} {suite}-updates main"]
    if "Debian-Security" in mirrors:
        sources.append(f"deb {mirrors['Debian-Security']} {suite}-security main")
    return sources


def sample(folder: Path, base: str) -> str:
    """An image built from a folder of lab/images on the given base."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    tag = f"{PREFIX}/{folder.name}:{digest(base, *(path.read_text() for path in files))}"
    if not succeeds("podman", "image", "exists", tag):
        with step(f"making the image {folder.name}"), tempfile.TemporaryDirectory() as scratch:
            for path in files:
                (Path(scratch) / path.name).write_bytes(path.read_bytes())
            for source in Path(scratch).glob("*.c"):
                run("musl-gcc", "-static", "-Os", "-s", "-o", source.with_suffix(""), source)
            run("podman", "build", "-q", "--runtime", "runc", "--build-arg", f"BASE={base}", "-t", tag, scratch)
    return tag


def remove() -> list[str]:
    """Remove every image that the lab has made, of older recipes too; their names."""
    found = run("podman", "images", "--filter", f"reference={PREFIX}/*", "--format", "{{.Repository}}:{{.Tag}}").split()
    if found:
        run("podman", "rmi", "-f", *found)
    return found


def digest(*parts: str) -> str:
    """The mark of a recipe, short enough for a tag."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
