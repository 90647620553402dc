"""The command line of the guard."""

import argparse
import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import time

from . import guard, options
from .plan import Plan
from .store import Store

ASK_ANEW = ["systemctl", "reload", "consul-template.service"]
STALE_SECONDS = 90  # the timer runs the guard every 15 s, at most every 30


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="discovery-balancer", description=__doc__)
    parser.add_argument("--options", type=pathlib.Path, default=pathlib.Path("/etc/discovery-balancer.json"))
    parser.add_argument("--state", type=pathlib.Path, default=pathlib.Path("/var/lib/discovery-balancer"))
    commands = parser.add_subparsers(dest="command", required=True)
    apply = commands.add_parser("apply", help="bring the balancer to what the catalog says; always ends with 0")
    apply.add_argument("--wait", type=float, default=0, help="seconds in which the balancer may come up first")
    commands.add_parser("heal", help="the same, for the timer; makes consul-template ask anew when it is blind")
    commands.add_parser("status", help="one page; ends with 1 when something is wrong")
    check = commands.add_parser("check", help="test a main configuration file together with the current generation")
    check.add_argument("file", type=pathlib.Path)
    arguments = parser.parse_args(argv)
    store = Store(arguments.state)

    if arguments.command == "status":
        text, code = page(store.status(), time.time())
        print(text)
        return code
    if arguments.command == "check":
        problem = check_main_file(store, options.load(arguments.options), arguments.file)
        print(problem or "ok")
        return 1 if problem else 0
    before = store.status()
    try:
        status = guard.apply(store, lambda: options.load(arguments.options), patience=getattr(arguments, "wait", 0))
    except OSError as error:  # a full disk, say: consul-template must go on, and `status` tells by its age
        print(f"failed: {error}")
        return 0
    if any(status.get(key) != before.get(key) for key in ("state", "reason", "generation", "left_out")):
        print(page(status, time.time())[0])
    if arguments.command == "heal" and status["reason"] == guard.BLIND:
        # Its queries wait for a change of the catalog, and a repaired token is none.
        subprocess.run(ASK_ANEW, check=False, timeout=60)
    return 0


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
    age = max(0, now - status["time"])
    state = f"{status['state']}: {status['reason']}" if status["reason"] else status["state"]
    if age > STALE_SECONDS:
        state = f"failed: the guard has not finished a run for {age:.0f} s; before that: {state}"
    lines = [
        state,
        f"generation {status['generation']}, {status['reloads']} reloads, checked {age:.0f} s ago",
        "http: " + (", ".join(f"{name} ({count})" for name, count in status["http"].items()) or "none"),
        "tcp: " + (", ".join(f"{name} ({count})" for name, count in status["tcp"].items()) or "none"),
    ]
    lines += [f"left out: {_printable(entry['name'])}: {_printable(entry['reason'])}" for entry in status["left_out"]]
    return "\n".join(lines), 0 if state == "ok" else 1


def _printable(text):
    """Names come from the catalog: nothing in them may act on a terminal or a log."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


if __name__ == "__main__":
    sys.exit(main())
