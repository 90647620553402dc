"""A systemd unit and the records that it keeps of its start, as the modules read them."""

from __future__ import annotations

import json
import os


def shown(module, unit: str, *properties: str) -> dict[str, str]:
    """Properties of a unit, by name.

    :param module: the AnsibleModule, which ends when systemctl cannot tell
    """
    out = module.run_command(["systemctl", "show", f"--property={','.join(properties)}", unit], check_rc=True)[1]
    return dict(line.split("=", 1) for line in out.splitlines())


def journal(module, unit: str) -> list[str]:
    """The last lines of its journal."""
    return module.run_command(["journalctl", "--no-pager", "--output=cat", "--lines=10", f"--unit={unit}"])[1].splitlines()


def read_json(path: str | os.PathLike) -> dict | None:
    """Content of a file; None when it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None
