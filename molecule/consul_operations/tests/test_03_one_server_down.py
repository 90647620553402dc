"""One of three servers is stopped: the status names it, and no operation costs the quorum or data (K8, K9, K10)."""

import functools
import re

import pytest
from tests.support.cluster import alive, known, others_of, peers, unhealthy, victim
from tests.support.playbook import play, status_page
from tests.support.wait import eventually, side_by_side


@pytest.fixture(scope="module")
def down(site):
    """The server whose agent is stopped; the others have missed it."""
    site.settle()
    ill = victim(site)
    asked = others_of(site, ill)[0]
    ill.run("systemctl stop consul")
    try:
        eventually(lambda: not alive(site, ill.name, asked), 60)
        eventually(lambda: unhealthy(site, asked) == [ill.name], 60)  # to a new leader all are ill at first
        yield ill
    finally:
        ill.run("systemctl start consul")
        site.settle(180)


@pytest.fixture
def unseen(site, down):
    """A docker host with a container that its stopped registrator misses."""
    node = others_of(site, down)[-1]
    node.run("docker stop registrator")
    try:
        node.run("docker run -d --name unseen -P -e SERVICE_NAME=unseen httpbackend:v1.0.0")
        yield node
    finally:
        node.run("docker rm -f unseen; docker start registrator")


def test_status_reports_problems(site, down, unseen):
    text, code = status_page(site, "-e", "status_strict=true")
    assert code != 0, "strict"
    assert f"{down.name}: consul is failed" in text, "Consul ends with 1 when it is stopped"
    assert f"autopilot: {down.name} not healthy" in text
    assert f"{unseen.name}: registrator does not run" in text
    assert f"{unseen.name}: not in the catalog: unseen ({unseen.name}:unseen:" in text
    assert re.search(r"\d+ things wrong", text)


@pytest.fixture(scope="module")
def peers_before(site, down):
    """The voters of Raft, before any run that is refused."""
    return peers(site)


@pytest.fixture(scope="module")
def refusals(site, down, peers_before):
    """The runs that are refused, by their playbook. At the same time: each stops before it changes anything."""
    runs = {
        "remove_node": ("-e", f"remove_host={others_of(site, down)[-1].name}"),
        "replace_node": ("-e", f"replace_host={down.name}"),
        "recover_quorum": (),
    }
    plays = (functools.partial(play, site, f"playbooks/{name}.yml", *options) for name, options in runs.items())
    return dict(zip(runs, (done for done, _ in side_by_side(plays)), strict=True))


def test_k9_a_server_is_not_removed_when_that_costs_the_quorum(site, down, refusals):
    node, done = others_of(site, down)[-1], refusals["remove_node"]
    assert done.returncode != 0
    assert f"not healthy: {down.name}" in " ".join(done.stdout.split()), done.stdout[-3000:]
    assert node.unit("consul", "ActiveState", "UnitFileState") == ["active", "enabled"]
    assert known(site, node.name) == ["raft", "gossip", "catalog"]


def test_k8_a_host_that_is_not_empty_is_not_replaced(site, down, refusals):
    done = refusals["replace_node"]
    assert done.returncode != 0
    assert "is not empty" in " ".join(done.stdout.split()), done.stdout[-3000:]
    assert known(site, down.name) == ["raft", "gossip", "catalog"]


def test_k10_nothing_is_recovered_without_need_or_confirmation(site, down, peers_before, refusals):
    """With a confirmation it starts the server, which was only stopped. So this is the last test of the module."""
    done = refusals["recover_quorum"]
    assert done.returncode != 0
    assert f"recover_datacenter={site.datacenter}" in " ".join(done.stdout.split())
    assert peers(site) == peers_before
    done, _ = play(site, "playbooks/recover_quorum.yml", "-e", f"recover_datacenter={site.datacenter}")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Nothing was done" in " ".join(done.stdout.split())
    eventually(lambda: alive(site, down.name), 30)
    assert peers(site) == peers_before
