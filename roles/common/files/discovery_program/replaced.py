"""Whether the files of a program that stays are other ones by now."""

from __future__ import annotations

import os

PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # the program's is beside this one
LOOK = 5  # seconds between two looks at the files
STAY = 60  # seconds for which new ones have stayed the same when the program ends for them


def identity(file):
    """What tells a file from the one that takes its place; None without it."""
    try:
        state = os.stat(file)
    except OSError:
        return None
    return state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size


class Program:
    """The files of this program. A run of the role that is interrupted has written new ones and restarts nothing, nor does the
    next run; so the program ends when others have been there for a while, and systemd starts them."""

    def __init__(self, root=PACKAGES):
        """:param root: the directory of its packages"""
        self.root, self.asked_at, self.since = root, 0.0, None
        self.started = self.last = self._identities()

    def replaced(self, now: float) -> bool:
        """Whether they are others than at the start, and no more of them are written.

        :param now: seconds; they are looked at every few seconds
        """
        if now - self.asked_at < LOOK:
            return False
        self.asked_at, before, self.last = now, self.last, self._identities()
        if self.last != before or self.since is None:
            self.since = now
        return self.last != self.started and now - self.since >= STAY

    def _identities(self):
        files = (os.path.join(folder, name) for folder, _folders, names in os.walk(self.root) for name in names)
        return {file: identity(file) for file in files if file.endswith(".py")}
