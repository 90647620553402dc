"""The sign of life: a file whose time of change shows that the registrator works. The host's watch reads it.

Its content is the numbers of what is mounted into its container, as the registrator has them: a container keeps what was mounted
at its start, and a socket or directory that is made anew there is another one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from .log import log

EVERY = 2  # seconds between two signs
STUCK = 120  # seconds for one step of the loop, four times what dockerd has for an answer: after that it does not come back
DIRECTORIES = ("/etc/registrator", "/etc/consul.d/tls")  # its token; its CA. Mounted at the same paths
VARIABLE = "REGISTRATOR_ALIVE_FILE"  # of the environment, with the path of the file
T = TypeVar("T")


class Alive:
    """Signs are given by a thread, because dockerd and agent may take long to answer, and only while the loop goes on."""

    def __init__(self, path: str, clock=time.monotonic, mounts: Sequence[str] = ()):
        """
        :param path: of the file; empty: nobody wants to know
        :param mounts: paths of dockerd's socket and of the directories
        """
        self.path, self._clock, self._mounts = path, clock, mounts
        self._written: str | None = None  # the content that this process has given the file
        self._since: float | None = None  # when the loop's present step began; None while it waits for an event
        self._trouble = ""

    def step(self) -> None:
        """The loop begins its next step."""
        self._since = self._clock()

    def idle(self) -> None:
        """The loop waits for an event, as long as that may take."""
        self._since = None

    def steps(self, items: Iterable[T]) -> Iterator[T]:
        """The same items, each a step."""
        for item in items:
            self.step()
            yield item

    def sign(self) -> None:
        """Give a sign, unless the loop is stuck. Failures are logged once: they are no reason to end."""
        since = self._since
        if not self.path or (since is not None and self._clock() - since > STUCK):
            return
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                self._name_mounts(file)
                os.utime(file)  # needs no space on a full disk
            finally:
                os.close(file)
            self._trouble = ""
        except OSError as error:
            if str(error) != self._trouble:
                log("failed", reason=f"{VARIABLE}: {error}")
            self._trouble = str(error)

    def _name_mounts(self, file: int) -> None:
        """Write the content where it differs. What an earlier container has written goes first: without space the file is empty,
        which says nothing."""
        text = ",".join(map(inode, self._mounts))
        if text != self._written:
            os.ftruncate(file, 0)
            self._written = text
            with contextlib.suppress(OSError):
                os.pwrite(file, text.encode(), 0)

    def run(self) -> None:
        """Give signs for ever."""
        while self.path:
            self.sign()
            time.sleep(EVERY)


def inode(path: str) -> str:
    """The number of a file, which no other one has as long as somebody holds it; '' for none."""
    try:
        return str(os.stat(path).st_ino) if path else ""
    except OSError:
        return ""
