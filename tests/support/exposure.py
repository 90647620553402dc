"""Exposure of our systemd units: the table of docs/security.md, and what systemd-analyze reports on a host."""

import re
from pathlib import Path

BOUND = 4.0
DOCUMENT = Path(__file__).parents[2] / "docs/security.md"


def table() -> dict[str, float]:
    """Unit to exposure, as the document has them."""
    rows = re.findall(r"^\| `([\w.-]+\.service)` \| ([0-9.]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    return {unit: float(exposure) for unit, exposure in rows}


def exposures(node) -> dict[str, float]:
    """Unit to exposure, of those of the table that a node has as files of ours; a unit need not run for that."""
    found = node.run("cd /etc/systemd/system && ls *.service").split()
    shown = {
        unit: node.tries(f"systemd-analyze security --no-pager {unit} | cat").stdout for unit in sorted(table()) if unit in found
    }
    return {unit: float(re.search(r"exposure level for .*?: ([0-9.]+)", text)[1]) for unit, text in shown.items()}
