"""The balancers that are measured. One runs at a time: they would take the machine from each other."""

import contextlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab import releases
from lab.shell import CACHE, run, step

TRAEFIK, TRAEFIK_VERSION = "github.com/traefik/traefik/v3", "3.6.12"


@dataclass(frozen=True)
class Balancer:
    """One balancer on the first host of load_balancers.

    :ivar port: of its virtual hosts
    :ivar units: systemd units, in the order in which they start
    :ivar every: seconds between two requests that look for a change
    :ivar slots: events that may be under way at once: one that looks at the catalog every 15 s takes so long for each
    :ivar pause: seconds between two events of a slot, shortest and longest. Two reload intervals of ours, so that no event waits
        for the reload of an earlier one, and never in step with it nor with reading the catalog
    :ivar full_pace: the same where events come as fast as reloads may
    :ivar options: of the collection's program, a file on the host: which backend it drives
    """

    name: str
    title: str
    port: int
    units: tuple[str, ...]
    every: float = 0.01
    slots: int = 1
    pause: tuple[float, float] = (2.1, 2.6)
    full_pace: tuple[float, float] = (1.1, 1.6)
    options: str = ""


FOLLOWERS = ("consul-template", "discovery-balancer")
OURS = Balancer("ours", "this collection", 80, ("nginx", *FOLLOWERS), options="/etc/bench/options-nginx.json")
OURS_HAPROXY = Balancer(
    "haproxy-ours", "this collection, HAProxy", 80, ("haproxy", *FOLLOWERS), options="/etc/bench/options-haproxy.json"
)
TEMPLATE = Balancer("template", "the documents' template", 8081, ("bench-template-nginx", "bench-template"))
KEEPALIVE = Balancer("keepalive", "nginx by hand, keep-alive", 8082, ("bench-keepalive",))
POLLING = Balancer(
    "traefik", f"Traefik {TRAEFIK_VERSION}", 8083, ("bench-traefik",), every=0.1, slots=20, pause=(1, 15), full_pace=(1, 15)
)
WATCHING = Balancer("traefik-watch", f"Traefik {TRAEFIK_VERSION}, watching", 8084, ("bench-traefik-watch",))
TEMPLATE_HAPROXY = Balancer(
    "haproxy-template", "a template of 2016, HAProxy", 8085, ("bench-haproxy-template-haproxy", "bench-haproxy-template")
)
HAND_HAPROXY = Balancer("haproxy-hand", "HAProxy by hand", 8086, ("bench-haproxy-hand",))
BY_HAND = (KEEPALIVE, HAND_HAPROXY)  # with the instances written down: they follow nothing
FOLLOWING = (OURS, OURS_HAPROXY, TEMPLATE, TEMPLATE_HAPROXY, WATCHING, POLLING)
ALL = (OURS, OURS_HAPROXY, KEEPALIVE, HAND_HAPROXY, TEMPLATE, TEMPLATE_HAPROXY, WATCHING, POLLING)


@contextlib.contextmanager
def only(node, balancer: Balancer, anyone: tuple[Balancer, ...] = ALL):
    """Run this balancer alone, freshly started, while the block runs; afterwards ours runs again, as the site wants it."""
    _switch(node, balancer, anyone)
    try:
        yield
    finally:
        _switch(node, OURS, anyone)


def _switch(node, balancer, anyone) -> None:
    # Each once: the collection's own two follow by the same units.
    units = dict.fromkeys(unit for one in anyone for unit in reversed(one.units))
    node.run(f"systemctl stop {' '.join(units)}")
    if balancer.options:
        node.run(f"cp {balancer.options} /etc/discovery-balancer.json")
    node.run(f"systemctl start {' '.join(balancer.units)}")


def used(node, balancer: Balancer) -> tuple[int, float]:
    """What the processes of a balancer hold and have used: memory in bytes (PSS: shared pages count in parts), CPU in seconds."""
    memory, cpu = node.run(f"python3 - {' '.join(balancer.units)} <<'END'\n{USED}END").split()
    return int(memory), float(cpu)


# Runs on the node: the processes of the units, by parent, because containers share the machine's cgroup tree.
USED = """
import os, pathlib, subprocess, sys

parents = {}
for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    try:
        parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        pass
todo = [int(subprocess.check_output(["systemctl", "show", "-p", "MainPID", "--value", unit])) for unit in sys.argv[1:]]
memory = ticks = 0
while todo:
    pid = todo.pop()
    todo += [child for child, parent in parents.items() if parent == pid]
    try:
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        continue
    memory += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    ticks += sum(map(int, stat[11:15]))  # utime, stime, and those of children that have ended
print(memory, ticks / os.sysconf("SC_CLK_TCK"))
"""


def traefik() -> Path:
    """The program, built once from the Go module proxy (four minutes; more on a busy machine)."""
    program = CACHE / "programs" / f"traefik-{TRAEFIK_VERSION}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        with step(f"building Traefik {TRAEFIK_VERSION} (once; some minutes)"), tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch)
            folder = releases.go_sum(f"{TRAEFIK}@v{TRAEFIK_VERSION}", source)
            # A module's own replaces and excludes do not reach the module that requires it: copy them.
            own = (folder / "go.mod").read_text()
            kept = own[own.index("\nreplace (") :]
            (source / "go.mod").write_text(f"module build\n\ngo 1.25\n\nrequire {TRAEFIK} v{TRAEFIK_VERSION}\n{kept}")
            releases.go_build(source, source / "traefik", f"{TRAEFIK}/cmd/traefik")
            new = program.with_suffix(".new")
            shutil.move(source / "traefik", new)
            new.rename(program)
    run(program, "version")
    return program
