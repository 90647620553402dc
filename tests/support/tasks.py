"""The tasks of playbooks and roles, as YAML has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

PARTS = ("block", "rescue", "always", "pre_tasks", "tasks", "post_tasks", "handlers")


def walk(steps: Any, around: tuple = ()) -> Iterator[tuple[dict, tuple]]:
    """Each play, block and task in the order of the document, and what is around it, the outermost first.

    :param steps: a document; one that is no list, as a file of variables, has none
    """
    for step in steps if isinstance(steps, list) else []:
        yield step, around
        for part in PARTS:
            yield from walk(step.get(part), (*around, step))


def is_task(step: dict) -> bool:
    """Whether a step is neither a play nor a block."""
    return "hosts" not in step and not any(part in step for part in PARTS)


def nearest(key: str, step: dict, around: tuple, default: Any = None) -> Any:
    """The value of a keyword for a step: its own, else that of the innermost around it."""
    return next((one[key] for one in (step, *reversed(around)) if key in one), default)
