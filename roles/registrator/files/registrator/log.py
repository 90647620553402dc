"""Log lines: one per change, `<event> key=value …`, on stdout."""

import json
import re

LONGEST = 1000  # characters of a value; a label may have any number
PLAIN = re.compile(r"[A-Za-z0-9_.:/@+-]+")


def line(event: str, **fields: object) -> str:
    """One line, whatever the values hold: what is not plain is quoted as JSON."""
    return " ".join([event] + [f"{key}={_text(value)}" for key, value in fields.items() if value not in ("", [])])


def log(event: str, **fields: object) -> None:
    print(line(event, **fields), flush=True)


def _text(value: object) -> str:
    text = ",".join(value) if isinstance(value, (list, tuple)) else str(value)
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return text if PLAIN.fullmatch(text) else json.dumps(text)
