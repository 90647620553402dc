"""A client that keeps asking one virtual host, and what it saw."""

import http.client
import threading
import time
from dataclasses import dataclass

PATIENCE = 3  # seconds for an answer
FAILURES = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Sample:
    """One request: when it was sent and ended (Unix time), the status (0: no answer), the instance that answered."""

    sent: float
    ended: float
    status: int
    instance: str = ""

    @property
    def ok(self) -> bool:
        return self.status == 200

    def of(self, service: str) -> bool:
        """Whether an instance of this service answered, whose names begin with the service's. A balancer without a host of this
        name may answer from another one's instance, with 200."""
        return self.ok and self.instance.startswith(service)


def ask(connection: http.client.HTTPConnection, host: str) -> Sample:
    """One request on a connection, open already or not."""
    sent = time.time()
    try:
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        answer.read()
        return Sample(sent, time.time(), answer.status, answer.headers.get("X-Instance", ""))
    except FAILURES:
        connection.close()
        return Sample(sent, time.time(), 0)


def ask_once(address: str, port: int, host: str) -> Sample:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
    try:
        return ask(connection, host)
    finally:
        connection.close()


class Asking:
    """Asks over and over while the block runs, in a thread of its own.

    :param every: seconds between the beginnings of two requests
    :param keep: on a kept connection: a request that a used one did not answer is sent once more, on a new one (A8)
    """

    def __init__(self, address: str, port: int, host: str, every: float, keep: bool = False):
        self.place, self.host, self.every, self.keep = (address, port), host, every, keep
        self.samples: list[Sample] = []
        self.sent_again = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        connection, used = http.client.HTTPConnection(*self.place, timeout=PATIENCE), False
        while not self._end.is_set():
            begin = time.monotonic()
            if not self.keep:
                self.samples.append(ask_once(*self.place, self.host))
            else:
                sample = ask(connection, self.host)
                if used and not sample.status:
                    self.sent_again += 1
                    sample = ask(connection, self.host)
                used = bool(sample.status) and connection.sock is not None
                self.samples.append(sample)
            self._end.wait(max(0, self.every - (time.monotonic() - begin)))
        connection.close()

    def since(self, moment: float) -> list[Sample]:
        """What was sent after a moment."""
        return [sample for sample in self.samples if sample.sent >= moment]

    def first(self, instance: str, after: float) -> float | None:
        """When an instance answered for the first time after a moment; None while it has not."""
        return next((s.ended for s in self.samples if s.ended >= after and s.ok and s.instance == instance), None)


def last(samples: list[Sample], wrong, moment: float) -> float:
    """Seconds from a moment to the end of the last wrong answer; 0 when there was none.

    :param wrong: called with a sample
    """
    return max((s.ended - moment for s in samples if wrong(s)), default=0.0)


def quiet_since(samples: list[Sample], wrong, moment: float) -> float:
    """When the last wrong answer ended, or the moment itself when there was none."""
    return moment + last(samples, wrong, moment)
