"""The benchmarks: `run` measures balancers and provisioning and makes the labs it needs, `report` writes docs/benchmarks.md."""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from lab import nodes
from lab.errors import LabError

from benchmarks import balancers, churn, many, propagation, provision, report, throughput
from benchmarks.site import LINES, Bench, lab_up, machine, versions

INVENTORY = Path("benchmarks/inventory")
COPY = Path(".lab/benchmarks")
RESULTS = Path("benchmarks/results")
MEASUREMENTS = ("propagation", "throughput", "churn", "many", "provision")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure; without options all of it (two to three hours on 2 cores)")
    run.add_argument("--only", type=listed(MEASUREMENTS), default=MEASUREMENTS, help="of " + ", ".join(MEASUREMENTS))
    names = tuple(balancer.name for balancer in balancers.ALL)
    run.add_argument("--balancers", type=listed(names), default=names, help="of " + ", ".join(names))
    run.add_argument("--events", type=int, default=100, help="propagation: events of each balancer on each line")
    run.add_argument("--lines", type=listed(tuple(LINES)), default=tuple(LINES), help="propagation: of " + ", ".join(LINES))
    run.add_argument("--seconds", type=int, default=15, help="throughput: of one run of wrk")
    run.add_argument("--rounds", type=int, default=5, help="throughput: runs of wrk for each balancer")
    run.add_argument("--connections", type=int, default=32, help="throughput: connections of wrk")
    run.add_argument("--containers", type=int, default=50, help="churn: containers that start and stop")
    run.add_argument("--churn-seconds", type=float, default=60, help="churn: in which they do")
    run.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",")], default=[30, 150, 1000], help="many")
    run.add_argument("--provisions", type=int, default=3, help="provision: rounds from bare hosts")
    run.add_argument("--inventory", type=Path, help=f"default: {INVENTORY}, or its copy in a free subnet")
    run.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    run.add_argument("--add", action="store_true", help="keep what is in the results and is not measured again")
    run.add_argument("--site-stands", action="store_true", help="do not run the playbooks: an earlier run has")
    run.add_argument("--keep", action="store_true", help="leave the lab running")
    written = commands.add_parser("report", help="tables and plots from the results")
    written.add_argument("--results", type=Path, default=RESULTS)
    written.add_argument("--document", type=Path, default=Path("docs/benchmarks.md"))
    arguments = parser.parse_args(argv)
    if arguments.command == "report":
        report.write(arguments.results, arguments.document)
        return 0
    try:
        measure(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


def listed(known: tuple[str, ...]):
    """A comma-separated part of these names, in their own order."""

    def parse(text: str) -> tuple[str, ...]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return tuple(name for name in known if name in chosen)

    return parse


def measure(arguments) -> None:
    """Make the labs, measure, keep each result as soon as it is there, take the labs down."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # no lab is left when it is ended
    for name in arguments.only:
        earlier(arguments, name)  # refuses other settings before a lab is made
    if "provision" in arguments.only:
        inventory = nodes.place(provision.INVENTORY, Path(".lab/provision"))
        try:
            about = machine(provision.versions())
            results = provision.measure(inventory, arguments.provisions, log)
            keep(arguments, "provision", about, results)
        finally:
            if not arguments.keep:
                nodes.down(inventory)
    if with_balancers := [name for name in arguments.only if name != "provision"]:
        measure_balancers(arguments, with_balancers)


def measure_balancers(arguments, names: list[str]) -> None:
    """What needs the site with all balancers."""
    inventory = arguments.inventory or nodes.place(INVENTORY, COPY)
    try:
        site = lab_up(inventory, playbooks=not arguments.site_stands)
        bench = Bench(site)
        bench.prepare()
        about = machine(versions(bench))
        for name in names:
            keep(arguments, name, about, MEASURE[name](bench, arguments))
    finally:
        if not arguments.keep:
            nodes.down(inventory)


def keep(arguments, name: str, about: dict, results) -> None:
    """Measure, and keep each result as soon as it is there: what ends early is not lost.

    :param about: the machine
    :param results: an iterator; each step of it measures
    """
    begin = time.monotonic()
    before = earlier(arguments, name)
    arguments.results.mkdir(parents=True, exist_ok=True)
    kept = {"machine": about, "settings": SETTINGS[name](arguments), "took": 0, "results": []}
    for result in results:
        kept["results"].append(result)
        kept["took"] = round(time.monotonic() - begin)
        path_of(arguments, name).write_text(json.dumps(added(before, kept), indent=1) + "\n")
    log(f"{name}: {kept['took']} s, kept in {path_of(arguments, name)}")


def path_of(arguments, name: str) -> Path:
    """The file of a measurement's results."""
    return arguments.results / f"{name}.json"


def earlier(arguments, name: str) -> dict | None:
    """The results of an earlier run to which these are added, where that is asked for and there are some.

    :raises LabError: the earlier run had other settings
    """
    path, settings = path_of(arguments, name), SETTINGS[name](arguments)
    if not arguments.add or not path.exists():
        return None
    found = json.loads(path.read_text())
    if found["settings"] != settings:
        raise LabError(f"--add: the results in {path} are of {found['settings']}, these of {settings}")
    return found


def added(before: dict | None, kept: dict) -> dict:
    """Results with those of an earlier run that they do not replace, and what that one was measured on."""
    if before is None:
        return kept
    new = {identity(one) for one in kept["results"]}
    left = [one for one in before["results"] if identity(one) not in new]
    run = {key: before[key] for key in ("machine", "took")}
    return kept | {"results": left + kept["results"], "earlier": [*before.get("earlier", []), run]}


def identity(result: dict) -> tuple:
    """What a result is of."""
    return tuple(result.get(key) for key in ("line", "services", "step", "balancer"))


def log(text: str) -> None:
    print(f"bench: {text}", flush=True)


def chosen(arguments, among):
    return tuple(balancer for balancer in among if balancer.name in arguments.balancers)


def _propagation(bench, a):
    return propagation.measure(bench, a.events, a.lines, chosen(a, balancers.FOLLOWING), log)


def _throughput(bench, a):
    who = chosen(a, balancers.ALL)
    return throughput.measure(bench, bench.site.external_host(), a.seconds, a.rounds, a.connections, who, log)


def _churn(bench, a):
    return churn.measure(bench, a.containers, a.churn_seconds, chosen(a, balancers.FOLLOWING), log)


def _many(bench, a):
    return many.measure(bench, a.sizes, chosen(a, balancers.FOLLOWING), log)


MEASURE = {"propagation": _propagation, "throughput": _throughput, "churn": _churn, "many": _many}
# What results must have in common to stand in one table.
SETTINGS = {
    "propagation": lambda a: {"events": a.events, "apart": [*balancers.OURS.pause]},
    "throughput": lambda a: {"seconds": a.seconds, "rounds": a.rounds, "connections": a.connections},
    "churn": lambda a: {"containers": a.containers, "seconds": a.churn_seconds},
    "many": lambda a: {"sizes": a.sizes},
    "provision": lambda a: {"rounds": a.provisions},
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
