"""Watching a service in the catalog: which instances pass, and since when; and that nothing is written at all."""

import contextlib
import threading
import time
from collections.abc import Iterator

from tests.support.site import SAMPLE_SERVICES
from tests.support.wait import NOT_YET, eventually

SETTLED = 5  # seconds without any event before a quiet time begins


class Watch:
    """Follows the passing instances of one service by blocking queries, in a thread, while the block runs.

    :ivar history: (Unix time, {(node, id of the instance)}, Consul's index of this service), one for each answer that differs
    """

    def __init__(self, site, service: str, asked=None):
        self.api, self.path = site.consul(asked), f"/v1/health/service/{service}?passing=1"
        self.history: list[tuple[float, frozenset, int]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        try:
            eventually(lambda: self.history, 60, every=0.05)
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        index = 0
        while not self._end.is_set():
            try:
                found, headers = self.api.ask(f"{self.path}&index={index}&wait=1s")
            except NOT_YET:
                time.sleep(0.1)
                continue
            now, index = time.time(), int(headers["X-Consul-Index"])
            passing = frozenset((entry["Node"]["Node"], entry["Service"]["ID"]) for entry in found)
            if not self.history or self.history[-1][1:] != (passing, index):
                self.history.append((now, passing, index))

    @property
    def passing(self) -> frozenset:
        """(node, id) of each instance that passes now."""
        return self.history[-1][1]

    @property
    def changes(self) -> list[int]:
        """Every index of the service that was observed; one while nothing was written about it."""
        return sorted({index for _, _, index in self.history})

    def left(self, instance: tuple[str, str], after: float = 0) -> float | None:
        """When an instance was first missing after a moment; None while it is there."""
        return next((at for at, passing, _ in self.history if at >= after and instance not in passing), None)

    def gone_from(self, node, after: float) -> float | None:
        """When no instance of a node was there any more, for the first time after a moment; None while one is."""
        return next((at for at, passing, _ in self.history if at >= after and node.name not in dict(passing)), None)


@contextlib.contextmanager
def unwritten(site, show) -> Iterator[None]:
    """While the block runs, on the whole site no index moves of a sample service, nor the one of the list of services, and
    registrator logs nothing."""
    names = [service["name"] for service in SAMPLE_SERVICES]
    index = site.consul().ask("/v1/catalog/services")[1]["X-Consul-Index"]
    begin = time.time()
    with contextlib.ExitStack() as stack:
        watches = [stack.enter_context(Watch(site, name)) for name in names]
        yield
    assert {name: watch.changes for name, watch in zip(names, watches, strict=True) if len(watch.changes) != 1} == {}
    assert site.consul().ask("/v1/catalog/services")[1]["X-Consul-Index"] == index
    output = {node.name: node.run(f"docker logs --since {int(begin)} registrator 2>&1") for node in site.docker_hosts}
    assert not any(output.values()), output
    seconds = time.time() - begin
    show(f"{seconds:.0f} s: Consul's index of {', '.join(names)} and of the list unchanged, registrator silent on {len(output)}")
