"""S4: containers of all hosts reach each other; the ports that carry the network answer its members only."""

import json
import re

import pytest
from tests.support.overlay_reach import FORGE, IMAGE, LARGE, UDP_PORT, network_name, pings, python, summary
from tests.support.wait import eventually

PACKETS = 50  # from each container to each other one
TABLE = "inet discovery"


def ports(site) -> list[int]:
    """The TCP ports of the overlay network."""
    return [7946, 2377] if site.docker_hosts[0].variables["discovery_overlay"] == "swarm" else [7946]


def answers(node, address: str, port: int) -> str:
    """What a machine gets on a TCP port: open, refused or silence."""
    result = node.tries(f"timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/{port}'")
    return "open" if result.rc == 0 else "silence" if result.rc == 124 else "refused"


def dropped(node) -> int:
    """How many packets to ports of the overlay network the firewall of a host has dropped."""
    counted = re.findall(r'counter packets (\d+) bytes \d+ drop comment "overlay network"', node.run(f"nft list table {TABLE}"))
    assert counted, f"{node.name} has no rule that drops packets to the overlay network"
    return sum(map(int, counted))


def tunnel(site, node) -> int:
    """The number (VNI) of the network's tunnel on a host."""
    (network,) = json.loads(node.run(f"docker network inspect {network_name(site)}"))
    links = node.run(f"nsenter --net=$(ls /run/docker/netns/*-{network['Id'][:10]}) ip -j -d link show type vxlan")
    return json.loads(links)[0]["linkinfo"]["info_data"]["id"]


def test_s4_containers_reach_each_other_by_name_and_address(site, talkers, show):
    """TCP carries a megabyte: more than one packet holds, so that one too large for the way would show."""
    anyone = talkers()
    calls = [(one, other, asked) for one in anyone for other in anyone for asked in (other.name, other.address)]

    def all_arrive() -> bool:
        for one, other, asked in calls:
            assert one.call(asked) == (other.address, other.name, len(other.name) + 1 + LARGE), f"{one.name} → {asked}"
        return True

    # A host has been rebooted just before: its containers' names have to get around first.
    _, seconds = eventually(all_arrive, 60)
    show(f"TCP by name and address between {len(anyone)} containers: {len(calls)} of as many, after {seconds:.1f} s")


@pytest.mark.more
def test_s4_no_packet_is_lost_between_hosts(talkers, show):
    losses = pings(talkers(), PACKETS)
    show(f"ping across hosts: {summary(losses)}")
    assert sum(sent for sent, _ in losses.values()) == PACKETS * len(losses)
    assert not any(lost for _, lost in losses.values()), losses


@pytest.mark.more
def test_s4_tcp_ports_of_the_network_answer_members_only(site, external_host, show):
    """Port 22 shows that the external host is heard; a member that is answered shows that the port is in use."""
    for node in site.docker_hosts:
        member = next(one for one in site.docker_hosts if one is not node)
        assert answers(external_host, node.address, 22) == "open"
        got = {port: (answers(member, node.address, port), answers(external_host, node.address, port)) for port in ports(site)}
        assert got == dict.fromkeys(ports(site), ("open", "silence")), node.name
    show(f"TCP {', '.join(map(str, ports(site)))}: open for a docker host, silence for an external host")


def test_s4_packets_of_an_external_host_are_dropped(site, external_host, show):
    """Every port of the network, the UDP ones too, by the filter's own count; a member's packets are not in it."""
    node, member = site.docker_hosts[0], site.docker_hosts[1]
    udp = "for port in 7946 4789; do echo x >/dev/udp/{}/$port; done"
    before = dropped(node)
    member.run(f"bash -c '{udp.format(node.address)}'")
    assert dropped(node) == before
    external_host.run(f"bash -c '{udp.format(node.address)}'")
    eventually(lambda: dropped(node) == before + 2, 5)
    for port in ports(site):
        answers(external_host, node.address, port)
    counted = dropped(node) - before
    show(f"{counted} packets of an external host to {2 + len(ports(site))} ports dropped")
    assert counted >= 2 + len(ports(site))


@pytest.mark.more
@pytest.mark.parametrize("sender", ["member", "external host"])
def test_s4_external_hosts_inject_no_packets(site, talkers, external_host, sender):
    """A forged frame for a container: from a docker host it arrives, so it is a good one; from an external host it does not."""
    target = talkers()[0]
    source = site.docker_hosts[1] if sender == "member" else external_host
    text = f"forged-by-{sender}-{target.pid}"
    values = [target.node.address, tunnel(site, target.node), target.mac, target.address, UDP_PORT, text, ""]
    before = dropped(target.node)
    source.run(python(FORGE, *map(str, values)))
    if sender == "member":
        eventually(lambda: text in target.heard(), 5)
    else:
        eventually(lambda: dropped(target.node) == before + 1, 5)
        assert text not in target.heard()


@pytest.mark.more
def test_s4_a_container_injects_no_packets_as_a_member(site, talkers):
    """It may put any address on its packets; a docker host's counts on the interface of the route to it only."""
    target, member = talkers()[0], site.docker_hosts[1]
    text = f"forged-by-container-{target.pid}"
    forged = re.compile(r'counter packets (\d+) bytes \d+ drop comment "address of a member"')
    values = [target.node.address, tunnel(site, target.node), target.mac, target.address, UDP_PORT, text, member.address]
    before = int(forged.search(target.node.run(f"nft list table {TABLE}"))[1])
    program = python(FORGE, *map(str, values))
    target.node.run(f"docker run --rm --network bridge --entrypoint '' -e SERVICE_IGNORE=1 {IMAGE} {program}")
    eventually(lambda: int(forged.search(target.node.run(f"nft list table {TABLE}"))[1]) == before + 1, 5)
    assert text not in target.heard()
