"""Waiting for a condition, repeating a step beside a test, and steps at the same time."""

import functools
import http.client
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

NOT_YET = (AssertionError, OSError, RuntimeError, http.client.HTTPException)


def eventually(probe, seconds: float, every: float = 0.3):
    """Call a probe until it returns something true.

    :param probe: called without arguments; an error out of NOT_YET counts as "not yet"
    :param seconds: the bound
    :returns: what the probe returned, and the seconds it took
    :raises AssertionError: not within the bound; says what was still wrong, or when it came true
    """
    start = time.monotonic()
    while True:
        value, problem = None, "still not so"
        try:
            value = probe()
        except NOT_YET as error:
            problem = f"{type(error).__name__}: {error}"
        took = time.monotonic() - start
        if value and took <= seconds:
            return value, took
        assert took <= seconds, f"not within {seconds} s: " + (f"only after {took:.1f} s" if value else problem)
        time.sleep(every)


class Repeating:
    """Takes a step over and over, in a thread of its own, while the block runs. A subclass defines the step."""

    pause = 0.1  # seconds between two steps

    def __init__(self):
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

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


def side_by_side(steps: Iterable[Callable], at_once: int = 0) -> list:
    """Take steps that do not disturb each other at the same time.

    :param steps: called without arguments
    :param at_once: so many of them; 0 means all
    :returns: what each returned, in their order
    :raises Exception: when all have ended, the error of the first one that had one
    """
    steps = list(steps)
    with ThreadPoolExecutor(at_once or len(steps) or 1) as pool:
        running = [pool.submit(step) for step in steps]
    return [one.result() for one in running]
