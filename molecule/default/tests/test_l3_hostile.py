"""L3: a hostile catalog may hold anything. Valid services are served beside it, and the balancers never fall back
as a whole. The catalogs are those of the unit tests, registered at an agent."""

import json
import random
import re
import time
import urllib.error
from urllib.parse import quote

import pytest
from tests.support.balancer import status
from tests.support.clients import BACKEND_BODY, http_get
from tests.support.http_load import http_load, spread
from tests.support.wait import NOT_YET, eventually
from tests.unit.balancer.hostile import Maker

MARK = "l3-"  # ids of these tests begin so
KEY = re.compile("[A-Za-z0-9_-]{1,128}")
LONGEST = 2000  # characters of a value
FIRST_PORT = 21000
PATIENCE = 30  # seconds until a change is served, on a busy machine


def cut(value: str) -> str:
    """The part of a value of meta that Consul takes."""
    return value.encode(errors="replace")[:512].decode(errors="ignore")


def bodies(catalog: dict):
    """Registrations for the agent's API. Keys of meta that it refuses are skipped, as registrator does."""
    for number, entry in enumerate(catalog["services"]):
        for which, one in enumerate(entry["instances"]):
            meta = {key: cut(value) for key, value in (one["meta"] or {}).items() if KEY.fullmatch(key)}
            printable = "".join(c for c in one["id"] if c.isprintable())  # no other id can be taken out of the agent again
            yield {
                "ID": f"{MARK}{number}-{which}-{printable}"[:LONGEST],
                "Name": entry["name"][:LONGEST],
                "Address": one["address"][:LONGEST],
                "Port": one["port"],
                "Tags": [tag[:LONGEST] for tag in one["tags"]],
                "Meta": meta,
                "Weights": {"Passing": one["weight"], "Warning": 1},
            }


def register(api, catalog: dict) -> tuple[int, int]:
    """Register all of a catalog; how many the agent took, and how many it refused."""
    taken = refused = 0
    for body in bodies(catalog):
        try:
            api.send("PUT", "/v1/agent/service/register", body)
            taken += 1
        except urllib.error.HTTPError as error:
            assert error.code == 400, f"{error.code} {error.read()[:300]!r} for {json.dumps(body)[:300]}"
            refused += 1
    return taken, refused


def forget(api) -> None:
    """Take all of these tests' services away."""
    for found in api.get("/v1/agent/services"):
        if found.startswith(MARK):
            api.send("PUT", f"/v1/agent/service/deregister/{quote(found, safe='')}")
    left = [found for found in api.get("/v1/agent/services") if found.startswith(MARK)]
    assert left == [], f"the agent keeps {[one[:80] for one in left]}"


def served(balancer, site, good) -> bool:
    """Each good service answers through a balancer, and the status, which comes a moment later, lists it."""
    for service in good:
        answer = http_get(balancer.address, site.host_of(service.name), service.port or 80)
        assert (answer.status, answer.body) == (200, BACKEND_BODY), f"{balancer.name}: {service.name}: {answer.status}"
    now = status(balancer)
    assert (now["state"], now["reason"]) == ("ok", ""), now["reason"]
    return {service.name for service in good} <= set(now["http"]) | set(now["tcp"])


def gone(balancer, good) -> bool:
    now = status(balancer)
    return not {service.name for service in good} & (set(now["http"]) | set(now["tcp"]))


def fallbacks(site, balancer, since: float) -> list[str]:
    """Syncs since a moment that rejected a configuration as a whole, from the journal."""
    units = f"-u consul-template -u discovery-balancer -u {site.balancer}"
    journal = balancer.run(f"journalctl --no-pager -o cat --since @{since:.0f} {units}")
    return [line for line in journal.splitlines() if line.startswith("failed:")]


def run(site, folder, show, count: int) -> None:
    api, places = site.consul(site.docker_hosts[0]), sorted(site.passing("httpbackend"))
    since, taken, refused, took, seed = time.time(), 0, 0, [], 0
    with http_load(site, site.front, folder) as requests:
        try:
            for seed in random.sample(range(10**6), count):
                ports = [FIRST_PORT + number for number in range(1000)]
                hostile = Maker(seed, places, ports, kinds=("http", "tcp")).catalog()
                good = {service.name for service in hostile.good}
                hostile.catalog["services"].sort(key=lambda entry: entry["name"] not in good)  # names belong to who is first
                before = {balancer: status(balancer)["generation"] for balancer in site.balancers}
                taken, refused = (sum(pair) for pair in zip((taken, refused), register(api, hostile.catalog), strict=True))
                for balancer in site.balancers:
                    took.append(eventually(lambda b=balancer, h=hostile: served(b, site, h.good), PATIENCE)[1])
                    assert status(balancer)["generation"] > before[balancer]
                forget(api)
                for balancer in site.balancers:
                    eventually(lambda b=balancer, h=hostile: gone(b, h.good), PATIENCE)
        except (AssertionError, *NOT_YET) as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            forget(api)
    show(f"{count} catalogs: the agent took {taken} instances and refused {refused}")
    show(f"every good service was served after {spread(took)}")
    show(f"httpfront meanwhile: {requests}")
    assert {b.name: fallbacks(site, b, since) for b in site.balancers} == {b.name: [] for b in site.balancers}
    requests.assert_served()


def test_l3_hostile_services(site, settled, tmp_path, show):
    run(site, tmp_path, show, 5)


@pytest.mark.more
def test_l3_many_hostile_services(site, settled, tmp_path, show):
    run(site, tmp_path, show, 60)
