"""(d) Many services at once: how long until each one is served, what one more takes then, and memory.

The services are registered through the HTTP API of the agent of the containers' host, all with the address of one
instance of the static backend: a thousand containers do not fit on a node of the lab.
"""

import http.client
import json
import time

from benchmarks.asking import ask_once
from benchmarks.balancers import FOLLOWING, Balancer, memory, only
from benchmarks.site import Bench, Repeating, all_at_once, eventually

BACKEND, SERVICE = "bench-behind", "bench-many"
AT_ONCE = 8  # registrations at the same time
PATIENCE = 180  # seconds until a service counts as never served
MORE = 5  # further services, one after the other, when the others are there
PAUSE = 1.5  # seconds between these


def measure(bench: Bench, sizes: list[int], who=FOLLOWING, told=print) -> list[dict]:
    """One entry for each size and balancer: {"balancer", "services", "registered", "catalog", "served", "missing",
    "one_more": […], "reloads", "memory"}; times in s from the first registration, None where one never was served.
    """
    found = []
    for size in sizes:
        for balancer in who:
            with only(bench.balancer, balancer):
                found.append({"balancer": balancer.name, "services": size} | one(bench, balancer, size))
            told(f"many, {size}, {balancer.title}: {found[-1]}")
    return found


def one(bench: Bench, balancer: Balancer, size: int) -> dict:
    """One balancer and one size."""
    place = (bench.balancer.address, balancer.port)
    try:
        behind = bench.run(BACKEND, BACKEND)
        eventually(lambda: ask_once(*place, bench.site.host_of(BACKEND)).ok, 60, every=0.1)
        time.sleep(PAUSE)
        names = [f"{SERVICE}-{number:04d}" for number in range(size)]
        before = bench.reloads(balancer)
        begin = time.time()
        with _Catalog(bench, len(names)) as catalog:
            all_at_once([lambda part=part: _register(bench, part, behind.port) for part in _parts(names)], AT_ONCE)
            registered = time.time() - begin
            eventually(lambda: catalog.complete, PATIENCE)
        missing = _until_served(bench, place, names)
        served = None if missing else time.time() - begin
        after = bench.reloads(balancer)
        used = memory(bench.balancer, balancer)
        more = [] if missing else [_one_more(bench, balancer, behind.port, number) for number in range(MORE)]
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
        "memory": used,
    }


def _parts(names: list[str]) -> list[list[str]]:
    return [names[start::AT_ONCE] for start in range(AT_ONCE)]


class _Catalog(Repeating):
    """Sees when the catalog's own server has so many of the services (`complete`, Unix time; 0 until then)."""

    def __init__(self, bench, size):
        super().__init__()
        self.api, self.size, self.complete = bench.site.consul(), size, 0.0

    def step(self) -> None:
        if not self.complete and sum(n.startswith(SERVICE) for n in self.api.get("/v1/catalog/services")) >= self.size:
            self.complete = time.time()


def _register(bench, names, port) -> None:
    """On one kept connection: a handshake for each would be most of the time."""
    api = bench.agent()
    agent = http.client.HTTPSConnection(bench.app.address, 8501, timeout=30, context=api.tls)
    for name in names:
        body = {"Name": name, "Tags": ["http"], "Address": bench.app.address, "Port": port}
        agent.request("PUT", "/v1/agent/service/register", json.dumps(body), api.headers)
        answer = agent.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"Consul refuses {name}: {answer.status} {said[:200].decode(errors='replace')}")
    agent.close()


def _deregister_all(bench) -> None:
    api = bench.agent()
    names = [name for name in bench.site.consul(bench.app).get("/v1/agent/services") if name.startswith(SERVICE)]

    def leave(part):
        for name in part:
            api.tell("PUT", f"/v1/agent/service/deregister/{name}")

    all_at_once([lambda part=part: leave(part) for part in _parts(names)], AT_ONCE)
    eventually(lambda: not any(n.startswith(SERVICE) for n in bench.site.consul().get("/v1/catalog/services")), 60)


def _until_served(bench, place, names) -> int:
    """Ask for each name until it has been served once; how many never were."""
    end = time.monotonic() + PATIENCE
    pending = list(names)
    while pending and time.monotonic() < end:
        name = pending.pop()
        if not ask_once(*place, bench.site.host_of(name)).ok:
            pending.append(name)
            time.sleep(0.02)
    return len(pending)


def _one_more(bench, balancer, port, number) -> float | None:
    """How long one more service takes."""
    place, name = (bench.balancer.address, balancer.port), f"{SERVICE}-more-{number}"
    time.sleep(PAUSE)
    begin = time.time()
    _register(bench, [name], port)
    missing = _until_served(bench, place, [name])
    return None if missing else time.time() - begin
