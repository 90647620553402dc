"""Whether units of systemd are enabled and run, told by one command."""

from __future__ import annotations

import shlex


def look(units: list[str]) -> str:
    """The command that shows their states. Over SSH it has a terminal, where systemctl would start a pager."""
    return "systemctl --no-pager show --property=ActiveState,UnitFileState -- " + " ".join(shlex.quote(unit) for unit in units)


def all_run(units: list[str], code: int, answer: str) -> bool:
    """Whether each is enabled and active; False also where the answer leaves a doubt.

    :param units: what `look` was given
    :param code: exit code of its command
    :param answer: its standard output, a block of properties for each unit; a terminal ends lines with CR LF
    """
    blocks = [set(block.split("\n")) for block in "\n".join(answer.splitlines()).strip().split("\n\n")]
    return code == 0 and blocks == [{"ActiveState=active", "UnitFileState=enabled"}] * len(units)
