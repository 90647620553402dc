"""S3: one overlay network, the same on every docker host, whatever restarts."""

import json
import re
import time

import pytest
from tests.support.docker import restart_dockerd
from tests.support.overlay_reach import network_name, pings, summary
from tests.support.reboot import reboot
from tests.support.wait import eventually


def network_on(site, node) -> dict:
    """The overlay network as one dockerd reports it."""
    (found,) = json.loads(node.run(f"docker network inspect {network_name(site)}"))
    return {key: found[key] for key in ("Id", "Name", "Driver", "Scope")} | {
        "subnets": [config["Subnet"] for config in found["IPAM"]["Config"]]
    }


def networks(site) -> dict:
    return {node.name: network_on(site, node) for node in site.docker_hosts}


def talks(talkers):
    """Whether nothing is lost between any two containers; an AssertionError while there is."""
    losses = pings(talkers(), 2, 0.2)
    assert not any(lost for _, lost in losses.values()), summary(losses)
    return True


def test_s3_every_docker_host_has_the_same_network(site, talkers, show):
    assert talks(talkers)
    found = networks(site)
    one = found[site.docker_hosts[0].name]
    variables = site.docker_hosts[0].variables
    show(f"{one['Name']} {one['Id'][:12]}, {one['subnets'][0]}, on {', '.join(found)}")
    assert set(map(str, found.values())) == {str(one)}
    assert one["subnets"] == [variables.get("discovery_overlay_subnet", "10.90.0.0/16")]
    assert (one["Driver"], one["Scope"]) == ("overlay", {"swarm": "swarm", "consul": "global"}[variables["discovery_overlay"]])


@pytest.mark.more
def test_s3_network_outlives_a_restart_of_dockerd(site, settled, talkers, show):
    before, node = networks(site), site.docker_hosts[0]
    start = time.monotonic()
    restart_dockerd(node)
    restarted = time.monotonic() - start
    eventually(lambda: networks(site) == before, 60)
    eventually(lambda: talks(talkers), 60)
    seconds = time.monotonic() - start
    show(f"dockerd of {node.name} restarted in {restarted:.1f} s, all reach each other {seconds:.1f} s after the stop")


@pytest.mark.more
def test_s3_network_outlives_a_reboot(site, settled, talkers, show):
    before, node = networks(site), site.docker_hosts[-1]
    start = time.monotonic()
    reboot([node])
    eventually(lambda: networks(site) == before, 120)
    eventually(lambda: talks(talkers), 120)
    show(f"{node.name} rebooted, all reach each other {time.monotonic() - start:.1f} s after the stop")


@pytest.mark.more
@pytest.mark.overlay("consul")
def test_s3_packets_for_a_wrong_host_are_redirected(site, settled, talkers, show):
    """What a crash of a host leaves behind when another host gets its addresses: the table of a third one is wrong."""
    one, other, third = talkers()[:3]
    listed = one.node.run(f"ls -d /run/docker/netns/*-{network_on(site, one.node)['Id'][:8]}* | sort -V | tail -1")
    table = f"nsenter --net={listed.strip()} bridge fdb"
    assert one.lost(other, 2)[1] == 0
    (known,) = re.findall(rf"{other.mac} dev (\S+) dst (\S+)", one.node.run(f"{table} show"))
    assert known[1] == other.node.address
    one.node.run(f"{table} replace {other.mac} dev {known[0]} dst {third.node.address} self permanent")
    assert one.lost(other, 2)[1] == 2
    _, seconds = eventually(lambda: one.lost(other, 1)[1] == 0, 30)
    show(f"packets to the wrong host: led back after {seconds:.1f} s")
