"""Containers that are hosts: systemd inside, an address, and files put there before the first start."""

import io
import tarfile
from pathlib import Path

from lab import machine
from lab.shell import run

LABEL = "org.fewnodes.lab=1"


def create_network(name: str, *options) -> None:
    """Create a bridge network without podman's own DNS, whose packets fit through the machine's uplink."""
    mtu = f"mtu={machine.uplink_mtu()}"
    run("podman", "network", "create", "--disable-dns", "--opt", mtu, "--label", LABEL, *options, name)


def start_container(
    name: str, hostname: str, image: str, options: list[str], files: dict[str, str | Path], volumes: dict
) -> None:
    """Create a systemd container, put files into it, start it."""
    mounts = [part for source, target in volumes.items() for part in ("-v", f"{source}:{target}")]
    # It owns its resolv.conf, hosts and hostname, as a host does: podman must not mount its own over them.
    own = ["--dns", "none", "--no-hosts", "--label", LABEL]
    named = ["--name", name, "--hostname", hostname]
    run("podman", "create", *named, *machine.node_flags(), *own, *mounts, *options, image, "/sbin/init")
    put_files(name, files)
    run("podman", "start", name)


def put_files(name: str, files: dict[str, str | Path]) -> None:
    """Write files (text) and symbolic links (a path) into a container, running or not; private keys and files of netplan, which
    warns otherwise, get mode 0600."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            data = b""
            if isinstance(content, Path):
                member.type, member.linkname = tarfile.SYMTYPE, str(content)
            else:
                data = content.encode()
            member.size = len(data)
            member.mode = 0o600 if path.endswith("_key") or path.startswith("etc/netplan/") else 0o644
            tar.addfile(member, io.BytesIO(data))
    run("podman", "cp", "-", f"{name}:/", stdin=archive.getvalue())
