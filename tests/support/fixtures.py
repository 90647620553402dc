"""Fixtures and hooks of the tests of a running site; a conftest.py takes all of them.

`@pytest.mark.on("<group>")` runs a test once on each host of a group, as `node`. `node_and_unit` is each unit on each of its
hosts, `unit_and_nodes` each unit but Consul's agent with all of its hosts.
"""

import functools
import ipaddress
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.machine import podman_subnets

from tests.support import dns_load, firewall_reach, overlay_reach
from tests.support.catalog_diff import agrees
from tests.support.instances import Instance
from tests.support.operation_load import LoadBounds, OperationLoad, operation_load
from tests.support.playbook import install
from tests.support.secret_search import note
from tests.support.site import Node, Site
from tests.support.wait import eventually, side_by_side

FIGURES = pytest.StashKey[list]()
SITE = pytest.StashKey["Site"]()
HEALTHY = pytest.StashKey[bool]()  # the site was when the last test ended, and no other has begun
# Fixtures that change no site when they end, or have looked at it then.
HARMLESS = {"settled", "settled_after", "show", "tmp_path", "node", "node_and_unit", "unit_and_nodes"}


def pytest_configure(config):
    config.addinivalue_line("markers", "on(group): run the test on each host of this inventory group, as `node`")
    config.addinivalue_line("markers", "overlay(name): belongs to sites with this discovery_overlay only")
    config.addinivalue_line("markers", "more: runs in `make test-all` only")
    config.stash[FIGURES] = []
    config.stash[HEALTHY] = False
    inventory = config.getoption("ansible_inventory")
    config.stash[SITE] = Site(Path(inventory).resolve()) if inventory else None


def pytest_generate_tests(metafunc):
    site = metafunc.config.stash[SITE]
    if "node" in metafunc.fixturenames:
        group = metafunc.definition.get_closest_marker("on").args[0]
        nodes = site.group(group) if site else []
        metafunc.parametrize("node", nodes, ids=[node.name for node in nodes])
    if "node_and_unit" in metafunc.fixturenames:
        pairs = [(n, unit) for group, units in site.units.items() for unit in units for n in site.group(group)] if site else []
        metafunc.parametrize("node_and_unit", pairs, ids=[f"{node.name}-{unit}" for node, unit in pairs])
    if "unit_and_nodes" in metafunc.fixturenames:
        found = [(unit, site.group(group)) for group, units in site.units.items() for unit in units] if site else []
        found = [(unit, nodes) for unit, nodes in found if nodes and unit != "consul"]
        metafunc.parametrize("unit_and_nodes", found, ids=[unit for unit, _ in found])


def pytest_collection_modifyitems(config, items):
    """`make test` leaves out what is marked as `more`. What is about another overlay than the site's does not belong to it."""
    if site := config.stash[SITE]:
        own = next(iter(site.nodes.values())).variables.get("discovery_overlay", "none")
        mine = "swarm" if own == "none" else own  # that is what tests of an overlay get on a site without one
        marks = {item: item.get_closest_marker("overlay") for item in items}
        foreign = [item for item, mark in marks.items() if mark and mark.args[0] != mine]
        items[:] = [item for item in items if item not in foreign]
        config.hook.pytest_deselected(items=foreign)
    if os.environ.get("DISCOVERY_TESTS") == "usual":
        left_out = [item for item in items if item.get_closest_marker("more")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def site(request) -> Site:
    """The site under test. Traffic goes to a lab of this machine only."""
    site = request.config.stash[SITE]
    if site is None:
        pytest.skip("no site: give one with --ansible-inventory")
    subnets = podman_subnets()
    for node in site.nodes.values():
        assert any(ipaddress.ip_address(node.address) in subnet for subnet in subnets), f"{node.address} is in no lab network"
    return site


@pytest.fixture(scope="session")
def external_host(site) -> Node:
    """A bare machine in the lab's network that the site does not know."""
    return site.external_host()


@pytest.fixture
def settled(site, request):
    """For tests that stop things: the site is healthy before, and again after."""
    if not request.config.stash[HEALTHY]:
        site.settle()
    yield
    site.settle()
    request.config.stash[HEALTHY] = True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    item.config.stash[HEALTHY] = False


def pytest_fixture_post_finalizer(fixturedef, request):
    """What ends after the site was looked at may have changed it."""
    if fixturedef.argname not in HARMLESS:
        request.config.stash[HEALTHY] = False


@pytest.fixture
def settled_after(site, request):
    """The site is healthy once everything that a test has started is gone, whichever fixture started it."""
    yield
    site.settle()
    request.config.stash[HEALTHY] = True


@pytest.fixture
def start_container(site, settled_after):
    """Start containers of the sample images that go away after the test: start_container(node, name, image, *options).

    Every port that the image exposes can be reached: published, or in the overlay network, which takes each name once.
    """
    started = []
    reach = f"--network {site.network}" if site.network else "-P"

    def start(node: Node, name: str, image: str, *options: str) -> None:
        started.append((node, name))
        node.run(f"docker run -d --name {name} {reach} {' '.join(options)} {image}")

    yield start
    names = {node: " ".join(name for where, name in started if where is node) for node, _ in started}
    side_by_side(functools.partial(node.tries, f"docker rm -f {of_node}") for node, of_node in names.items())


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> dict[str, str]:
    """The collection as a user gets it, built and installed: the environment in which plays find it by its name."""
    return install(tmp_path_factory.mktemp("collection"))


@pytest.fixture(scope="session")
def site_name(site) -> str:
    """A name that the site's own DNS serves."""
    return next(iter(site.nodes.values())).variables["consul_dns_probe_names"][0]


@pytest.fixture
def show(request):
    """Print a figure; it stands in the summary at the end as well."""

    def show(text: str) -> None:
        print(text)
        request.config.stash[FIGURES].append(f"{request.node.name}: {text}")

    return show


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[FIGURES]:
        terminalreporter.section("figures")
        for line in config.stash[FIGURES]:
            terminalreporter.line(line)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    """The search at the end of a scenario looks for secrets that were replaced meanwhile, too."""
    if site := item.config.stash[SITE]:
        note(site)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Attach the journal of the units to a failure."""
    report = yield
    if report.when == "call" and report.failed and (site := item.config.stash[SITE]):
        for node in site.nodes.values():
            try:
                log = node.tries("journalctl --no-pager -n 30 -u consul -u docker -u consul-template -u " + site.balancer)
                output = log.stdout
            except RuntimeError as error:
                output = str(error)
            report.sections.append((f"journal of {node.name}", output))
    return report


@pytest.fixture
def compared(site):
    """For tests that leave other containers than the samples: catalog and containers agree before, the site is healthy after."""
    eventually(lambda: agrees(site), 60)
    yield
    site.settle()


@pytest.fixture(scope="module")
def probes(site) -> Iterator[dict[str, str]]:
    """A container on each docker host, and a program on each host that nobody has declared."""
    side_by_side(functools.partial(firewall_reach.start_undeclared, node) for node in site.nodes.values())
    start = functools.partial(firewall_reach.start_probe, network=site.network or "bridge")
    started = side_by_side(functools.partial(start, node) for node in site.docker_hosts)
    names = {node.name: name for node, name in zip(site.docker_hosts, started, strict=True)}
    yield names
    side_by_side(functools.partial(node.run, f"docker rm -f {names[node.name]}") for node in site.docker_hosts)
    side_by_side(functools.partial(node.tries, "systemctl stop undeclared.service") for node in site.nodes.values())


@pytest.fixture
def both(site, site_name) -> list[str]:
    """A name of Consul and a name of the site."""
    return [site.name_of("consul"), site_name]


@pytest.fixture
def steady(site, both):
    """Every host resolves both kinds of name before the test, and again after it."""
    dns_load.settle(site, both)
    yield
    dns_load.settle(site, both)


@pytest.fixture
def agent_stopped(site, node):
    """The node's own Consul agent is stopped during the test."""
    node.run("systemctl stop consul")
    yield
    node.run("systemctl start consul")
    eventually(lambda: site.consul(node).get("/v1/status/leader"), 60)


@pytest.fixture
def user_network(node):
    """A user-defined network, beside the default bridge."""
    with dns_load.network(node, "test-names") as name:
        yield name


@pytest.fixture
def asking(node, networks) -> Iterator[list[str]]:
    """A container in each of the networks that the test module names in `networks`. They run before anything is stopped."""
    with dns_load.asking(node, networks) as names:
        yield names


@pytest.fixture
def follower(site, settled):
    """A docker host whose Consul agent does not lead, on a site that is healthy before and after."""
    leader = site.leader().partition(":")[0]
    return next(node for node in site.docker_hosts if node.address != leader)


@pytest.fixture(scope="session")
def talkers(site):
    """A container on the overlay network of each docker host: talkers() gives them as they are now."""
    network = overlay_reach.network_name(site)
    started = [overlay_reach.start_talker(node, network) for node in site.docker_hosts]
    yield lambda: [overlay_reach.look(one.node, one.name, network) for one in started]
    for one in started:
        one.node.tries(f"docker rm -f {one.name}")


@pytest.fixture
def serve(site, settled_after):
    """Start an instance on a host and register it: serve(node, service, *tags, certificate="", **settings of the balancer)."""
    started: list[Instance] = []
    ports = itertools.count(18100)

    def one(node, service: str, *tags: str, certificate: str = "", **settings: str) -> Instance:
        instance = Instance(node, service, next(ports))
        started.append(instance)
        instance.start(certificate)
        entry = {
            "ID": instance.unit, "Name": service, "Address": node.address, "Port": instance.port, "Tags": list(tags),
            "Meta": {f"balancer_{key}": value for key, value in settings.items()},
        }  # fmt: skip
        site.consul(node).put("/v1/agent/service/register", entry)
        return instance

    yield one
    for instance in started:
        site.consul(instance.node).send("PUT", f"/v1/agent/service/deregister/{instance.unit}")
        instance.stop()


@pytest.fixture(scope="session")
def running_load(site, tmp_path_factory) -> Iterator[OperationLoad]:
    """The load that runs through all tests."""
    site.settle(180)
    with operation_load(site, tmp_path_factory.mktemp("load")) as load:
        yield load


@pytest.fixture
def load(running_load, show) -> LoadBounds:
    """`with load.planned("rotation"):` asserts what clients got meanwhile."""
    return LoadBounds(running_load, show)
