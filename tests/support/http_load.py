"""HTTP load, for tests and benchmarks: clients that request one virtual host over and over and check each answer.

A request is a success when status, body and the instance that answered are those of the service. A client opens a connection for
each request, or keeps one (keep-alive). A `Client` is a thread of this process; `http_load` runs clients in a process of their
own, so that a busy test does not slow them down:

`python -m tests.support.http_load PLAN LOG` runs until its standard input ends. PLAN is a JSON list of clients (the arguments of
`Client`, with those of `Expected`); LOG gets one JSON line a sample.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.wait import Repeating, eventually, everywhere

if TYPE_CHECKING:
    from tests.support.site import Site

ROOT = Path(__file__).resolve().parents[2]
PORT = 80  # of a balancer
EVERY = 0.02  # seconds between two requests of one client
TIMEOUT = 5.0  # seconds for an answer
FAILURES = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Expected:
    """The answers that are a success.

    :ivar host: the virtual host that is requested
    :ivar body: the whole body; None: any, for answers of the balancer itself
    :ivar instance: what the name of the answering instance (X-Instance) begins with
    """

    host: str
    body: str | None
    status: int = 200
    instance: str = ""

    def problem(self, status: int, body: str, instance: str) -> str:
        """Why an answer is no success; '' when it is one."""
        if status != self.status:
            return f"status {status}"
        if self.body is not None and body != self.body:
            return f"another service's body: {body[:80]!r}"
        return "" if instance.startswith(self.instance) else f"answered by {instance or 'an instance without a name'}"


@dataclass(frozen=True)
class Sample:
    """One request.

    :ivar sent, ended: Unix time
    :ivar status: of the answer; 0: there was none
    :ivar instance: that answered
    :ivar problem: why it is no success
    :ivar address: of the balancer
    :ivar kept: sent on a kept connection
    :ivar resent: sent once more, on a new connection, because a kept one that had been used gave no answer
    """

    sent: float
    ended: float
    status: int
    instance: str = ""
    problem: str = ""
    address: str = ""
    kept: bool = False
    resent: bool = False

    @property
    def ok(self) -> bool:
        return not self.problem

    def __str__(self) -> str:
        return f"{self.address} {'kept' if self.kept else 'new'}: {self.problem or self.instance}"


def request(connection: http.client.HTTPConnection, expected: Expected, kept: bool = False, resent: bool = False) -> Sample:
    """One request on a connection, which may be open already; it is closed when there is no answer."""
    sent = time.time()
    try:
        connection.request("GET", "/", headers={"Host": expected.host})
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
        status, instance = answer.status, answer.headers.get("X-Instance", "")
        problem = expected.problem(status, body, instance)
    except FAILURES as error:
        connection.close()
        status, instance, problem = 0, "", f"{type(error).__name__}: {error}"
    return Sample(sent, time.time(), status, instance, problem, connection.host, kept, resent)


def request_once(address: str, port: int, expected: Expected, timeout: float = TIMEOUT) -> Sample:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        return request(connection, expected)
    finally:
        connection.close()


def await_served(site: Site, expected: Expected, seconds: float = 30) -> str:
    """Wait until every balancer serves a virtual host; the seconds each took, as text."""
    return everywhere(site.balancers, lambda node: request_once(node.address, PORT, expected).ok, seconds)


def longest_gap(times: list[float], start: float, end: float) -> float:
    """The longest time between two of these moments, or one of them and an end, in seconds."""
    moments = [start, *sorted(time for time in times if start <= time <= end), end]
    return max(later - earlier for earlier, later in zip(moments, moments[1:], strict=False))


def spread(seconds: list[float]) -> str:
    """Median and maximum, for people."""
    return f"p50 {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s, of {len(seconds)}"


class Samples:
    """The result of one or more clients until now."""

    samples: list[Sample]

    def ended_since(self, moment: float) -> list[Sample]:
        return [sample for sample in self.samples if sample.ended >= moment]

    def sent_since(self, moment: float) -> list[Sample]:
        return [sample for sample in self.samples if sample.sent >= moment]

    def failed(self, since: float = 0) -> list[Sample]:
        """Requests that ended after a moment without a success."""
        return [sample for sample in self.ended_since(since) if not sample.ok]

    def first(self, instance: str, since: float = 0) -> float | None:
        """When an instance answered for the first time after a moment; None while it has not."""
        return next((one.ended for one in self.ended_since(since) if one.ok and one.instance == instance), None)

    def last(self, instance: str) -> float:
        """When an instance answered for the last time."""
        return max(sample.ended for sample in self.samples if sample.ok and sample.instance == instance)

    def longest_gap(self) -> float:
        """The longest time without a success, in seconds, up to the last success."""
        samples = self.samples
        ended = [sample.ended for sample in samples if sample.ok]
        return longest_gap(ended, samples[0].sent, ended[-1]) if ended else float("inf")

    def last_ok(self, count: int) -> bool:
        """The last `count` requests were a success."""
        recent = self.samples[-count:]
        return len(recent) == count and all(sample.ok for sample in recent)

    def assert_served(self, since: float = 0) -> None:
        """There were requests, and each of them was a success."""
        assert self.ended_since(since), "there was no load"
        failed = [str(sample) for sample in self.failed(since)]
        assert failed == [], f"{len(failed)} requests failed: {failed[:10]}"

    def __str__(self) -> str:
        samples = self.samples
        kept = sum(sample.kept for sample in samples)
        resent, failed = sum(sample.resent for sample in samples), sum(not sample.ok for sample in samples)
        return f"{len(samples) - kept} requests on new connections, {kept} on kept ones ({resent} sent again), {failed} failed"


class Client(Samples, Repeating):
    """Sends requests to one address while the block runs, in a thread of its own.

    :param every: seconds between the beginnings of two requests
    :param keep: keep the connection
    :param record: called with each sample, instead of adding it to `samples`
    """

    def __init__(
        self,
        address: str,
        port: int,
        expected: Expected,
        every: float = EVERY,
        keep: bool = False,
        timeout: float = TIMEOUT,
        record: Callable[[Sample], None] | None = None,
    ):
        super().__init__()
        self.place, self.expected, self.every, self.keep, self.timeout = (address, port), expected, every, keep, timeout
        self.samples: list[Sample] = []
        self.record = record or self.samples.append
        self._kept, self._used = http.client.HTTPConnection(*self.place, timeout=timeout), False

    def _run(self) -> None:
        while not self._end.is_set():
            begin = time.monotonic()
            self.step()
            self._end.wait(max(0, self.every - (time.monotonic() - begin)))
        self._kept.close()

    def step(self) -> None:
        if not self.keep:
            self.record(request_once(*self.place, self.expected, self.timeout))
            return
        sample = request(self._kept, self.expected, kept=True)
        if self._used and not sample.status:
            sample = request(self._kept, self.expected, kept=True, resent=True)
        self._used = bool(sample.status) and self._kept.sock is not None
        self.record(sample)


class HttpLoad(Samples):
    """The result of the clients of another process, from its log."""

    def __init__(self, log: Path):
        self.log, self._read, self._samples = log, 0, []

    @property
    def samples(self) -> list[Sample]:
        if self.log.exists():
            with self.log.open("rb") as file:
                file.seek(self._read)
                new = file.read().rpartition(b"\n")[0]
            if new:
                self._read += len(new) + 1
                self._samples += [Sample(**json.loads(line)) for line in new.splitlines()]
        return self._samples


@contextlib.contextmanager
def http_load(site: Site, expected: Expected, folder: Path, every: float = EVERY) -> Iterator[HttpLoad]:
    """Request a virtual host from every balancer, on new and on kept connections, while the block runs; each client has had a
    success before the block begins.

    :param folder: where plan and log are written
    """
    clients = [
        {"address": node.address, "port": PORT, "expected": asdict(expected), "every": every, "keep": keep}
        for node in site.balancers
        for keep in (False, True)
    ]
    plan, log = folder / "http_load.json", folder / "http_load.log"
    plan.write_text(json.dumps(clients))
    log.unlink(missing_ok=True)
    with subprocess.Popen([sys.executable, "-m", __name__, plan, log], cwd=ROOT, stdin=subprocess.PIPE) as process:
        load = HttpLoad(log)
        try:
            eventually(lambda: len({(one.address, one.kept) for one in load.samples if one.ok}) == len(clients), 30)
            yield load
        finally:
            process.stdin.close()


def main() -> None:
    plan, lock = json.loads(Path(sys.argv[1]).read_text()), threading.Lock()
    with Path(sys.argv[2]).open("a", buffering=1, encoding="utf-8") as log, contextlib.ExitStack() as clients:

        def record(sample: Sample) -> None:
            with lock:
                log.write(json.dumps(asdict(sample)) + "\n")

        for one in plan:
            clients.enter_context(Client(**one | {"expected": Expected(**one["expected"])}, record=record))
        sys.stdin.read()


if __name__ == "__main__":
    main()
