"""The command line of the guard."""

import argparse
import dataclasses
import pathlib
import sys
import tempfile
import time

from . import guard, options, preview
from .plan import Plan
from .preview import printable
from .source import Source, settle
from .store import Store

STALE_SECONDS = 60  # the timer runs the guard every 15 s, at most every 30
SPARE = "/run/discovery-balancer-status.json"
LEADER_SECONDS = 10  # for a catalog of the leader's
TEMPLATE = ["/usr/local/bin/consul-template", "-config=/etc/consul-template/consul-template.hcl"]


def main(argv=None) -> int:
    arguments = _parser().parse_args(argv)
    store = Store(arguments.state, arguments.spare)
    if arguments.command == "status":
        text, code = page(store.status(), time.time())
        print(text)
        return code
    if arguments.command == "check":
        problem = check_main_file(store, options.load(arguments.options), arguments.file)
        print(problem or "ok")
        return 1 if problem else 0
    if arguments.command == "preview":
        text, code = preview.preview(store, options.load(arguments.options), arguments.template)
        print(text)
        return code
    source = None
    if arguments.command == "heal" and arguments.agent:
        source = Source(arguments.agent, arguments.token_file, arguments.node)
    _run(store, arguments, source)
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="discovery-balancer", description=__doc__)
    parser.add_argument("--options", type=pathlib.Path, default=pathlib.Path("/etc/discovery-balancer.json"))
    parser.add_argument("--state", type=pathlib.Path, default=pathlib.Path("/var/lib/discovery-balancer"))
    parser.add_argument("--spare", type=pathlib.Path, default=pathlib.Path(SPARE), help="for the status, when a disk is full")
    commands = parser.add_subparsers(dest="command", required=True)
    apply = commands.add_parser("apply", help="bring the balancer to what the catalog says; always ends with 0")
    apply.add_argument("--wait", type=float, default=0, help="seconds in which the balancer may come up first")
    heal = commands.add_parser("heal", help="the same, for the timer; sees whether the catalog is followed, and repairs that")
    heal.add_argument("--agent", default="", help="host:port of the Consul agent; without it only the balancer is looked after")
    heal.add_argument("--token-file", type=pathlib.Path, default=pathlib.Path("/etc/consul-template/token"))
    heal.add_argument("--node", default="", help="name of this host, to tell Consul the state; empty: do not")
    commands.add_parser("status", help="one page; ends with 1 when something is wrong")
    check = commands.add_parser("check", help="test a main configuration file together with the current generation")
    check.add_argument("file", type=pathlib.Path)
    before = commands.add_parser("preview", help="what the next run would change; writes nothing and runs nothing")
    before.add_argument("--template", nargs="+", default=TEMPLATE, help="consul-template with its configuration")
    return parser


def _run(store, arguments, source):
    """One run of the guard. Whatever happens, consul-template, which ends when its command fails, must go on."""
    before = store.status()
    problem = source.problem() if source else None
    patience = getattr(arguments, "wait", 0)
    try:
        status = guard.apply(
            store,
            lambda: options.load(arguments.options),
            patience=patience,
            source=problem,
            settle=lambda: settle(store, lambda: preview.rendered([*TEMPLATE, "-max-stale=0s"], LEADER_SECONDS)),
        )
    except OSError as error:  # not even the status could be written; `status` tells by its age
        print(f"failed: {error}")
        return
    if any(status.get(key) != before.get(key) for key in ("state", "reason", "generation", "left_out", "remarks")):
        print(page(status, time.time())[0])
    if source:
        source.refresh(unusable=guard.is_unusable(store))
        source.tell(status)


def check_main_file(store, chosen, file) -> str:
    """What the balancer says about this main file with the current generation, or an empty one; "" is good."""
    balancer = guard.BALANCERS[chosen.balancer](dataclasses.replace(chosen, nginx_config=str(file.resolve())))
    with tempfile.TemporaryDirectory(prefix=".check-", dir=store.root) as directory:  # where a container sees it
        trial = Store(directory)
        generation = store.current() or trial.write(balancer.files(Plan())[0], "", ())
        return balancer.check(generation.path.resolve(), trial.candidate)


def page(status, now):
    """The status as text, and 0 when all is well, else 1."""
    if not status:
        return "failed: the guard has never run", 1
    told = {"state": "failed", "reason": "", "generation": 0, "reloads": 0, "time": 0, "last_reload": 0, **guard.SERVED, **status}
    age = max(0, now - told["time"])
    state = f"{told['state']}: {told['reason']}" if told["reason"] else told["state"]
    if age > STALE_SECONDS:
        state = f"failed: the guard has not finished a run for {age:.0f} s; before that: {state}"
    loaded = f"loaded {_age(now - told['last_reload'])} ago, " if told["last_reload"] else ""
    lines = [
        printable(state),
        f"generation {told['generation']}, {loaded}{told['reloads']} reloads, checked {age:.0f} s ago",
    ]
    for kind in guard.KINDS:
        lines.append(f"{kind}: " + (", ".join(f"{name} ({count})" for name, count in told[kind].items()) or "none"))
    for name, shares in told["traffic"].items():
        versions = ", ".join(f"{version or 'no version'} {percent:g} %" for version, percent in shares.items())
        lines.append(printable(f"traffic: {name}: {versions}"))
    for title, entries in (("left out", told["left_out"]), ("note", told["remarks"])):
        lines += [printable(f"{title}: {entry['name']}: {entry['reason']}") for entry in entries]
    return "\n".join(lines), 0 if state == "ok" else 1


def _age(seconds):
    """About how long: 42 s, 5 min, 3 h, 2 d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


if __name__ == "__main__":
    sys.exit(main())
