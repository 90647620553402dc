"""R1: a request for a service is never answered by another one, whatever happens to dockerd and its ports."""

import base64
import contextlib
import functools
import http.client
import math
import re
import shlex
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import pytest
from dns.rdatatype import A
from tests.support.catalog_diff import agrees, registered, running
from tests.support.clients import dns_ask, lost_lookups
from tests.support.cluster import answers_itself, lead
from tests.support.docker import restart_dockerd
from tests.support.reboot import booted, boots, crash, power_on, reboot, shut_down
from tests.support.wait import NOT_YET, Repeating, eventually, side_by_side

NAMES = [f"test-r1-{letter}" for letter in "abcde"]
SAYS = re.compile(r"this is (\w+), version: (\S+)")  # what the samples answer; VERSION is the service's name here
REFUSALS = (502, 503, 504)  # a balancer's own
PATIENCE = 1  # seconds for an answer
FRESH = 0.5  # seconds for which a client uses the answer of a lookup: who keeps an address may ask another service there
ATTEMPTS = 3  # of a fault, until a port changes hands by it
SLOW = 10  # seconds
RETURNS = 180  # seconds until everything answers after a power cycle of all
BOOT = 90  # seconds, of which a balancer waits 30 for the catalog


def start_all(node) -> None:
    """Five services with a free port each, which return with dockerd."""
    environment = "-e SERVICE_NAME=$name -e VERSION=$name -e SERVICE_TAGS=http"
    run = f"docker run -d --name $name --restart always -P {environment} httpbackend:v1.0.0"
    node.run(f"for name in {' '.join(NAMES)}; do {run} || exit 1; done; systemctl restart docker")


@pytest.fixture(scope="module")
def crowd(site):
    """The services on every docker host. dockerd is restarted after that: it hands out free ports one after the
    other while it runs, and in any order, from the lowest on, to all that it starts at once. So they can change hands."""
    site.settle()
    try:
        side_by_side(functools.partial(start_all, node) for node in site.docker_hosts)
        eventually(lambda: agrees(site), 120)
        yield
    finally:
        side_by_side(functools.partial(node.tries, f"docker rm -f {' '.join(NAMES)}") for node in site.docker_hosts)
        site.settle()


def who_answers(address: str, port: int, host: str, until: float = math.inf) -> str | None:
    """The name that the answering service gives itself; None: no answer, or a balancer's own page.

    :param until: later nobody asks this place any more (monotonic clock)
    """
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
    try:
        connection.connect()
        if time.monotonic() > until:
            return None
        connection.request("GET", "/", headers={"Host": host})
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except http.client.RemoteDisconnected:
        return None
    except http.client.BadStatusLine as error:  # something else than HTTP listens there
        return f"{error.line!r}"
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if answering := SAYS.match(body):
        return answering[2] if answering[1] == "httpbackendservice" else answering[1]
    return None if response.status in REFUSALS else f"{response.status} {body[:60]!r}"


class Client(Repeating):
    """One client: asks for each service, over and over.

    :cvar fresh: seconds for which it uses the places of a service that it has looked up
    :ivar heard: (way, service asked for, who answered), as often as it was so
    :ivar wrong: the same with the time, for each answer of another one
    """

    way, fresh = "", math.inf

    def __init__(self):
        super().__init__()
        self.heard: Counter = Counter()
        self.wrong: list[str] = []

    def step(self) -> None:
        for name in NAMES:
            places, known = self.places(name), time.monotonic()
            for address, port, host in places:
                answering = who_answers(address, port, host, known + self.fresh)
                self.heard[self.way, name, answering] += 1
                if answering not in (None, name):
                    self.wrong.append(f"{time.time():.2f} {self.way}: {name} at {address}:{port} is answered by {answering}")

    @property
    def answered(self) -> set[str]:
        """The services that have answered when they were asked for."""
        return {name for _, name, answering in self.heard.copy() if answering == name}

    def places(self, name: str) -> list[tuple[str, int, str]]:
        raise NotImplementedError


class ByCatalog(Client):
    """Takes the passing instances from one agent."""

    way, fresh = "by catalog", FRESH

    def __init__(self, site, asked):
        super().__init__()
        self.api = site.consul(asked)

    def places(self, name):
        try:
            found = self.api.get(f"/v1/health/service/{name}?passing=1")
        except NOT_YET:
            return []
        return [(one["Service"]["Address"], one["Service"]["Port"], name) for one in found]


class ByNames(Client):
    """Asks one agent's DNS for the ports and addresses, the way a program does that knows the name only."""

    way, fresh = "by name", FRESH

    def __init__(self, site, asked):
        super().__init__()
        self.site, self.asked = site, asked

    def places(self, name):
        try:
            answer = dns_ask(self.asked.address, self.site.name_of(name), "SRV")
        except (OSError, dns.exception.DNSException):
            return []
        addresses = {records.name: record.address for records in answer.additional for record in records if record.rdtype == A}
        return [(addresses[one.target], one.port, name) for records in answer.answer for one in records]


class ByBalancer(Client):
    """Asks one balancer for the virtual hosts."""

    way = "by balancer"

    def __init__(self, site, balancer):
        super().__init__()
        self.site, self.address = site, balancer.address

    def places(self, name):
        return [(self.address, 80, self.site.host_of(name))]


class Clients:
    """A client of each agent and of each balancer, while the block runs; each service has answered each of them before."""

    def __init__(self, site):
        by_agent = [way(site, node) for node in site.servers for way in (ByCatalog, ByNames)]
        self.all = by_agent + [ByBalancer(site, node) for node in site.balancers]

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for one in self.all:
                stack.enter_context(one)
            eventually(lambda: all(one.answered == set(NAMES) for one in self.all), 60)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    @property
    def heard(self) -> Counter:
        return sum((one.heard.copy() for one in self.all), Counter())

    @property
    def wrong(self) -> list[str]:
        return sorted(line for one in self.all for line in one.wrong)

    def __str__(self) -> str:
        count: Counter = Counter()
        for (way, _, answering), times in self.heard.items():
            count[way, answering is not None] += times
        ways = (ByCatalog.way, ByNames.way, ByBalancer.way)
        parts = [f"{count[way, True]} answers {way} ({count[way, False]} times none)" for way in ways]
        return f"{', '.join(parts)}, {len(self.wrong)} of another service"


def places(site) -> dict[tuple[str, int], str]:
    """Whose each published port is."""
    return {(one.address, one.port): one.name for one in running(site)}


def changed_hands(before: dict, after: dict) -> list[tuple[str, int]]:
    """The places that another service has now."""
    return [place for place in before if after.get(place, before[place]) != before[place]]


def restart_engine(nodes) -> None:
    for node in nodes:
        restart_dockerd(node)


def kill_engine(nodes) -> None:
    for node in nodes:
        node.kill("docker")


@pytest.mark.parametrize(
    "fault, everywhere",
    [
        (restart_engine, False),
        (kill_engine, False),
        (reboot, False),
        pytest.param(restart_engine, True, marks=pytest.mark.more),
        pytest.param(kill_engine, True, marks=pytest.mark.more),
    ],
    ids=lambda value: value.__name__ if callable(value) else ("everywhere" if value else "one-host"),
)
def test_r1_never_the_wrong_service(site, crowd, show, fault, everywhere):
    """On one host: a balancer, so that the balancer's own start is covered as well."""
    nodes = site.docker_hosts if everywhere else site.balancers[-1:]
    before = places(site)
    with Clients(site) as clients:
        for _ in range(ATTEMPTS):
            start = time.monotonic()
            fault(nodes)
            eventually(lambda: agrees(site), 180, every=1)
            took = time.monotonic() - start
            time.sleep(3)
            if moved := changed_hands(before, places(site)):
                break
    show(f"{clients}; catalog is true again after {took:.0f} s; {len(moved)} of {len(before)} ports changed hands")
    assert len(moved) > 0, "no port changed hands: this proves nothing"
    assert clients.wrong == []


def test_h15_r1_a_power_cycle_of_all(site, crowd, site_name, show):
    """Everything answers again, also names on each host, and nothing of another service meanwhile."""
    nodes, before = list(site.nodes.values()), places(site)
    names = [site.name_of("httpbackend"), site.name_of("consul"), site_name]

    def answers() -> bool:
        lost = [(node.name, name) for node in nodes for name in names if lost_lookups(node, name, 3)]
        assert not lost, lost
        return site.is_healthy(beside=NAMES) and agrees(site)

    with Clients(site) as clients:
        for _ in range(ATTEMPTS):
            start = time.monotonic()
            crash(nodes)
            power_on(nodes)
            started = time.monotonic() - start
            eventually(answers, RETURNS - started, every=1)
            took = time.monotonic() - start
            time.sleep(3)
            if moved := changed_hands(before, places(site)):
                break
    show(f"{clients}; everything answers {took:.0f} s after the power went, {started:.0f} s of it without power")
    show(f"{len(moved)} of {len(before)} ports changed hands")
    assert len(moved) > 0, "no port changed hands: this proves nothing"
    assert clients.wrong == []


@contextlib.contextmanager
def long_log(site, asked):
    """What the servers write down becomes long, so that reading it takes a while; what was written goes after the block."""
    api, key = site.consul(asked), "test-r1/log"
    value = base64.b64encode(bytes(1000)).decode()
    most = 64  # in one request
    entries = [{"KV": {"Verb": "set", "Key": f"{key}/{number}", "Value": value}} for number in range(most)]
    try:
        for _ in range(100):
            api.put("/v1/txn", entries)
        yield
    finally:
        api.send("DELETE", f"/v1/kv/{key}?recurse")


def test_r1_a_starting_server_returns_no_stale_data(site, crowd, show):
    """A server that was away knows what was before it knows what is, and its DNS answers are its own. Not a balancer's server:
    without its agent a balancer serves what it knew."""
    server = next(node for node in site.servers if node not in site.balancers)
    other = next(node for node in site.docker_hosts if node is not server)
    before = places(site)
    for one in site.servers:  # the others have to be a quorum without it: one of them has just booted
        eventually(lambda one=one: answers_itself(site, one), 60)

    def known() -> bool:
        catalog, truth = registered(site, other), running(site)
        return all((one in catalog) == (one in truth) for one in catalog | truth if one.node == other.name)

    with long_log(site, other), Clients(site) as clients:
        try:
            server.run("systemctl stop consul")
            for _ in range(ATTEMPTS):
                restart_engine([other])
                eventually(known, 60, every=1)
                if changed_hands(before, places(site)):
                    break
        finally:
            server.run("systemctl start consul")
        eventually(lambda: agrees(site, server), 120, every=1)
        time.sleep(3)
    moved = changed_hands(before, places(site))
    show(f"{clients}; {len(moved)} ports of {other.name} changed hands while {server.name} was away")
    assert len(moved) > 0, "no port changed hands: this proves nothing"
    assert clients.wrong == []


@contextlib.contextmanager
def otherwise(node, unit: str, line: str):
    """A unit of a host has one more line while the block runs, over a boot, too."""
    folder = f"/etc/systemd/system/{unit}.service.d"
    node.run(f"mkdir -p {folder} && printf '%b\\n' {shlex.quote(line)} >{folder}/test.conf && systemctl daemon-reload")
    try:
        yield
    finally:
        node.run(f"rm {folder}/test.conf; rmdir --ignore-fail-on-non-empty {folder}; systemctl daemon-reload")


@pytest.mark.more
def test_r1_a_booting_balancer_reads_the_catalog_first(site, crowd, show):
    """Ports change hands while the balancer is down, and its first reading of the catalog is late. Its server led, so that there
    is no leader when dockerd starts again."""
    balancer, other = site.balancers[-1], next(node for node in site.docker_hosts if node not in site.balancers)
    before = places(site)
    lead(site, balancer)
    late = otherwise(balancer, "consul-template", f"[Service]\\nExecStartPre=/bin/sleep {SLOW}")
    with late, Clients(site) as clients:
        boot = boots([balancer])
        shut_down([balancer])
        restart_engine([other])
        power_on([balancer])
        booted([balancer], boot)
        eventually(lambda: agrees(site) and balancer.unit(site.balancer, "ActiveState") == ["active"], 120, every=1)
        units = (site.balancer, "consul-template")
        (balancing,), (knowing,) = (balancer.unit(unit, "ActiveEnterTimestampMonotonic") for unit in units)
        time.sleep(3)
    moved = [place for place in changed_hands(before, places(site)) if place[0] == other.address]
    waited = (int(balancing) - int(knowing)) / 1e6
    show(f"{clients}; {len(moved)} ports of {other.name} changed hands")
    show(f"{site.balancer} started {waited:.1f} s after the first catalog")
    assert len(moved) > 0, "no port changed hands: this proves nothing"
    assert clients.wrong == []
    assert waited >= 0


@pytest.mark.more
def test_r1_a_booting_balancer_without_consul_serves_the_last_generation(site, crowd, show):
    balancer, name = site.balancers[-1], NAMES[0]
    with otherwise(balancer, "consul", "[Unit]\\nConditionPathExists=/nowhere"):
        begin = time.monotonic()
        reboot([balancer])
        eventually(lambda: who_answers(balancer.address, 80, site.host_of(name)) == name, BOOT, every=1)
        show(f"the balancer serves {time.monotonic() - begin:.0f} s after its boot began, without Consul")
        assert balancer.unit("consul", "ActiveState") == ["inactive"]
    balancer.run("systemctl start consul")
    eventually(lambda: agrees(site), 120, every=1)


@pytest.mark.more
def test_r1_dockerd_stopped_without_a_leader_leaves_no_services(site, crowd, show):
    """registrator-clear waits for a leader, because without one the agent cannot update the catalog: the next dockerd may
    start at once after that, and give the ports to others."""
    *others, node = site.servers
    with ThreadPoolExecutor(1) as pool:
        for other in others:
            other.run("systemctl stop consul")
        try:
            ended = pool.submit(node.run, "systemctl stop docker.socket docker")
            time.sleep(1)
            for other in others:
                other.run("systemctl start --no-block consul")
            ended.result()
            services = eventually(lambda: site.consul(node).get(f"/v1/catalog/node-services/{node.name}")["Services"], 30)[0]
        finally:
            node.run("systemctl start docker.socket docker")
    eventually(lambda: agrees(site), 60, every=1)
    left = [one["ID"] for one in services if one["Service"] != "consul"]
    show(f"dockerd ended without a leader; the first answer of the catalog afterwards has {len(left)} of its containers")
    assert left == []
