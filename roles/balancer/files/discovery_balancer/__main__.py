"""The command line of discovery-balancer."""

import os
import pathlib
import sys
import time

OPTIONS = pathlib.Path("/etc/discovery-balancer.json")
STATE = pathlib.Path("/var/lib/discovery-balancer")
SPARE = pathlib.Path("/run/discovery-balancer-status.json")


def main(argv=None) -> int:
    os.umask(0o077)  # units, tasks and people call it, each with another one; its files are root's
    argv = sys.argv[1:] if argv is None else argv
    if argv == ["serve"]:  # without the imports of the others: they stay in memory
        from . import resident

        return resident.main(OPTIONS, STATE, SPARE)
    from . import options, preview
    from .status import page
    from .store import Store

    arguments = _parser().parse_args(argv)
    store = Store(arguments.state, arguments.spare)
    if arguments.command == "status":
        if not os.access(arguments.state, os.X_OK) and arguments.state.exists():
            print(f"{arguments.state} is root's: run 'sudo discovery-balancer status'")
            return 1
        text, code = page(store.status(), time.time())
        print(text)
        return code
    if arguments.command == "check":
        problem = check_main_file(store, options.load(arguments.options), arguments.file)
        print(problem or "ok")
        return 1 if problem else 0
    if arguments.command == "owners":
        print("\n".join(_owners(store, options.load(arguments.options), arguments.host)))
        return 0
    if arguments.command == "preview":
        text, code = preview.preview(store, options.load(arguments.options), arguments.template)
        print(text)
        return code
    _sync(store, arguments)
    return 0


def _parser():
    import argparse

    from .preview import TEMPLATE

    parser = argparse.ArgumentParser(prog="discovery-balancer", description=__doc__)
    parser.add_argument("--options", type=pathlib.Path, default=OPTIONS)
    parser.add_argument("--state", type=pathlib.Path, default=STATE)
    parser.add_argument("--spare", type=pathlib.Path, default=SPARE, help="for the status, when a disk is full")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="sync at every change of the catalog, until it is ended; takes no options")
    one = commands.add_parser("sync", help="sync the balancer with the catalog, once; always ends with 0")
    one.add_argument("--wait", type=float, default=0, help="seconds in which the balancer may come up first")
    # Of the units of an earlier version, which call it until they are replaced.
    for name, given in (("--agent", {}), ("--node", {}), ("--only-sync", {"action": "store_true"})):
        one.add_argument(name, help=argparse.SUPPRESS, **given)
    commands.add_parser("status", help="one page; ends with 1 when something is wrong")
    check = commands.add_parser("check", help="test a main configuration file together with the current generation")
    check.add_argument("file", type=pathlib.Path)
    name = commands.add_parser("owners", help="the services that have a host name, each on a line; none for Consul's UI")
    name.add_argument("host")
    before = commands.add_parser("preview", help="what the next sync would change; writes nothing and runs nothing")
    before.add_argument("--template", nargs="+", default=TEMPLATE, help="consul-template with its configuration")
    return parser


def _sync(store, arguments):
    """One sync. It never fails: units go on whatever it finds."""
    from . import options, status, sync

    before = store.status()
    try:
        after = sync.sync(
            store,
            lambda: options.load(arguments.options),
            patience=arguments.wait,
            refresh=lambda chosen: _refresh(store, chosen),
        )
    except OSError as error:  # not even the lock can be had
        print(f"failed: {error}")
        return
    if status.changed(before, after):
        print(status.page(after, time.time())[0])


def _refresh(store, chosen) -> str:
    """As the resident program does, but with patience. At a boot the balancer waits for a leader: what served before the boot may
    be other services now."""
    from . import resident

    source, deadline = resident.source_of(chosen), time.monotonic() + resident.LEADER_SECONDS
    while (problem := resident.refresh(store, source)) and time.monotonic() < deadline:
        time.sleep(resident.LOOK_SECONDS)
    return problem


def _owners(store, chosen, host) -> list:
    """The services that lose a host when it becomes that of Consul's UI; none when it is that already."""
    from . import owners
    from .preview import printable

    if host == chosen.consul_ui.get("name"):
        return []
    return [printable(service) for service in owners.owners_of(owners.register_text(store.catalog()), host)]


def check_main_file(store, chosen, file) -> str:
    """The problem of this main file with the current generation, or an empty one; "" is good."""
    import tempfile  # here, like difflib: a sync need not load it

    from . import backends
    from .plan import Plan
    from .store import Store

    balancer = backends.make(chosen, file.resolve())
    with tempfile.TemporaryDirectory(prefix=".check-", dir=store.root) as directory:  # where a container sees it
        trial = Store(directory)
        files, current = balancer.files(Plan())[0], store.current()
        ours = current and any((current.path / name).exists() for name in files)  # a backend of before has other files
        generation = current if ours else trial.write(files, "", ())
        return balancer.check(generation.path.resolve(), trial.candidate)


if __name__ == "__main__":
    sys.exit(main())
