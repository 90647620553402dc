"""Files put into place in one step, and the way back to what was there."""

from __future__ import annotations

import os
import shutil
import stat


def read(path: str) -> str | None:
    """Content of a file; None when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def text(path: str) -> str:
    """Content of a file, '' when it cannot be read."""
    return read(path) or ""


def make_directories(path: str, mode: int = 0o755) -> None:
    """Make a directory and those above it. What is made has this mode whatever the umask is: sudo may set one for a whole run,
    and a daemon that is not root could not enter. What is there already stays as it is.

    :param path: the lowest directory
    :param mode: of every directory that is made
    """
    missing = []
    while path and not os.path.isdir(path):
        missing.insert(0, path)
        path = os.path.dirname(path)
    for directory in missing:
        os.mkdir(directory, 0o700)  # nobody else enters it before it has its mode
        os.chmod(directory, mode)


def write(path: str, content: bytes, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
    """Put a file into place in one step. No other user can open it before it has its owner and mode."""
    make_directories(os.path.dirname(path))
    beside = f"{path}.discovery"
    remove(beside)  # of an interrupted run; somebody may have it open
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
        os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        file.write(content)
    os.replace(beside, path)


def remove(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)


def link(path: str, target: str) -> None:
    """Put a link into place in one step."""
    beside = f"{path}.discovery"
    remove(beside)
    os.symlink(target, beside)
    os.replace(beside, path)


class File:
    """A file as it is now, and the way back to it. Directories that are not there now go again."""

    def __init__(self, path: str):
        self.path = path
        self.target = os.readlink(path) if os.path.islink(path) else None
        self.content = None
        self.missing = [parent for parent in parents(path) if not os.path.isdir(parent)]
        if self.target is None and os.path.isfile(path):
            status = os.stat(path)
            with open(path, "rb") as file:
                self.content, self.mode, self.owner = file.read(), stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)

    def restore(self) -> None:
        if self.target is not None:
            link(self.path, self.target)
        elif self.content is not None:
            write(self.path, self.content, self.mode, self.owner)
        else:
            remove(self.path)
            for parent in self.missing:
                shutil.rmtree(parent, ignore_errors=True)


def parents(path: str) -> list[str]:
    """Directories above a file, the highest first."""
    found = []
    while path != "/":
        path = os.path.dirname(path)
        found.insert(0, path)
    return found
