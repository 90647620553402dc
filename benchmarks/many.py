"""(d) Many services at once: how long until each one is served, what one more takes then, and memory.

The services are written into the catalog by transactions, as those of a node without an agent: a thousand containers do not
fit on a node of the lab, and an agent takes seconds to accept a thousand services. Each has a port of its own of one nginx,
which tells it: a balancer that does not know a host yet may answer from another one's instance.
"""

import time

from tests.support.http_load import request_once

from benchmarks.balancers import FOLLOWING, Balancer, only, used
from benchmarks.site import TIMEOUT, Bench, Repeating, eventually

BACKEND, SERVICE = "bench-behind", "bench-many"
NODE = "bench-many"
AT_ONCE = 64  # operations in one transaction: the most that Consul takes
FIRST_PORT = 20000
PATIENCE = 180  # seconds until a service counts as never served
MORE = 5  # further services, one after the other, when the others are there
PAUSE = 1.5  # seconds between these


def measure(bench: Bench, sizes: list[int], who=FOLLOWING, log=print):
    """One entry for each size and balancer, as soon as it is there: {"balancer", "services", "registered", "catalog", "served",
    "missing", "one_more": […], "reloads", "memory"}; times in s from the first registration, None where one never was served.
    """
    for size in sizes:
        for balancer in who:
            with only(bench.balancer, balancer):
                found = {"balancer": balancer.name, "services": size} | one(bench, balancer, size)
            yield found
            log(f"many, {size}, {balancer.title}: {found}")


def one(bench: Bench, balancer: Balancer, size: int) -> dict:
    """One balancer and one size."""
    place = (bench.balancer.address, balancer.port)
    _deregister_all(bench)  # what a run that was killed has left
    try:
        bench.serve_ports(BACKEND, FIRST_PORT, FIRST_PORT + size + MORE - 1)
        ports = {f"{SERVICE}-{number:04d}": FIRST_PORT + number for number in range(size)}
        # The balancer follows the catalog again, after it was stopped.
        first = {f"{SERVICE}-first": FIRST_PORT}
        _register(bench, first)
        eventually(lambda: not _pending(bench, place, first), 60, every=0.1)
        time.sleep(PAUSE)
        before = bench.reloads(balancer)
        begin = time.time()
        with _Catalog(bench, len(ports) + 1) as catalog:
            _register(bench, ports)
            registered = time.time() - begin
            eventually(lambda: catalog.complete, PATIENCE)
        missing = _until_served(bench, place, ports)
        served = None if missing else time.time() - begin
        after = bench.reloads(balancer)
        memory, _ = used(bench.balancer, balancer)
        more = [] if missing else [_one_more(bench, place, number, FIRST_PORT + size + number) for number in range(MORE)]
    finally:
        _deregister_all(bench)
        bench.remove_all()
    return {
        "registered": registered,
        "catalog": catalog.complete - begin,
        "served": served,
        "missing": missing,
        "one_more": more,
        "reloads": None if before is None else after - before,
        "memory": memory,
    }


class _Catalog(Repeating):
    """Notices when the catalog's own server has so many of the services (`complete`, Unix time; 0 until then)."""

    def __init__(self, bench, size):
        super().__init__()
        self.api, self.size, self.complete = bench.site.consul(), size, 0.0

    def step(self) -> None:
        if not self.complete and sum(n.startswith(SERVICE) for n in self.api.get("/v1/catalog/services")) >= self.size:
            self.complete = time.time()


def _register(bench, ports: dict[str, int]) -> None:
    """Write services into the catalog, under a node of their own that has no agent; the node comes with the first of them."""
    api = bench.site.consul()
    node = {"Node": {"Verb": "set", "Node": {"Node": NODE, "Address": bench.app.address}}}
    services = [
        {"Service": {"Verb": "set", "Node": NODE, "Service": {
            "ID": name, "Service": name, "Tags": ["http"], "Address": bench.app.address, "Port": port}}}
        for name, port in ports.items()
    ]  # fmt: skip
    for start in range(0, len(services), AT_ONCE - 1):
        api.put("/v1/txn", [node, *services[start : start + AT_ONCE - 1]])


def _deregister_all(bench) -> None:
    api = bench.site.consul()
    api.put("/v1/catalog/deregister", {"Node": NODE})
    eventually(lambda: not any(n.startswith(SERVICE) for n in api.get("/v1/catalog/services")), 60)


def _until_served(bench, place, ports) -> int:
    """Ask for each service until its own instance has answered once; how many never did."""
    end = time.monotonic() + PATIENCE
    while (ports := _pending(bench, place, ports)) and time.monotonic() < end:
        time.sleep(0.02)
    return len(ports)


def _pending(bench, place, ports) -> dict[str, int]:
    """Which are not served yet: from the first that is not, without asking for the others."""
    todo = list(ports.items())
    while todo and request_once(*place, bench.expected(todo[-1][0], str(todo[-1][1])), TIMEOUT).ok:
        todo.pop()
    return dict(todo)


def _one_more(bench, place, number, port) -> float | None:
    """How long one more service takes."""
    more = {f"{SERVICE}-more-{number}": port}
    time.sleep(PAUSE)
    begin = time.time()
    _register(bench, more)
    return None if _until_served(bench, place, more) else time.time() - begin
