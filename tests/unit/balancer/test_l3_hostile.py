"""L3: hostile catalogs through the sync and a real server. A failure names its seed; `L3_SEED=… pytest …` runs that one."""

import dataclasses
import os
import time

import pytest

import real_haproxy
import real_nginx
from discovery_balancer.settings import cut
from hostile import Hostile, Maker
from instances import certificate
from real_nginx import DOMAIN, Backends

CHECKED, ASKED = 500, 40  # catalogs that a server checks; and such that it loads, whose services are asked for
FIRST = 7_000
MOST = 100_000  # bytes of the status, however long the values of a catalog are: it goes into the KV store, which takes 512 kB
READY = "{} is not running; the configuration is ready"


def seeds(count: int):
    return [int(os.environ["L3_SEED"])] if "L3_SEED" in os.environ else range(FIRST, FIRST + count)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A certificate of all virtual hosts, and its key."""
    return certificate(tmp_path_factory.mktemp("certificate"), f"*.{DOMAIN}")


@pytest.fixture(scope="module")
def make(key, balancer):
    """The catalog of a seed; the instances in it answer."""
    plain, tls = Backends(), Backends(tls=key)
    yield lambda seed: Maker(seed, plain.places, balancer.ports, tls.places).catalog()
    plain.close()
    tls.close()


@pytest.fixture(scope="module", params=[real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def balancer(request, key):
    """One that may end TLS: what differs then comes with the options of a run."""
    chosen = {"names": [f"*.{DOMAIN}", "b.example.org"], "certificate": key[0], "key": key[1]}
    with request.param.Balancer(balancer_certificates=[chosen], balancer_udp_ports="20000-32000") as made:
        yield made


@pytest.fixture(scope="module")
def options(balancer):
    """The options for a seed: every other one has no certificate."""
    both = balancer.options, dataclasses.replace(balancer.options, certificates=())
    return lambda seed: both[seed % 2]


def problems(balancer, hostile: Hostile, reason: str) -> list[str]:
    """The problems after one sync with a catalog, whose status should give this reason."""
    before = balancer.store.current()
    status = balancer.sync(hostile.catalog)
    found = [] if status["reason"] == reason else [f"fell back as a whole: {status['reason']}"]
    if balancer.store.current() == before:
        found.append("there is no new generation")
    found += balancer.foreign()
    served = status["http"] | status["tls"] | status["tcp"] | status["udp"]
    skipped = {entry["name"]: entry["reason"] for entry in status["skipped"]}
    for service in hostile.good:
        if service.name not in status[service.kind]:
            found.append(f"{service.kind} {service.name} is not served: {skipped.get(service.name)}")
    for entry in hostile.catalog["services"]:
        tagged = any({"http", "tcp", "tls"} & set(instance["tags"]) for instance in entry["instances"])
        if tagged and entry["name"].lower() not in served and cut(entry["name"]) not in skipped:
            found.append(f"{entry['name'][:100]!r} is neither served nor skipped")
    if (size := balancer.store.status_file.stat().st_size) > MOST:
        found.append(f"the status has {size} bytes")
    balancer.store.prune(2)
    return found


def unanswered(balancer, hostile: Hostile) -> list[str]:
    """Good services of which nobody hears within a minute from one of their instances: an old worker may answer first."""
    found, deadline = [], time.monotonic() + 60
    for service in hostile.good:
        while (answer := balancer.ask(service.name, service.port, service.kind == "tls"))[1] not in service.places:
            if time.monotonic() > deadline:
                found.append(f"{service.kind} {service.name} answers {answer}")
                break
            time.sleep(0.05)
    return found


def test_l3_no_catalog_breaks_the_configuration(balancer, make, options):
    """Each is a new generation that the server takes, with every good service in it and nothing that is not in the table."""
    started, wrong, good = time.monotonic(), [], 0
    for seed in seeds(CHECKED):
        hostile, balancer.options = make(seed), options(seed)
        good += len(hostile.good)
        wrong += [f"seed {seed}: {one}" for one in problems(balancer, hostile, READY.format(balancer.options.balancer))]
    print(f"{len(seeds(CHECKED))} catalogs in {time.monotonic() - started:.0f} s, {good} services that must be served")
    assert not wrong, "\n".join(wrong)


def test_l3_services_answer_beside_hostile_ones(balancer, make, options):
    """The server runs: each catalog is loaded, and every good service answers from its own instances."""
    balancer.sync({"consul": 3, "services": []})
    balancer.start()
    started, wrong, good = time.monotonic(), [], 0
    for seed in seeds(ASKED):
        hostile, balancer.options = make(seed), options(seed)
        good += len(hostile.good)
        found = problems(balancer, hostile, "") + unanswered(balancer, hostile)
        wrong += [f"seed {seed}: {one}" for one in found]
    print(f"{len(seeds(ASKED))} catalogs loaded in {time.monotonic() - started:.0f} s, {good} services asked for")
    assert not wrong, "\n".join(wrong)
