"""The machine that carries the lab: is it fit for it, what does it have, which subnet is free, which settings change."""

import contextlib
import functools
import ipaddress
import json
import os
import resource
import shutil
from pathlib import Path

from lab.errors import LabError
from lab.shell import CACHE, run, succeeds

NEEDED_DISK_GB = 8
NEEDED_INOTIFY = 10  # inotify instances of a node: systemd, udevd, dbus, containerd; 8.5 were measured
INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
UNIFIED = Path("/sys/fs/cgroup/unified")
SYSCTL = Path("/proc/sys")
# What podman sets for networks, and a privileged node's systemd for itself; the kernel has them once for all.
CHANGED_SETTINGS = (
    "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "kernel/core_pattern", "kernel/pid_max", "fs/protected_fifos",
    "fs/protected_hardlinks", "fs/protected_regular", "fs/protected_symlinks",
)  # fmt: skip
REMEMBERED = "machine-settings.json"


def check() -> None:
    """Stop before anything is made when this machine cannot carry nodes.

    :raises LabError: not root, no podman, or not enough disk
    """
    if os.geteuid() != 0:
        raise LabError("nodes need root (rootful podman with privileged containers); run this as root")
    for program in ("podman", "runc", "mmdebstrap", "skopeo"):
        if shutil.which(program) is None:
            raise LabError(f"{program} is not installed; 'make system' installs what the lab needs")
    root = Path(run("podman", "info", "--format", "{{.Store.GraphRoot}}").strip())
    free = shutil.disk_usage(root).free / 1e9
    if free < NEEDED_DISK_GB:
        raise LabError(f"{root} has {free:.1f} GB free; the lab needs {NEEDED_DISK_GB} GB")


def inotify_instances() -> int:
    """How many inotify instances the processes of this user have, the nodes' among them: the kernel's limit is for each user."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            for link in (process / "fd").iterdir() if process.stat().st_uid == os.geteuid() else ():
                with contextlib.suppress(OSError):
                    count += os.readlink(link) == "anon_inode:inotify"
    return count


def check_inotify(nodes: int) -> None:
    """Stop where the kernel's limit has no room for more nodes: systemd of a node would end or hang at its start.

    :param nodes: how many are to be made
    :raises LabError: too few inotify instances are left
    """
    limit, taken, needed = int(INOTIFY_LIMIT.read_text()), inotify_instances(), nodes * NEEDED_INOTIFY
    if taken + needed > limit:
        raise LabError(
            f"{nodes} nodes need {needed} inotify instances, and {taken} of {limit} are taken; remove another lab, or raise "
            f"the limit: 'sysctl -w fs.inotify.max_user_instances={max(1024, 2 * limit)}'"
        )


def node_flags() -> list[str]:
    """The podman flags that let a container run systemd and a dockerd here.

    A machine with the cgroup v1 controllers and an empty v2 tree beside them (hybrid) must lend that tree to
    the node; on a pure cgroup v2 machine podman does the right thing by itself.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = soft if hard == resource.RLIM_INFINITY else hard
    flags = ["--runtime", "runc", "--privileged", "--systemd=always", "--stop-signal", "SIGRTMIN+3"]
    flags += ["--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=32768:32768"]
    if UNIFIED.is_dir():
        flags += ["--cgroupns=host", "-v", f"{UNIFIED}:/sys/fs/cgroup:rw"]
    return flags


def remember_settings() -> None:
    """Keep the settings of this machine that labs change, as they are before the first lab."""
    found = {name: (SYSCTL / name).read_text().strip() for name in CHANGED_SETTINGS if (SYSCTL / name).exists()}
    (private_folder(CACHE) / REMEMBERED).write_text(json.dumps(found, indent=2) + "\n")


def put_back_settings() -> list[str]:
    """Give the machine the settings that it had before the first lab; the names of those that differed."""
    kept = CACHE / REMEMBERED
    if not kept.exists():
        return []
    changed = []
    for name, value in json.loads(kept.read_text()).items():
        if (SYSCTL / name).read_text().strip() != value:
            (SYSCTL / name).write_text(value)
            changed.append(f"{name.replace('/', '.')} = {value}")
    kept.unlink()
    return changed


def private_folder(folder: Path) -> Path:
    """A folder, made where it is missing, that only its owner may enter."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def routes() -> list[tuple[ipaddress.IPv4Network, str]]:
    """The networks this machine has a route to, with the device; without the default route."""
    found = []
    for route in json.loads(run("ip", "-j", "-4", "route", "show", "table", "main")):
        if route["dst"] != "default":
            found.append((ipaddress.IPv4Network(route["dst"]), route.get("dev", "")))
    return found


def overlapping_route(subnet: ipaddress.IPv4Network) -> str | None:
    """The route that a subnet would shadow, as text, or None."""
    for network, device in routes():
        if network.overlaps(subnet):
            return f"{network} on {device}"
    return None


def free_subnet() -> ipaddress.IPv4Network:
    """The first of 10.129.0.0/24, 10.129.1.0/24, … that overlaps no route and no podman network."""
    taken = [network for network, _ in routes()] + podman_subnets()
    for third in range(256):
        candidate = ipaddress.IPv4Network(f"10.129.{third}.0/24")
        if not any(candidate.overlaps(network) for network in taken):
            return candidate
    raise LabError("no free /24 in 10.129.0.0/16; name one with --subnet")


def podman_subnets() -> list[ipaddress.IPv4Network]:
    """The subnets podman has given to networks, whether up or not."""
    names = run("podman", "network", "ls", "--quiet").split()
    networks = json.loads(run("podman", "network", "inspect", *names)) if names else []
    return [
        subnet
        for network in networks
        for entry in network.get("subnets") or []
        if (subnet := ipaddress.ip_network(entry["subnet"])).version == 4
    ]


def uplink_mtu() -> int:
    """The MTU of the default route's device, so that the lab's networks do not exceed it."""
    default = json.loads(run("ip", "-j", "-4", "route", "show", "default"))
    device = default[0]["dev"] if default else "lo"
    return min(1500, json.loads(run("ip", "-j", "link", "show", device))[0]["mtu"])


def resolvers() -> list[str]:
    """The machine's own DNS servers, past a local stub."""
    for path in (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf")):
        if path.exists():
            found = [line.split()[1] for line in path.read_text().splitlines() if line.startswith("nameserver ")]
            found = [address for address in found if not address.startswith(("127.", "::1"))]
            if found:
                return found
    return []


@functools.cache
def debian_mirrors() -> dict[str, str]:
    """The Debian mirrors this machine uses, by archive label: 'Debian' and, where there is one, 'Debian-Security'.

    Nodes use the same: what this machine can reach, they can.

    :raises LabError: apt knows no Debian mirror (no lists yet, or not a Debian machine)
    """
    if not succeeds("sh", "-c", "ls /var/lib/apt/lists/*Release"):
        run("apt-get", "update", "-q")
    text = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages")
    mirrors: dict[str, str] = {}
    for line in text.splitlines():
        origin, label, uri = line.split("|")
        if origin == "Debian":
            mirrors.setdefault(label, uri)
    if "Debian" not in mirrors:
        raise LabError("apt on this machine knows no Debian mirror; run 'apt-get update', or check /etc/apt/sources.list")
    return mirrors
