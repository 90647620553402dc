"""A clock for tests: how fast the machine is does not count."""


class Clock:
    """In place of the module `time`: time passes while somebody sleeps, and at no other time.

    :param now: when it begins, in seconds
    """

    def __init__(self, now: float = 0.0):
        self.now = now

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        self.now += seconds
