"""How long this machine itself stands still: other work on its disk or processors holds up the nodes too.

A bound on the nodes' times grows with that, up to a ceiling: on a machine that stands still for longer a time proves nothing.
"""

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


def assert_within(what: str, seconds: float, bound: float, stalled: float, ceiling: float, allowed: float | None = None) -> None:
    """A measured time holds its bound.

    :param stalled: for how long the machine stood still meanwhile
    :param ceiling: above it, a time over the bound is the machine's fault and no result
    :param allowed: the bound on a machine that stood still for so long (default: the sum)
    :raises AssertionError: it does not hold, or the machine is too slow to tell
    """
    if seconds <= bound:
        return
    over = f"{what}: {seconds:.2f} s, more than {bound:g} s"
    assert stalled <= ceiling, f"machine too slow: it stood still for {stalled:.2f} s, more than {ceiling:g} s ({over})"
    assert seconds <= (bound + stalled if allowed is None else allowed), f"{over}, the machine stood still for {stalled:.2f} s"


class Stalls(Repeating):
    """Measures while the block runs.

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
