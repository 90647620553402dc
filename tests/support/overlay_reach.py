"""Containers on the overlay network, one on each docker host, and what they lose of each other's packets."""

from __future__ import annotations

import base64
import json
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.site import Node, Site

IMAGE = "httpbackend:v1.0.0"  # any of the site's images: python3 is all it takes
TCP_PORT, UDP_PORT = 8099, 8098
LARGE = 1 << 20  # bytes: more than fit into one packet, so a wrong MTU shows

# Answers every connection with the container's name and a megabyte, and keeps the datagrams it gets in a file.
TALKER = f"""
import socket, threading
server = socket.create_server(("", {TCP_PORT}))
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind(("", {UDP_PORT}))
def listen():
    while True:
        data = heard.recv(2048)
        with open("/tmp/heard", "ab") as file:
            file.write(data + b"\\n")
threading.Thread(target=listen, daemon=True).start()
def answer(connection):
    with connection:
        connection.sendall(socket.gethostname().encode() + b" " + bytes({LARGE}))
while True:
    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"""
# Connects to a name or an address; prints the peer's address, what it calls itself, and the bytes that came.
CALL = f"""
import socket, sys
with socket.create_connection((sys.argv[1], {TCP_PORT}), 5) as connection:
    data = b""
    while part := connection.recv(65536):
        data += part
    print(connection.getpeername()[0], data.split(b" ")[0].decode(), len(data))
"""
# A frame for a container in the tunnel's format (RFC 7348), as any machine can write it: to host, VNI, MAC and address.
FORGE = """
import socket, struct, sys
host, vni, mac, address, port, text, pretended = sys.argv[1:]  # pretended: source address of the tunnel's packet, "" for the own
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
payload = text.encode()
source, target = socket.inet_aton(address)[:2] + bytes([255, 254]), socket.inet_aton(address)
datagram = struct.pack("!HHHH", 4444, int(port), 8 + len(payload), 0) + payload
header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0, source, target)
header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
frame = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("02fefefefefe") + b"\\x08\\x00" + header + datagram
tunnel = struct.pack("!II", 0x08000000, int(vni) << 8)
if pretended:
    outer = struct.pack("!HHHH", 4444, 4789, 16 + len(frame), 0) + tunnel + frame
    ends = socket.inet_aton(pretended) + socket.inet_aton(host)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.sendto(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(outer), 1, 0, 64, 17, 0) + ends + outer, (host, 0))
else:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(tunnel + frame, (host, 4789))
"""


def python(program: str, *arguments: str) -> str:
    """The shell command that runs a program, whatever characters are in it."""
    packed = base64.b64encode(program.encode()).decode()
    start = f"import base64; exec(base64.b64decode('{packed}'))"
    return shlex.join(["python3", "-c", start, *arguments])


@dataclass(frozen=True)
class Talker:
    """A container on the overlay network.

    :ivar address: its address there
    :ivar mac: its hardware address there
    :ivar pid: its first process, as its host numbers it
    """

    node: Node
    name: str
    address: str
    mac: str
    pid: int

    def call(self, other: str) -> tuple[str, str, int]:
        """TCP to a name or an address: the peer's address, the name it gives itself, and the bytes that came."""
        address, name, size = self.node.run(f"docker exec {self.name} {python(CALL, other)}").split()
        return address, name, int(size)

    def lost(self, other: Talker, count: int, every: float = 0.1) -> tuple[int, int]:
        """ICMP to another's address: packets sent and lost. Needs no dockerd: it runs in the container's network."""
        command = f"nsenter --target {self.pid} --net ping -n -c {count} -i {every} -W 2 {other.address}"
        match = re.search(r"(\d+) packets transmitted, (\d+) received", self.node.tries(command).stdout)
        assert match, f"{self.name}: no answer from ping"
        sent, received = map(int, match.groups())
        return sent, sent - received

    def heard(self) -> list[str]:
        """The datagrams that have come to it."""
        return self.node.tries(f"docker exec {self.name} cat /tmp/heard").stdout.splitlines()


def network_name(site: Site) -> str:
    """The name of the overlay network."""
    return site.docker_hosts[0].variables.get("discovery_overlay_network", "discovery")


def start_talker(node: Node, network: str) -> Talker:
    """Start a container on the network that is in nobody's way: it publishes nothing and is not registered."""
    name = f"talker-{node.name}"
    options = f"--name {name} --hostname {name} --network {network} --restart always --stop-signal KILL -e SERVICE_IGNORE=1"
    node.tries(f"docker rm -f {name}")
    node.run(f"docker run -d {options} --entrypoint '' {IMAGE} {python(TALKER)}")
    return look(node, name, network)


def look(node: Node, name: str, network: str) -> Talker:
    """A container that runs; it may have other addresses than before."""
    container = json.loads(node.run(f"docker inspect {name}"))[0]
    end = container["NetworkSettings"]["Networks"][network]
    assert container["State"]["Running"] and end["IPAddress"], f"{name} has no address yet"
    return Talker(node, name, end["IPAddress"], end["MacAddress"], container["State"]["Pid"])


def pings(talkers: list[Talker], count: int, every: float = 0.1) -> dict[str, tuple[int, int]]:
    """Packets sent and lost from each container to each other one, all at once."""
    pairs = [(one, other) for one in talkers for other in talkers if one is not other]
    with ThreadPoolExecutor(len(pairs)) as pool:
        found = list(pool.map(lambda pair: pair[0].lost(pair[1], count, every), pairs))
    return {f"{one.node.name} → {other.node.name}": lost for (one, other), lost in zip(pairs, found, strict=True)}


def summary(losses: dict[str, tuple[int, int]]) -> str:
    """Losses, as text."""
    sent, lost = (sum(pair[n] for pair in losses.values()) for n in (0, 1))
    return f"{lost} of {sent} packets lost" + "".join(f", {pair}: {n}" for pair, (_, n) in losses.items() if n)
