"""Writes the table of the limits of HTTP into docs/balancer.md: `make docs`. Descriptions are those of the variables."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tests.generate.variable_tables import marked
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/balancer.md"
BEGIN, END = "<!-- limits: begin -->", "<!-- limits: end -->"


def limits():
    """The table that the program, preflight and the backends read."""
    path = ROOT / "roles/balancer/files/discovery_balancer/limits.py"
    spec = importlib.util.spec_from_file_location("discovery_balancer_limits", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LIMITS


def table() -> str:
    specs = parse_yaml((ROOT / "roles/balancer/meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    lines = ["| limit | type | default | variable | meaning |", "|---|---|---|---|---|"]
    for limit in limits():
        kind = "size" if limit.kind in ("header", "disk") else limit.kind
        meaning = marked(specs[limit.variable]["description"], set(specs))
        lines.append(f"| {limit.name} | {kind} | `{limit.default}` | `{limit.variable}` | {meaning} |")
    return "\n".join(lines)


def documents() -> dict[Path, str]:
    """What each generated file should hold, by its path."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    return {DOCUMENT: f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"}
