"""How long this machine itself stands still: other work on its disk or processors holds up the nodes too, and no bound on
their times can hold meanwhile."""

import os
import tempfile
import time
from typing import BinaryIO

from tests.support.wait import Repeating

NAP = 0.05  # seconds


def once(file: BinaryIO) -> float:
    """How much longer than it should a nap and a line on the disk take, in seconds: Consul's servers need both, too."""
    begin = time.monotonic()
    time.sleep(NAP)
    os.pwrite(file.fileno(), b"stall\n", 0)
    os.fsync(file.fileno())
    return time.monotonic() - begin - NAP


class Stalls(Repeating):
    """Looks while the block runs.

    :ivar longest: the longest stall yet, in seconds
    :ivar total: of all that were longer than a nap
    """

    pause = 0

    def __init__(self):
        super().__init__()
        self.longest = self.total = 0.0
        self.file = tempfile.TemporaryFile()  # noqa: SIM115

    def step(self) -> None:
        stall = once(self.file)
        self.longest = max(self.longest, stall)
        self.total += stall if stall > NAP else 0
