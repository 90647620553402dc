"""(d) Many services at once: how long until each one is served, what one more takes then, and memory.

The services are registered through the HTTP API of the agent of the containers' host, each with a port of its own of one
nginx, which tells it: a thousand containers do not fit on a node of the lab, and a balancer that does not know a host yet may
answer from another one's instance.
"""

import http.client
import json
import time

from benchmarks.asking import ask_once
from benchmarks.balancers import FOLLOWING, Balancer, only, used
from benchmarks.site import Bench, Repeating, all_at_once, eventually

BACKEND, SERVICE = "bench-behind", "bench-many"
AT_ONCE = 8  # registrations at the same time
FIRST_PORT = 20000
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
            all_at_once([lambda part=part: _register(bench, part) for part in _parts(ports)], AT_ONCE)
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


def _parts(ports: dict[str, int]) -> list[dict[str, int]]:
    return [dict(list(ports.items())[start::AT_ONCE]) for start in range(AT_ONCE)]


class _Catalog(Repeating):
    """Sees when the catalog's own server has so many of the services (`complete`, Unix time; 0 until then)."""

    def __init__(self, bench, size):
        super().__init__()
        self.api, self.size, self.complete = bench.site.consul(), size, 0.0

    def step(self) -> None:
        if not self.complete and sum(n.startswith(SERVICE) for n in self.api.get("/v1/catalog/services")) >= self.size:
            self.complete = time.time()


def _register(bench, ports) -> None:
    """On one kept connection: a handshake for each would be most of the time."""
    api = bench.agent()
    agent = http.client.HTTPSConnection(bench.app.address, 8501, timeout=30, context=api.tls)
    for name, port in ports.items():
        body = {"Name": name, "Tags": ["http"], "Address": bench.app.address, "Port": port}
        agent.request("PUT", "/v1/agent/service/register", json.dumps(body), api.headers)
        answer = agent.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"Consul refuses {name}: {answer.status} {said[:200].decode(errors='replace')}")
    agent.close()


def _deregister_all(bench) -> None:
    api = bench.agent()
    left = [name for name in bench.site.consul(bench.app).get("/v1/agent/services") if name.startswith(SERVICE)]

    def leave(part):
        for name in part:
            api.tell("PUT", f"/v1/agent/service/deregister/{name}")

    all_at_once([lambda part=part: leave(part) for part in _parts(dict.fromkeys(left, 0))], AT_ONCE)
    eventually(lambda: not any(n.startswith(SERVICE) for n in bench.site.consul().get("/v1/catalog/services")), 60)


def _until_served(bench, place, ports) -> int:
    """Ask for each service until its own instance has answered once; how many never did."""
    end = time.monotonic() + PATIENCE
    while (ports := _pending(bench, place, ports)) and time.monotonic() < end:
        time.sleep(0.02)
    return len(ports)


def _pending(bench, place, ports) -> dict[str, int]:
    """Which are not served yet: from the first that is not, without asking for the others."""
    todo = list(ports.items())
    while todo and ask_once(*place, bench.site.host_of(todo[-1][0])).instance == str(todo[-1][1]):
        todo.pop()
    return dict(todo)


def _one_more(bench, place, number, port) -> float | None:
    """How long one more service takes."""
    more = {f"{SERVICE}-more-{number}": port}
    time.sleep(PAUSE)
    begin = time.time()
    _register(bench, more)
    return None if _until_served(bench, place, more) else time.time() - begin
