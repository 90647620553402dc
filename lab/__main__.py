"""Command line of the lab: up, down, replace, external, prepare, derive, place, tour."""

import argparse
import sys
from pathlib import Path

from lab import nodes
from lab.errors import LabError
from lab.images import SUITE, SUITES
from lab.inventory import Site, derive
from lab.tour import tour


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in {
        "up": "create the nodes of an inventory (idempotent)",
        "tour": "print what to open and try on a lab that carries the site",
    }.items():
        commands.add_parser(name, help=text).add_argument("inventory", type=Path)
    gone = commands.add_parser("down", help="remove them and everything the lab made for them")
    which = gone.add_mutually_exclusive_group(required=True)
    which.add_argument("inventory", type=Path, nargs="?")
    which.add_argument("--all", action="store_true", help="every lab of this machine, their images and caches, changed settings")
    one = commands.add_parser("replace", help="put an empty machine in the place of one node: same name and address")
    one.add_argument("inventory", type=Path)
    one.add_argument("host")
    other = commands.add_parser("external", help="start a node in the lab's network that is no host of the site; its address")
    other.add_argument("inventory", type=Path)
    other.add_argument("--suite", choices=SUITES, default=SUITE, help="its Debian release; there is one external host of each")
    commands.add_parser("prepare", help="build or fetch everything that every lab needs, once")
    for name, text in {
        "derive": "copy an inventory into another subnet",
        "place": "print the inventory, or its copy in a free subnet where its own is taken",
    }.items():
        copy = commands.add_parser(name, help=text)
        copy.add_argument("inventory", type=Path)
        copy.add_argument("target", type=Path)
    commands.choices["derive"].add_argument("--subnet", help="a /24 such as 10.129.0.0/24; default: the first free one")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "up":
            nodes.up(Site.read(arguments.inventory))
        elif arguments.command == "down":
            if arguments.all:
                nodes.down_all()
            else:
                nodes.down(arguments.inventory)
        elif arguments.command == "replace":
            nodes.replace(Site.read(arguments.inventory), arguments.host)
        elif arguments.command == "external":
            print(nodes.external_host(Site.read(arguments.inventory), arguments.suite))
        elif arguments.command == "prepare":
            nodes.prepare()
        elif arguments.command == "place":
            print(nodes.place(arguments.inventory, arguments.target))
        elif arguments.command == "tour":
            print(tour(arguments.inventory))
        elif arguments.command == "derive":
            print(derive(arguments.inventory, arguments.target, arguments.subnet))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
