"""F1, X3 and W21: the effect of the rules on packets, in network namespaces: a host with bridges of Docker and of others, another
host of the site, an external one, one of the management, containers, a virtual machine, and a laptop behind a VPN.

The addresses are those of RFC 5737 and RFC 3849; everything is in network namespaces of this process and ends with it.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils import nftables, sockets
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.firewall import firewall_ruleset
from firewall_rules import platform, rendered

HOST, MEMBER, EXTERNAL, MANAGEMENT = (f"192.0.2.{n}" for n in (1, 2, 9, 10))
HOST6, EXTERNAL6 = "2001:db8::1", "2001:db8::9"
CONTAINER, PEER, SHOP, SHOP6 = "172.17.0.2", "172.18.0.2", "172.20.0.2", "fd00:20::2"
PUBLISHED = 8077  # by the container on the bridge with a name of its own, TCP and UDP, IPv4 and IPv6
OVERLAY = {"tcp": [2377, 7946], "udp": [4789, 7946]}
CLOSED = {"tcp": [], "udp": []}
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

# Says "done" for each line of its input, when it has answered all that has come until then.
SERVE_UDP = """
import os, selectors, socket, sys
sockets = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(("::", port))
    sockets.register(server, selectors.EVENT_READ)
sockets.register(0, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    lines, pause = b"", None
    while ready := [key.fileobj for key, _ in sockets.select(pause)]:
        for one in ready:
            if one == 0:
                lines += os.read(0, 100) or sys.exit()
            else:
                one.sendto(b"answer", one.recvfrom(100)[1])
        pause = 0
    for _ in lines.splitlines():
        print("done", flush=True)
"""
# Asks each port, and reads the answers half a second later, when it is told that the servers have given all of theirs.
KNOCK_UDP = """
import json, select, socket, sys, time
asked = {}
for port in map(int, sys.argv[2:]):
    client = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
    client.connect((sys.argv[1], port))
    client.send(b"question")
    asked[port] = client
end = time.monotonic() + 0.5
while time.monotonic() < end and len(select.select(asked.values(), [], [], 0.05)[0]) < len(asked):
    pass
print("asked", flush=True)
sys.stdin.readline()
def answered(client):
    try:
        return bool(client.recv(100, socket.MSG_DONTWAIT))
    except OSError:
        return False
print(json.dumps([port for port, client in asked.items() if answered(client)]))
"""
SERVE = """
import socket, sys, threading
for port in map(int, sys.argv[1:]):
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
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
# Answers each message of a TCP connection; each packet of an IP protocol without ports.
ECHO = """
import socket, sys, threading
def serve(connection):
    while data := connection.recv(100):
        connection.send(data)
def listen(port):
    server = socket.create_server(("", port))
    print("ready", flush=True)
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
listen(int(sys.argv[1]))
"""
ECHO_RAW = """
import socket, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, int(sys.argv[1]))
print("ready", flush=True)
while True:
    data, sender = raw.recvfrom(200)
    raw.sendto(data[20:], sender)
"""
# One socket for a whole conversation: says for each line of its input, a number of seconds, whether there was an answer by then.
TALK = """
import socket, sys, time
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
one = socket.socket(socket.AF_INET, socket.SOCK_RAW, port) if kind == "raw" else socket.socket(
    socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
one.settimeout(5)
one.connect((address, 0 if kind == "raw" else port))
print("ready", flush=True)
for line in sys.stdin:
    end, got = time.monotonic() + float(line), False
    one.send(b"question")
    while not got and time.monotonic() < end:
        one.settimeout(0.3)
        try:
            got = bool(one.recv(200))
        except TimeoutError:
            if kind != "tcp":
                one.send(b"question")
    print("answer" if got else "silence", flush=True)
"""
# Sends one packet with any source address: TCP's first, or one of UDP.
FORGE = """
import socket, struct, sys
source, target, protocol, port = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
ends = socket.inet_aton(source) + socket.inet_aton(target)
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
if protocol == "udp":
    number, body = 17, struct.pack("!HHHH", port, port, 16, 0) + b"question"
else:
    number, parts = 6, (40000, port, 1, 0, 5 << 4, 2, 1000)
    sum_ = checksum(ends + struct.pack("!BBH", 0, 6, 20) + struct.pack("!HHIIBBHHH", *parts, 0, 0))
    body = struct.pack("!HHIIBBHHH", *parts, sum_, 0)
header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, number, 0) + ends
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.sendto(header + body, (target, 0))
"""
# Counts what the firewall has let through with a member's address.
WATCH = f"""
table inet watch {{
    chain input {{
        type filter hook input priority 100
        ip saddr {MEMBER} meta l4proto {{ tcp, udp }} th dport {{ 2376, 4789, 8301 }} counter
    }}
}}
"""
# The rules that dockerd writes for containers that publish ports, and for containers that ask others; and those of who else
# masquerades: libvirt, a VPN. dockerd leaves packets of its own bridges to docker-proxy.
DOCKER = f"""
table ip nat {{
    chain prerouting {{
        type nat hook prerouting priority -100
        iifname {{ "docker0", "br-0123456789ab", "shop0" }} return
        tcp dport 8081 dnat to {CONTAINER}:80
        tcp dport {PUBLISHED} dnat to {SHOP}:80
        udp dport {PUBLISHED} dnat to {SHOP}:80
    }}
    chain postrouting {{
        type nat hook postrouting priority 100
        ip saddr {{ 172.16.0.0/12, 192.168.122.0/24, 10.8.0.0/24 }} oifname "eth0" masquerade
    }}
}}
table ip6 nat {{
    chain prerouting {{
        type nat hook prerouting priority -100
        tcp dport {PUBLISHED} dnat to [{SHOP6}]:80
        udp dport {PUBLISHED} dnat to [{SHOP6}]:80
    }}
}}
"""
BRIDGES = (  # device, host's address, machine on it, its address
    ("docker0", "172.17.0.1", "container", CONTAINER),
    ("br-0123456789ab", "172.18.0.1", "peer", PEER),
    ("br-lan", "198.51.100.1", "desk", "198.51.100.7"),
    ("shop0", "172.20.0.1", "shop", SHOP),
    ("virbr0", "192.168.122.1", "guest", "192.168.122.2"),
)
CARD = [{"name": "br-lan", "addresses": ["198.51.100.1"], "ports": ["", "veth"]}]


def each(ask: Callable, *names: str) -> dict:
    """What each of them gets. They ask at the same time: a port that is silent takes all the time that it is given."""
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(ask, names), strict=True))


class Networks:
    """Named network namespaces, and what runs in them."""

    def __init__(self):
        self.prefix, self.names, self.servers = f"f1-{os.getpid()}-", [], []
        self.of_udp, self.one_asks = [], threading.Lock()

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
        if program == SERVE_UDP:
            self.of_udp.append(server)
        assert server.stdout.readline() == "ready\n"

    def open(self, name: str, address: str, ports: list[int] = BOUND) -> list[int]:
        """Ports of an address that answer."""
        words = " ".join(map(str, [address, *ports]))
        return json.loads(self.run(name, f"{sys.executable} - {words}", KNOCK))

    def both(self, name: str, address: str, tcp: list[int], udp: list[int]) -> dict[str, list[int]]:
        """Ports of an address that answer, by protocol."""
        with ThreadPoolExecutor(2) as pool:
            found = pool.submit(self.open, name, address, tcp), pool.submit(self.udp, name, address, udp)
            return {"tcp": found[0].result(), "udp": found[1].result()}

    def overlay(self, name: str) -> dict[str, list[int]]:
        """The ports of the overlay network on the host that answer."""
        return self.both(name, HOST, **OVERLAY)

    def udp(self, name: str, address: str, ports: list[int]) -> list[int]:
        """UDP ports of an address that answer. A server that has not been scheduled for a while is no port that is closed, so a
        silent one counts when all servers have answered all that has come to them."""
        words = [sys.executable, "-c", KNOCK_UDP, address, *map(str, ports)]
        inside = ["ip", "netns", "exec", self.prefix + name, *words]
        with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
            assert asking.stdout.readline() == "asked\n", f"{name}: {address}"
            with self.one_asks:
                for server in self.of_udp:
                    server.stdin.write("\n")
                    server.stdin.flush()
                    assert server.stdout.readline() == "done\n"
            return json.loads(asking.communicate("\n")[0])

    def forge(self, name: str, source: str, target: str, protocol: str, port: int) -> bool:
        """Send one packet; whether it has passed the firewall of the host."""
        self.run("host", "nft --file -", "table inet watch\ndelete table inet watch\n" + WATCH)
        self.run(name, f"{sys.executable} - {source} {target} {protocol} {port}", FORGE)
        time.sleep(0.1)
        listed = json.loads(self.run("host", "nft --json list chain inet watch input"))["nftables"]
        parts = [part for one in listed if "rule" in one for part in one["rule"]["expr"]]
        return any(part["counter"]["packets"] for part in parts if "counter" in part)

    @contextlib.contextmanager
    def conversation(self, name: str, kind: str, address: str, port: int) -> Iterator[Callable[[], str]]:
        """One connection from a machine to a port, or for raw by an IP protocol: asked how it is, it sends a message, and says
        whether that was answered."""
        inside = ["ip", "netns", "exec", self.prefix + name, sys.executable, "-c", TALK, kind, address, str(port)]
        with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:

            def ask(seconds: float = 5) -> str:
                asking.stdin.write(f"{seconds}\n")
                asking.stdin.flush()
                return asking.stdout.readline().strip()

            try:
                assert asking.stdout.readline() == "ready\n"
                yield ask
            finally:
                asking.kill()

    def load(self, bridges=(), closed=(), added=None, scope: str = "site", unconfirmed: bool = False) -> None:
        networks = {"site": [HOST, MEMBER], "docker": [HOST, MEMBER], "management": [MANAGEMENT]}
        settings = {
            "platform": platform(), "site": added or {}, "networks": networks, "address": HOST, "closed": closed, "seconds": 30,
        }  # fmt: skip
        rules = rendered(scope, __firewall_ruleset=firewall_ruleset(settings, bridges))
        if unconfirmed:
            rules += nftables.strict_chains(sockets.listeners(self.run("host", " ".join(sockets.COMMAND))))
        self.run("host", "nft --file -", rules)

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
        made.run("host", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0")
        made.run("host", "sysctl -qw net.ipv4.conf.default.rp_filter=0")
        for bridge, address, name, own in BRIDGES:
            made.run("host", f"ip link add {bridge} type bridge && ip addr add {address}/24 dev {bridge}")
            made.run("host", f"ip link set {bridge} up")
            made.add(name)
            made.wire(name, "eth0", "host", bridge, f"{own}/24", address)
        # Without a bridge: a VPN, and a network of its own behind a second card.
        for device, address, name, own in (
            ("tun0", "10.8.0.1", "laptop", "10.8.0.2"), ("eth1", "203.0.113.1", "office", "203.0.113.7"),
        ):  # fmt: skip
            made.add(name)
            peer = ["type", "veth", "peer", "name", device, "netns", made.prefix + "host"]
            made.ip("-n", made.prefix + name, "link", "add", "eth0", *peer)
            made.run("host", f"ip addr add {address}/24 dev {device} && ip link set {device} up")
            made.run(name, f"ip addr add {own}/24 dev eth0 && ip link set eth0 up && ip route add default via {address}")
        for name, device, address, gateway in (
            ("host", "eth0", HOST6, ""), ("external", "eth0", EXTERNAL6, HOST6), ("host", "shop0", "fd00:20::1", ""),
            ("shop", "eth0", SHOP6, "fd00:20::1"),
        ):  # fmt: skip
            made.run(name, f"ip addr add {address}/64 dev {device} nodad")
            if gateway:
                made.run(name, f"ip route add default via {gateway}")
        made.run("host", "nft --file -", DOCKER)
        made.serve("host", BOUND)
        made.serve("member", BOUND)
        made.serve("host", [53, 2376, 8301])
        made.serve("member", [2376, 8301])
        made.serve("host", [53], SERVE_UDP)
        made.serve("host", OVERLAY["tcp"])
        made.serve("host", OVERLAY["udp"], SERVE_UDP)
        made.serve("container", [80])
        made.serve("shop", [80])
        made.serve("shop", [80], SERVE_UDP)
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


def test_f1_a_bridge_with_a_card_is_no_container(networks):
    networks.load(bridges=CARD)
    try:
        assert networks.open("desk", HOST) == [22, 80]
        assert networks.open("desk", CONTAINER, [80]) == []
        assert networks.open("container", "198.51.100.1") == [22, 80, 4444, 5432, 8081, 8501]
    finally:
        networks.load()


def test_f1_another_card_is_outside(networks):
    assert networks.open("office", HOST) == [22, 80]
    assert networks.open("office", "203.0.113.1") == [22, 80]
    assert networks.open("office", CONTAINER, [80]) == []


@pytest.fixture(params=["as it was", "after a further run"])
def runs(request, networks):
    """Rules of a run before the bridges were made, and of one that has seen them."""
    found = [{"name": name, "addresses": [address], "ports": ["veth"]} for name, address, _, _ in BRIDGES if name != "br-lan"]
    networks.load(bridges=found if "further" in request.param else [])
    yield
    networks.load()


def test_x3_a_named_bridge_publishes_to_members_only(networks, runs):
    """com.docker.network.bridge.name, or bridge of daemon.json: TCP and UDP."""
    found = each(lambda name: networks.both(name, HOST, [PUBLISHED], [PUBLISHED]), "external", "office", "member", "management")
    reached = {"tcp": [PUBLISHED], "udp": [PUBLISHED]}
    assert found == {"external": CLOSED, "office": CLOSED, "member": reached, "management": reached}
    assert networks.both("external", SHOP, [80], [80]) == CLOSED


def test_x3_ipv6_is_filtered_the_same(networks, runs):
    assert networks.open("external", HOST6) == [22, 80]
    assert networks.both("external", HOST6, [PUBLISHED], [PUBLISHED]) == CLOSED
    assert networks.both("external", SHOP6, [80], [80]) == CLOSED
    assert networks.open("shop", "fd00:20::1", [53, 8081, 8300, 8501]) == [53, 8081, 8501]


def test_x3_ipv6_can_be_allowed(networks):
    networks.load(added={"shop": {"tcp": [PUBLISHED], "udp": [PUBLISHED], "from": [EXTERNAL6], "at": "published"}})
    try:
        assert networks.open("external", HOST6, [PUBLISHED]) == networks.udp("external", HOST6, [PUBLISHED]) == [PUBLISHED]
        assert networks.open("external", HOST, [PUBLISHED]) == []
    finally:
        networks.load()


@pytest.mark.parametrize(("sender", "gateway"), [("shop", "172.20.0.1"), ("guest", "192.168.122.1")])
def test_x3_machines_on_any_bridge_of_the_host_are_inside(networks, runs, sender, gateway):
    """Names resolve, and the platform's ports are closed; on the neighbour, where they come with this host's address, too."""
    assert networks.udp(sender, gateway, [53]) == networks.open(sender, HOST, [53]) == [53]
    assert networks.open(sender, HOST, [2376, 8300, 8301]) == []
    assert networks.open(sender, MEMBER, [22, 2376, 8300, 8301, 8501]) == [22, 8501]
    assert networks.overlay(sender) == CLOSED


def test_x3_a_masqueraded_vpn_does_not_reach_the_neighbour_s_platform(networks, runs):
    assert networks.open("laptop", HOST) == [22, 80], "it is no container"
    assert networks.open("laptop", MEMBER, [22, 2376, 8300, 8301, 8501]) == [22, 8501]


def test_x3_management_networks_may_come_by_vpn(networks):
    """To the neighbour as well, where a router of the site passes them on."""
    networks.load(added={"docker": {"from": ["site", "10.8.0.0/24"]}})
    try:
        assert networks.open("laptop", HOST, [2376, 8300]) == networks.open("laptop", MEMBER, [2376, 8300]) == [2376]
    finally:
        networks.load()


@pytest.mark.parametrize("scope", ["site", "overlay"])
def test_x3_a_member_s_address_counts_on_the_way_to_it_only(networks, scope):
    """Forged by a container, a guest, from another card; with a firewall that is off the tunnel's port alone is protected."""
    networks.load(scope=scope)
    try:
        for protocol, port in (("udp", 4789), ("udp", 8301), ("tcp", 2376)):
            for sender, gateway in (("container", "172.17.0.1"), ("shop", "172.20.0.1"), ("guest", HOST), ("office", HOST)):
                passes = scope == "overlay" and port != 4789
                assert networks.forge(sender, MEMBER, gateway, protocol, port) == passes, (sender, port)
            assert networks.forge("member", MEMBER, HOST, protocol, port), port
    finally:
        networks.load()


def test_x3_loopback_is_no_address_of_the_network(networks):
    """dockerd with userland-proxy false sets route_localnet: a neighbour that routes 127.0.0.1 to the host would reach it."""
    program = "import socket; s = socket.create_server(('127.0.0.1', 8500)); print('ready', flush=True); input()"
    networks.run("host", "sysctl -qw net.ipv4.conf.eth0.route_localnet=1 net.ipv4.conf.docker0.route_localnet=1")
    networks.serve("host", [], program)
    for sender, gateway in (("member", HOST), ("container", "172.17.0.1")):
        networks.run(sender, "sysctl -qw net.ipv4.conf.all.route_localnet=1 && ip addr del 127.0.0.1/8 dev lo")
        networks.run(sender, f"ip route del table local 127.0.0.0/8 dev lo; ip route add 127.0.0.1 via {gateway}")
    try:
        assert networks.open("member", "127.0.0.1", [22]) == networks.open("container", "127.0.0.1", [22, 8500]) == []
        networks.run("host", "nft delete table inet discovery")
        assert networks.open("member", "127.0.0.1", [8500]) == networks.open("container", "127.0.0.1", [8500]) == [8500]
    finally:
        networks.load()
        networks.run("host", "sysctl -qw net.ipv4.conf.eth0.route_localnet=0 net.ipv4.conf.docker0.route_localnet=0")
        for sender in ("member", "container"):
            networks.run(sender, "ip route del 127.0.0.1; ip addr add 127.0.0.1/8 dev lo")


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


@pytest.mark.parametrize(
    ("kind", "port", "server", "allowed"),
    [
        ("tcp", 4445, ECHO, {"tcp": [4445]}), ("udp", 51820, SERVE_UDP, {"udp": [51820]}),
        ("raw", 253, ECHO_RAW, {"protocols": ["253"]}), ("udp", PUBLISHED, "", {"udp": [PUBLISHED], "at": "published"}),
    ],
)  # fmt: skip
def test_w21_nothing_confirms_rules_for_being_established(networks, kind, port, server, allowed):
    """A tunnel to the host itself or to a container of it, by which the controller came before there were rules. It would pass
    until conntrack forgets it."""
    if server:
        networks.serve("host", [port], server)
    networks.run("host", "nft delete table inet discovery")
    try:
        with networks.conversation("external", kind, HOST, port) as answered:
            assert answered() == "answer"
            networks.load()
            assert answered() == "answer", "by conntrack"
            networks.load(unconfirmed=True)
            assert answered(1) == "silence"
            networks.load(added={"tunnel": {**allowed, "from": [EXTERNAL]}}, unconfirmed=True)
            assert answered() == "answer"
            networks.load()
            assert answered() == "answer", "what is confirmed leaves connections alone"
    finally:
        networks.load()


def test_w21_what_the_host_has_opened_goes_on(networks):
    """Its own connections to others, by protocols with ports, answers to them, and what the rules allow."""
    networks.serve("external", [4446], ECHO)
    networks.serve("external", [4447], SERVE_UDP)
    networks.serve("host", [9990], ECHO)
    talks = [("host", "tcp", EXTERNAL, 4446), ("host", "udp", EXTERNAL, 4447), ("external", "tcp", HOST, 9990)]
    with contextlib.ExitStack() as stack:
        asked = [stack.enter_context(networks.conversation(*talk)) for talk in talks]
        assert [answered() for answered in asked] == ["answer"] * 3
        networks.load(unconfirmed=True)
        try:
            assert [answered() for answered in asked] == ["answer"] * 3
            for sender, ports in (("external", [22, 80]), ("member", [22, 80, 8081, 8300, 8501]), ("container", [22, 80, 8081])):
                assert networks.open(sender, HOST, ports) == ports, sender
            assert networks.overlay("member") == OVERLAY
        finally:
            networks.load()


def test_f1_only_docker_hosts_reach_the_overlay_network(networks):
    assert networks.overlay("member") == OVERLAY
    found = each(networks.overlay, "external", "management", "container")
    assert found == {"external": CLOSED, "management": CLOSED, "container": CLOSED}


def test_f1_without_the_firewall_only_the_overlay_network_is_closed(networks):
    """discovery_firewall: false with an overlay network: nothing else is filtered."""
    networks.load(scope="overlay")
    try:
        assert networks.overlay("member") == OVERLAY
        found = each(networks.overlay, "external", "management", "container")
        assert found == {"external": CLOSED, "management": CLOSED, "container": CLOSED}
        for name in found:
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
        assert each(networks.overlay, "external", "member") == {"external": CLOSED, "member": OVERLAY}
        networks.load(scope=scope)
        assert each(networks.overlay, "external", "member") == {"external": CLOSED, "member": OVERLAY}
        networks.run("host", "nft delete table inet discovery_overlay")
        assert each(networks.overlay, "external", "member") == {"external": CLOSED, "member": OVERLAY}
    finally:
        networks.run("host", "nft delete table inet discovery_overlay || true")
        networks.load()
