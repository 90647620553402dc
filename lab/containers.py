"""Containers that are hosts: systemd inside, an address, and files put there before the first start; what one that hangs does."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from lab import machine
from lab.errors import LabError
from lab.shell import run, wait_for

LABEL = "org.fewnodes.lab=1"
# An idle machine starts one in 2 to 5 s. One that builds and tests beside it stands still now and then; 60 s were too few there.
START_SECONDS = 180
ASK_SECONDS = 10


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


def await_start(name: str, answers: Callable[[], bool], what: str) -> None:
    """Wait until what a container should offer answers.

    :param name: the container
    :param answers: called without arguments until it returns a true value
    :param what: what is waited for, for the message
    :raises LabError: it does not within 180 s; the message has what the container does
    """
    try:
        wait_for(answers, START_SECONDS, what)
    except LabError as error:
        raise LabError("\n".join([f"{error}; the container {name}:", *(f"  {line}" for line in activity(name))])) from error


def activity(name: str) -> list[str]:
    """What a container does that does not come up: its state, the jobs of its systemd, the end of its journal.

    :returns: at most 15 lines; what cannot be asked says so there
    """
    state = _ask("container", "inspect", "--format", "{{.State.Status}}, exit code {{.State.ExitCode}}", name)[-1:]
    jobs = _ask("exec", name, "systemctl", "list-jobs", "--no-pager", "--no-legend")
    journal = _ask("exec", name, "journalctl", "--no-pager", "--quiet", "-n", "8", "-o", "short-monotonic")
    more = [f"and {len(jobs) - 5} more jobs"] if len(jobs) > 6 else []
    return [*state, *(jobs[: 5 if more else 6] or ["no jobs of systemd wait"]), *more, *journal[-8:]]


def _ask(*command: str) -> list[str]:
    """The lines that podman answers, or why it does not."""
    try:
        return run("podman", *command, timeout=ASK_SECONDS).splitlines()
    except (LabError, OSError, ValueError) as error:
        return [" ".join(str(error).split())]
