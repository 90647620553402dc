"""F1: the effect of the rules on packets, in network namespaces: a host with Docker's bridges, another host of the site, an
external one, one of the management, and containers.

The addresses are those of RFC 5737; everything is in network namespaces of this process and ends with it.
"""

import json
import os
import subprocess
import sys
import time

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.firewall import firewall_ruleset
from firewall_rules import platform, rendered

HOST, MEMBER, EXTERNAL, MANAGEMENT = (f"192.0.2.{n}" for n in (1, 2, 9, 10))
CONTAINER, PEER = "172.17.0.2", "172.18.0.2"
OVERLAY = {"tcp": [2377, 7946], "udp": [4789, 7946]}
# The table of earlier versions for these ports (template discovery-overlay.nft.j2 of the role overlay_network).
OVERLAY_TABLE = f"""
table inet discovery_overlay
delete table inet discovery_overlay
table inet discovery_overlay {{
    set peers {{ type ipv4_addr; elements = {{ {HOST}, {MEMBER} }}; }}
    chain input {{
        type filter hook input priority filter - 10; policy accept;
        iif "lo" accept
        ip saddr @peers accept
        tcp dport {{ 2377, 7946 }} counter drop
        udp dport {{ 4789, 7946 }} counter drop
    }}
}}
"""
BOUND = [22, 80, 4444, 5432, 8081, 8300, 8501]  # TCP ports on which host and member listen; 8081 as docker-proxy does
ROUTES = {"member": MEMBER, "external": EXTERNAL, "management": MANAGEMENT}

SERVE_UDP = """
import selectors, socket, sys
sockets = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", port))
    sockets.register(server, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in sockets.select():
        key.fileobj.sendto(b"answer", key.fileobj.recvfrom(100)[1])
"""
KNOCK_UDP = """
import json, socket, sys
found = []
for port in map(int, sys.argv[2:]):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(0.5)
    client.connect((sys.argv[1], port))
    try:
        client.send(b"question")
        client.recv(100)
        found.append(port)
    except OSError:
        pass
print(json.dumps(found))
"""
SERVE = """
import socket, sys, threading
for port in map(int, sys.argv[1:]):
    server = socket.create_server(("", port), backlog=64)
    threading.Thread(target=lambda s=server: [s.accept()[0].close() for _ in iter(int, 1)], daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
KNOCK = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def knock(port):
    try:
        socket.create_connection((sys.argv[1], port), 0.7).close()
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "silence"
    return "open"
ports = list(map(int, sys.argv[2:]))
print(json.dumps([port for port, answer in zip(ports, ThreadPoolExecutor(32).map(knock, ports)) if answer == "open"]))
"""
# The rules that dockerd writes for a container on docker0 that publishes 8081, and for containers that ask others.
DOCKER = f"""
table ip nat {{
    chain prerouting {{ type nat hook prerouting priority -100; iifname != "docker0" tcp dport 8081 dnat to {CONTAINER}:80; }}
    chain postrouting {{ type nat hook postrouting priority 100; ip saddr 172.16.0.0/12 oifname "eth0" masquerade; }}
}}
"""


class Networks:
    """Named network namespaces, and what runs in them."""

    def __init__(self):
        self.prefix, self.names, self.servers = f"f1-{os.getpid()}-", [], []

    def ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def add(self, name: str) -> None:
        self.ip("netns", "add", self.prefix + name)
        self.names.append(name)
        self.run(name, "ip link set lo up")

    def run(self, name: str, command: str, data: str | None = None) -> str:
        inside = ["ip", "netns", "exec", self.prefix + name, "sh", "-c", command]
        done = subprocess.run(inside, input=data, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"{name}: {command}: {done.stderr}"
        return done.stdout

    def wire(self, one: str, device: str, other: str, bridge: str, address: str, gateway: str = "") -> None:
        """A cable from a device of one to a bridge of another."""
        end = f"v{len(self.names)}{one[:6]}"
        peer = ["type", "veth", "peer", "name", end, "netns", self.prefix + other]
        self.ip("-n", self.prefix + one, "link", "add", device, *peer)
        self.run(other, f"ip link set {end} master {bridge} up")
        self.run(one, f"ip addr add {address} dev {device} && ip link set {device} up")
        if gateway:
            self.run(one, f"ip route add default via {gateway}")

    def serve(self, name: str, ports: list[int], program: str = SERVE) -> None:
        inside = ["ip", "netns", "exec", self.prefix + name, sys.executable, "-c", program, *map(str, ports)]
        server = subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.servers.append(server)
        assert server.stdout.readline() == "ready\n"

    def open(self, name: str, address: str, ports: list[int] = BOUND) -> list[int]:
        """Ports of an address that answer."""
        words = " ".join(map(str, [address, *ports]))
        return json.loads(self.run(name, f"{sys.executable} - {words}", KNOCK))

    def overlay(self, name: str) -> dict[str, list[int]]:
        """The ports of the overlay network on the host that answer."""
        words = " ".join(map(str, [HOST, *OVERLAY["udp"]]))
        udp = json.loads(self.run(name, f"{sys.executable} - {words}", KNOCK_UDP))
        return {"tcp": self.open(name, HOST, OVERLAY["tcp"]), "udp": udp}

    def load(self, name: str = "host", interfaces=(), closed=(), added=None, scope: str = "site") -> None:
        networks = {"site": [HOST, MEMBER], "docker": [HOST, MEMBER], "management": [MANAGEMENT]}
        settings = {"platform": platform(), "site": added or {}, "networks": networks, "closed": closed, "seconds": 30}
        self.run(name, "nft --file -", rendered(scope, **firewall_ruleset(settings, interfaces)))

    def end(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
        for name in self.names:
            self.ip("netns", "delete", self.prefix + name)


@pytest.fixture(scope="module")
def networks():
    made = Networks()
    try:
        made.add("lan")
        made.run("lan", "ip link add lan0 type bridge && ip link set lan0 up")
        for name, address in {"host": HOST, **ROUTES}.items():
            made.add(name)
            made.wire(name, "eth0", "lan", "lan0", f"{address}/24")
        made.run("host", "sysctl -qw net.ipv4.ip_forward=1")
        for bridge, address, name, own in (
            ("docker0", "172.17.0.1", "container", CONTAINER),
            ("br-0123456789ab", "172.18.0.1", "peer", PEER),
            ("br-lan", "198.51.100.1", "desk", "198.51.100.7"),
        ):
            made.run("host", f"ip link add {bridge} type bridge && ip addr add {address}/24 dev {bridge}")
            made.run("host", f"ip link set {bridge} up")
            made.add(name)
            made.wire(name, "eth0", "host", bridge, f"{own}/24", address)
        made.run("host", "nft --file -", DOCKER)
        made.serve("host", BOUND)
        made.serve("member", BOUND)
        made.serve("host", OVERLAY["tcp"])
        made.serve("host", OVERLAY["udp"], SERVE_UDP)
        made.serve("container", [80])
        made.run("external", f"ip route add 172.16.0.0/12 via {HOST}")
        made.run("member", f"ip route add 172.16.0.0/12 via {HOST}")
        made.load()
        yield made
    finally:
        made.end()


def test_f1_without_rules_everything_answers(networks):
    networks.run("host", "nft delete table inet discovery")
    try:
        for name in ("external", "container", "peer", "desk"):
            assert networks.open(name, HOST) == BOUND, name
        assert networks.open("external", CONTAINER, [80]) == [80]
        assert networks.open("container", MEMBER) == BOUND
    finally:
        networks.load()


@pytest.mark.parametrize(
    ("sender", "ports"),
    [
        ("external", [22, 80]), ("member", [22, 80, 8081, 8300, 8501]), ("management", [22, 80, 8081, 8501]),
        ("container", [22, 80, 4444, 5432, 8081, 8501]), ("peer", [22, 80, 4444, 5432, 8081, 8501]),
    ],
)  # fmt: skip
def test_f1_ports_by_sender(networks, sender, ports):
    assert networks.open(sender, HOST) == ports


def test_f1_only_hosts_of_the_site_reach_a_container_s_own_address(networks):
    assert networks.open("external", CONTAINER, [80]) == []
    assert networks.open("member", CONTAINER, [80]) == [80]


def test_f1_a_container_has_no_way_around_by_another_host(networks):
    """There it has the address of its own host, one of the site."""
    assert networks.open("container", MEMBER) == [22, 80, 4444, 5432, 8081, 8501]
    networks.serve("external", [8300])
    assert networks.open("container", EXTERNAL, [8300]) == [8300], "other hosts are not protected"


def test_f1_a_bridge_that_is_not_docker_s_is_no_container(networks):
    networks.load(interfaces=["br-lan", "eth0"])
    try:
        assert networks.open("desk", HOST) == [22, 80]
        assert networks.open("desk", CONTAINER, [80]) == []
        assert networks.open("container", "198.51.100.1") == [22, 80, 4444, 5432, 8081, 8501]
    finally:
        networks.load()


def test_f1_ports_of_other_programs_can_be_closed_to_containers(networks):
    networks.load(closed=["5432", "4000-5000"])
    try:
        assert networks.open("container", HOST) == [22, 80, 8081, 8501]
        assert networks.open("container", MEMBER) == [22, 80, 8081, 8501]
    finally:
        networks.load()


@pytest.mark.parametrize(
    ("added", "ports"),
    [
        ({"published": {"from": ["any"]}}, [22, 80, 8081]), ({"one": {"tcp": [8081], "from": [EXTERNAL]}}, [22, 80, 8081]),
        ({"one": {"tcp": [8081, 5432], "from": ["any"], "at": "published"}}, [22, 80, 8081]),
        ({"one": {"tcp": ["5000-6000"], "from": ["192.0.2.8/29"]}}, [22, 80, 5432]), ({"ssh": {"from": ["management"]}}, [80]),
        ({"balancer": {"from": []}}, [22]),
    ],
)  # fmt: skip
def test_f1_the_site_opens_and_closes(networks, added, ports):
    networks.load(added=added)
    try:
        assert networks.open("external", HOST) == ports
    finally:
        networks.load()


def test_f1_another_table_applies_as_well(networks):
    """Its drops stay, packets that it accepts may still be dropped, and a reload leaves it unchanged."""
    other = "table inet other { chain input { type filter hook input priority 0; tcp dport 80 drop; tcp dport 5432 accept; }; }"
    networks.run("host", "nft --file -", other)
    try:
        before = networks.run("host", "nft list table inet other")
        networks.load()
        assert networks.open("external", HOST) == [22]
        assert networks.run("host", "nft list table inet other") == before
    finally:
        networks.run("host", "nft delete table inet other")


def test_f1_a_connection_outlives_a_change(networks):
    """Established connections are left alone, so a reload breaks nobody's."""
    program = (
        f"import socket, sys; c = socket.create_connection(('{HOST}', 8300), 2); print('up', flush=True);"
        " sys.stdin.read(1); print(c.recv(1) == b'')"
    )
    inside = ["ip", "netns", "exec", networks.prefix + "member", sys.executable, "-c", program]
    asking = subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert asking.stdout.readline() == "up\n"
    networks.load(added={"consul_rpc": {"from": []}})
    try:
        assert 8300 not in networks.open("member", HOST)
        started = time.monotonic()
        out, _ = asking.communicate("x", timeout=10)
        assert out == "True\n" and time.monotonic() - started < 5
    finally:
        networks.load()


CLOSED = {"tcp": [], "udp": []}


def test_f1_only_docker_hosts_reach_the_overlay_network(networks):
    assert networks.overlay("member") == OVERLAY
    for name in ("external", "management", "container"):
        assert networks.overlay(name) == CLOSED, name


def test_f1_without_the_firewall_only_the_overlay_network_is_closed(networks):
    """discovery_firewall: false with an overlay network: nothing else is filtered."""
    networks.load(scope="overlay")
    try:
        assert networks.overlay("member") == OVERLAY
        for name in ("external", "management", "container"):
            assert networks.overlay(name) == CLOSED, name
            assert networks.open(name, HOST) == BOUND, name
        assert networks.open("external", CONTAINER, [80]) == [80]
        assert networks.open("container", MEMBER) == BOUND
    finally:
        networks.load()


@pytest.mark.parametrize("scope", ["site", "overlay"])
def test_f1_the_separate_table_of_the_overlay_network_is_replaced_without_a_gap(networks, scope):
    """A site of an earlier version: its table, then both, then the one; the ports are closed at every step."""
    networks.run("host", "nft delete table inet discovery")
    try:
        assert networks.overlay("external") == OVERLAY
        networks.run("host", "nft --file -", OVERLAY_TABLE)
        assert (networks.overlay("external"), networks.overlay("member")) == (CLOSED, OVERLAY)
        networks.load(scope=scope)
        assert (networks.overlay("external"), networks.overlay("member")) == (CLOSED, OVERLAY)
        networks.run("host", "nft delete table inet discovery_overlay")
        assert (networks.overlay("external"), networks.overlay("member")) == (CLOSED, OVERLAY)
    finally:
        networks.run("host", "nft delete table inet discovery_overlay || true")
        networks.load()
