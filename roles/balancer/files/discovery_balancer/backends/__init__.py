"""The load balancers that the program can drive: a package each, named as `balancer` in the options, with a class `Backend`."""

import importlib
import pathlib
import typing

from ..plan import Plan


class Balancer(typing.Protocol):
    """All that a sync asks of a load balancer. One is made for each run, from the site's options.

    A generation is a directory of files that the balancer reads through the link `current`; its marker is a short text
    that the running balancer can be asked for, so that nothing else has to be trusted.
    """

    unit: str  # of systemd

    def files(self, plan: Plan) -> tuple:
        """({file name: text} of a generation, its marker); another marker whenever anything would be served otherwise.
        Pure but for reading the main configuration, which the role writes."""

    def check(self, generation: pathlib.Path, candidate: pathlib.Path) -> str:
        """Test the complete configuration with this generation in it, with `candidate` as a directory of one's own; "" or why
        not. The running balancer is not touched."""

    def master(self) -> int:
        """The process that can be reloaded, 0 while there is none. Then the configuration is left ready for its start."""

    def addresses(self) -> frozenset:
        """The addresses of this host, and of the balancer where it has others, as networks ("172.17.0.1/32")."""

    def running(self) -> str:
        """The marker of the generation that serves now, "" when nothing answers."""

    def answers(self, marker: str) -> bool:
        """Whether the generation with this marker answers, though an earlier one may still answer as well."""

    def port_taken(self, port) -> str:
        """Why the balancer could not listen on a port (as in Plan.ports) that it does not hold; "" when it could."""

    def reload(self) -> object:
        """Have it serve the generation of the last `files`, to which the link points, without closing a connection. Returns what
        has served until now, for `retire`, as soon as it was asked to load the files; or None when it was changed while it runs,
        which is no reload and needs no pause before the next one."""

    def retire(self, before: object) -> None:
        """Have what served before a reload take no connection any more; it finishes those that it has. Only when the new
        generation answers."""

    def trim(self) -> tuple:
        """(processes of earlier generations that finish their connections, how many beyond the site's bound were ended now)."""

    def hangs(self) -> str:
        """Why the balancer hangs: it is there, and answers nothing or takes no order; "" when it answers, or does not run."""


def known() -> list:
    """Names of the backends."""
    return sorted(path.parent.name for path in pathlib.Path(__file__).parent.glob("*/__init__.py"))


def make(options, main_file="") -> Balancer:
    """The backend that the options name.

    :param main_file: main configuration file in place of the installed one
    :raises ValueError: there is no such backend
    """
    if options.balancer not in known():
        raise ValueError(f"balancer: {options.balancer!r} is not one of {', '.join(known())}")
    return importlib.import_module(f".{options.balancer}", __package__).Backend(options, main_file)
