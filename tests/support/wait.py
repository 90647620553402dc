"""Waiting for a condition, and repeating a step beside a test."""

import functools
import http.client
import threading
import time

NOT_YET = (AssertionError, OSError, RuntimeError, http.client.HTTPException)


def eventually(probe, seconds: float, every: float = 0.3):
    """Call a probe until it returns something true.

    :param probe: called without arguments; an error out of NOT_YET counts as "not yet"
    :param seconds: the bound
    :returns: what the probe returned, and the seconds it took
    :raises AssertionError: the bound has passed; says what was still wrong
    """
    start = time.monotonic()
    while True:
        problem = "still not so"
        try:
            if value := probe():
                return value, time.monotonic() - start
        except NOT_YET as error:
            problem = f"{type(error).__name__}: {error}"
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds} s: {problem}")
        time.sleep(every)


class Repeating:
    """Takes a step over and over, in a thread of its own, while the block runs. A subclass says which step."""

    pause = 0.1  # seconds between two steps

    def __init__(self):
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self.pause):
            self.step()

    def step(self) -> None:
        raise NotImplementedError


def everywhere(nodes, probe, seconds: float) -> str:
    """Wait until `probe(node)` is true on each node; the seconds each took, as text."""
    took = [f"{node.name} {eventually(functools.partial(probe, node), seconds)[1]:.1f} s" for node in nodes]
    return ", ".join(took)
