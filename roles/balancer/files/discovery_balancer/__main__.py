"""The command line of discovery-balancer."""

import argparse
import pathlib
import sys
import time

from . import backends, options, owners, preview, sync
from .plan import Plan
from .preview import printable
from .source import CA, Source, refresh_from_leader
from .store import Store

STALE_SECONDS = 60  # the timer syncs every 15 s, at most every 30
SPARE = "/run/discovery-balancer-status.json"
LEADER_SECONDS = 10  # for the leader's catalog
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
    if arguments.agent:
        source = Source(arguments.agent, arguments.token_file, arguments.node, arguments.ca)
    _sync(store, arguments, source)
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="discovery-balancer", description=__doc__)
    parser.add_argument("--options", type=pathlib.Path, default=pathlib.Path("/etc/discovery-balancer.json"))
    parser.add_argument("--state", type=pathlib.Path, default=pathlib.Path("/var/lib/discovery-balancer"))
    parser.add_argument("--spare", type=pathlib.Path, default=pathlib.Path(SPARE), help="for the status, when a disk is full")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("sync", help="sync the balancer with the catalog; always ends with 0")
    one.add_argument("--wait", type=float, default=0, help="seconds in which the balancer may come up first")
    one.add_argument("--agent", default="", help="host:port of the Consul agent, for the register of owners")
    one.add_argument("--only-sync", action="store_true", help="do not verify that the catalog is followed")
    one.add_argument("--token-file", type=pathlib.Path, default=pathlib.Path("/etc/consul-template/token"))
    one.add_argument("--ca", type=pathlib.Path, default=CA, help="verifies the agent")
    one.add_argument("--node", default="", help="name of this host, under which Consul's KV store gets the status; empty: none")
    commands.add_parser("status", help="one page; ends with 1 when something is wrong")
    check = commands.add_parser("check", help="test a main configuration file together with the current generation")
    check.add_argument("file", type=pathlib.Path)
    before = commands.add_parser("preview", help="what the next sync would change; writes nothing and runs nothing")
    before.add_argument("--template", nargs="+", default=TEMPLATE, help="consul-template with its configuration")
    return parser


def _sync(store, arguments, source):
    """One sync. It never fails: consul-template ends when its command fails."""
    before = store.status()
    verify = source and not arguments.only_sync
    problem = source.problem() if verify else None
    try:
        status = sync.sync(
            store,
            lambda: options.load(arguments.options),
            patience=arguments.wait,
            source=problem,
            refresh=lambda: refresh_from_leader(
                store, lambda: preview.rendered([*TEMPLATE, "-max-stale=0s"], LEADER_SECONDS)
            ),
            record=source and (lambda change: source.change(owners.KEY, change)),
        )
    except OSError as error:  # not even the status could be written; `status` reports its age
        print(f"failed: {error}")
        return
    if any(status.get(key) != before.get(key) for key in ("state", "reason", "generation", "skipped", "warnings")):
        print(page(status, time.time())[0])
    if verify:
        source.refresh(unusable=sync.is_unusable(store))
        source.report(status)


def check_main_file(store, chosen, file) -> str:
    """The problem of this main file with the current generation, or an empty one; "" is good."""
    import tempfile  # here, like difflib: a sync need not load it

    balancer = backends.make(chosen, file.resolve())
    with tempfile.TemporaryDirectory(prefix=".check-", dir=store.root) as directory:  # where a container sees it
        trial = Store(directory)
        generation = store.current() or trial.write(balancer.files(Plan())[0], "", ())
        return balancer.check(generation.path.resolve(), trial.candidate)


def page(status, now):
    """The status as text, and 0 when it is healthy, else 1."""
    if not status:
        return "failed: there was no sync yet", 1
    shown = {"state": "failed", "reason": "", "generation": 0, "reloads": 0, "time": 0, "last_reload": 0, **sync.SERVED, **status}
    age = max(0, now - shown["time"])
    state = f"{shown['state']}: {shown['reason']}" if shown["reason"] else shown["state"]
    if age > STALE_SECONDS:
        state = f"failed: no sync has ended for {age:.0f} s; before that: {state}"
    loaded = f"loaded {_age(now - shown['last_reload'])} ago, " if shown["last_reload"] else ""
    lines = [
        printable(state),
        f"generation {shown['generation']}, {loaded}{shown['reloads']} reloads, checked {age:.0f} s ago",
    ]
    for kind in sync.KINDS:
        lines.append(f"{kind}: " + (", ".join(f"{name} ({count})" for name, count in shown[kind].items()) or "none"))
    for name, shares in shown["traffic"].items():
        versions = ", ".join(f"{version or 'no version'} {percent:g} %" for version, percent in shares.items())
        lines.append(printable(f"traffic: {name}: {versions}"))
    for title, entries in (("skipped", shown["skipped"]), ("warning", shown["warnings"])):
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
