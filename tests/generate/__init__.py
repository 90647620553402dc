"""Files of the checkout that are made from others, and compared with them by a unit test."""

from pathlib import Path

from tests.generate import balancer_limits, sanity_ignores, variable_tables


def documents() -> dict[Path, str]:
    """What each generated file should hold, by its path."""
    return variable_tables.documents() | balancer_limits.documents() | sanity_ignores.documents()
