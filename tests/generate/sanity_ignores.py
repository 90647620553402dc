"""Writes tests/sanity/ignore-*.txt, what `ansible-test sanity` is to pass over, each line with its reason: `make docs`."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = ("2.19", "2.20", "2.21")  # of ansible-core
LICENCE = "the collection is under the MIT licence (LICENSE)"
PROGRAM = "a program or rule file for the host, run by the interpreter that the host has"


def ignores() -> str:
    modules = [f"{path.relative_to(ROOT)} validate-modules:missing-gplv3-license # {LICENCE}"
               for kind in ("modules", "lookup") for path in (ROOT / "plugins" / kind).glob("*.py")]  # fmt: skip
    programs = [f"{path.relative_to(ROOT)} shebang # {PROGRAM}"
                for kind in ("files", "templates") for path in (ROOT / "roles").glob(f"*/{kind}/**/*")
                if path.is_file() and path.read_bytes().startswith((b"#!/usr/bin/python3", b"#!/usr/sbin/nft"))]  # fmt: skip
    return "".join(f"{line}\n" for line in sorted(modules + programs))


def documents() -> dict[Path, str]:
    """What each generated file should hold, by its path."""
    return {ROOT / f"tests/sanity/ignore-{version}.txt": ignores() for version in VERSIONS}
