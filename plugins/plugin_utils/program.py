"""A Python package on the controller, as files of a host."""

from __future__ import annotations

from pathlib import Path


def program_files(source: str, destination: str) -> list[dict]:
    """Directories and files for the module managed_files; the host keeps no other file in these directories.

    :param source: directory of the package on the controller
    :param destination: its directory on the host
    :raises FileNotFoundError: the source has no Python file
    """
    top = Path(source)
    sources = sorted(top.rglob("*.py"))
    if not sources:
        raise FileNotFoundError(f"{source} has no Python file")
    folders = sorted({folder for file in sources for folder in file.parents if folder == top or top in folder.parents})
    directory = {"state": "directory", "mode": "0755", "purge": True}
    directories = [{"path": _at(destination, top, folder), **directory} for folder in folders]
    return directories + [{"path": _at(destination, top, file), "content": file.read_text()} for file in sources]


def _at(destination: str, top: Path, path: Path) -> str:
    return str(Path(destination) / path.relative_to(top))
