"""Command line: prepare, due, order."""

import argparse
import json
import os
import pathlib
import sys
import time

from . import client
from .due import failures, reason


def main(arguments=None, now=time.time) -> int:
    """Run one command; 0, or 1 where a certificate is not there.

    :param now: clock, seconds since 1970
    """
    parser = argparse.ArgumentParser(prog="discovery-acme", description=__doc__)
    parser.add_argument("--etc", type=pathlib.Path, default=pathlib.Path("/etc/discovery-acme"))
    parser.add_argument("--state", type=pathlib.Path, default=pathlib.Path("/var/lib/discovery-acme"))
    parser.add_argument("--dehydrated", default="dehydrated")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="make a certificate that stands in for each that is not there; prints which")
    commands.add_parser("due", help="print the certificates that have to be ordered, and why")
    commands.add_parser("order", help="order those")
    given = parser.parse_args(arguments)
    os.umask(0o077)
    options = json.loads((given.etc / "options.json").read_text())
    wanted = options["certificates"]
    if given.command == "prepare":
        for one in wanted:
            if not all(os.path.exists(one[kind]) for kind in ("certificate", "key")):
                client.stand_in(one, given.state)
                print(one["certificate"])
        return 0
    due = {one["certificate"]: why for one in wanted if (why := reason(one["names"], *client.look(one), now()))}
    if given.command == "due":
        for file, why in due.items():
            print(f"{file}: {why}")
        return 0
    files = given.etc / "dehydrated.conf", given.etc / "account.key"
    ca = client.Client(*files, given.state, options["directory"], given.dehydrated)
    found = {}
    for one in wanted:
        if one["certificate"] in due:
            print(f"{one['certificate']}: {due[one['certificate']]}, so it is ordered", flush=True)
            try:
                problem = ca.order(one)
            except OSError as error:
                problem = str(error)
            if problem:
                found[one["certificate"]] = problem
                print(f"{one['certificate']}: {problem}; the one that is there stays", file=sys.stderr, flush=True)
    write_status(given.state / "status.json", found, now())
    return 1 if found else 0


def write_status(file, found, now):
    """Write what failed, for the status of the site; nothing of it is secret."""
    try:
        before = json.loads(file.read_text())["failed"]
    except (OSError, ValueError, KeyError, TypeError):
        before = {}
    status = {"time": int(now), "failed": failures(before if isinstance(before, dict) else {}, found, now)}
    beside = file.with_name(f"{file.name}.next")
    beside.write_text(json.dumps(status, indent=1, sort_keys=True) + "\n")
    os.replace(beside, file)
