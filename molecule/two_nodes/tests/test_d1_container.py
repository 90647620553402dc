"""D1: Consul's agents run in containers that belong to units of the host; dockerd has no part in them."""

import base64
import json
import urllib.error

import pytest
from tests.support.clients import FRONT_BODY, http_get
from tests.support.cluster import members, peers, put, wipe
from tests.support.playbook import play, refused
from tests.support.reboot import crash, power_on
from tests.support.wait import eventually

BUNDLE = "/usr/local/lib/consul-container"


def agent(node) -> int:
    """The process of the agent."""
    return int(node.unit("consul", "MainPID")[0])


def kept(site, server) -> bool:
    """Whether a server has what was written."""
    (entry,) = site.consul(server).get("/v1/kv/d1?stale")
    return base64.b64decode(entry["Value"]) == b"kept"


def succeeded(site, playbook: str, *options) -> None:
    done, _ = play(site, playbook, *options)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]


def test_d1_two_servers_are_asked_for_by_name(site, settled):
    refused(site, ["consul_servers lists 2 servers", "consul_allow_even_servers: true"], "-e", "consul_allow_even_servers=false")
    for playbook in ("warnings", "status"):  # the first is the last part of site.yml
        done, _ = play(site, f"playbooks/{playbook}.yml")
        text = " ".join(done.stdout.split())
        assert "2 Consul servers" in text and "none may fail" in text, done.stdout[-3000:]


@pytest.mark.on("consul_servers")
def test_d1_the_agent_is_in_a_container_of_its_unit(node, show):
    """Its own mounts and processes, no privilege but a port below 1024; its journal is the unit's."""
    pid = agent(node)
    for kind in ("mnt", "pid", "ipc"):
        assert node.run(f"readlink /proc/{pid}/ns/{kind}") != node.run(f"readlink /proc/1/ns/{kind}"), kind
    assert node.run(f"readlink /proc/{pid}/ns/net") == node.run("readlink /proc/1/ns/net")
    wanted = {"CapEff": "400", "CapBnd": "400", "NoNewPrivs": "1", "Seccomp": "2"}
    found = dict(line.split(":", 1) for line in node.run(f"cat /proc/{pid}/status").splitlines())
    assert {name: found[name].strip().lstrip("0") for name in wanted} == wanted
    assert node.run(f"stat -c %U /proc/{pid}").strip() == "consul"
    assert "/consul.service/agent" in node.run(f"cat /proc/{pid}/cgroup")
    (listed,) = json.loads(node.run("runc --root /run/consul-container list -f json"))
    assert (listed["id"], listed["pid"], listed["status"]) == ("consul", pid, "running")
    assert node.run(f"journalctl -u consul.service _PID={pid} -n 1 -o cat")
    show(f"{node.name}: {node.run(f'readlink /proc/{pid}/exe').strip()} in {listed['bundle']}")


@pytest.mark.on("consul_servers")
def test_d1_it_is_created_anew_and_keeps_data_and_name(site, settled, node, show):
    put(site, "d1", "kept")
    before, pid = peers(site), agent(node)
    node.run(f"systemctl stop consul && rm -r {BUNDLE}")
    assert node.run("runc --root /run/consul-container list -q") == ""
    succeeded(site, "site.yml")
    site.settle()
    assert peers(site) == before and agent(node) != pid
    assert {member["Status"] for member in members(site).values()} == {1}
    assert kept(site, node)


@pytest.mark.on("consul_servers")
def test_d1_it_returns_after_kill(site, settled, node, show):
    show(f"{node.name}: consul runs again after {node.kill('consul'):.1f} s")


@pytest.mark.on("docker_hosts")
def test_d1_it_outlives_dockerd_and_containerd(site, settled, node):
    before = agent(node)
    node.run("systemctl restart docker")
    node.kill("docker")
    node.run("systemctl restart containerd")
    assert agent(node) == before


def test_d1_one_of_two_is_lost(site, settled, show):
    """Names and balancer go on; nothing is written until it is back."""
    lost = next(node for node in site.servers if node not in site.balancers)
    (left,) = [node for node in site.servers if node is not lost]
    crash([lost])
    try:
        eventually(lambda: site.consul(left).get("/v1/status/leader") == "", 60)
        _, seconds = eventually(
            lambda: http_get(left.address, site.host_of("httpfront")).body == FRONT_BODY
            and left.tries(f"getent ahostsv4 {site.name_of('httpbackend')}").rc == 0, 30, every=0.5
        )  # fmt: skip
        show(f"without a quorum: names and balancer answer {seconds:.1f} s after the loss of the leader was seen")
        # Consul holds a write for some seconds, in which a leader may come.
        with pytest.raises((urllib.error.HTTPError, TimeoutError)):
            site.consul(left).put("/v1/kv/d1", b"lost")
        assert left.run("discovery-balancer status || true")
    finally:
        power_on([lost])
    show(f"healthy again {site.settle(180):.0f} s after power came back")
    put(site, "d1", "written again")


def test_d1_the_other_one_becomes_the_cluster(site, settled, show):
    """recover_quorum.yml, and the lost server comes back empty."""
    lost = next(node for node in site.servers if node not in site.balancers)
    (left,) = [node for node in site.servers if node is not lost]
    put(site, "d1", "kept")
    wipe(lost)
    eventually(lambda: site.consul(left).get("/v1/status/leader") == "", 60)
    succeeded(site, "playbooks/recover_quorum.yml", "-e", f"recover_datacenter={site.datacenter}")
    assert list(peers(site, left)) == [left.name]
    succeeded(site, "playbooks/replace_node.yml", "-e", f"replace_host={lost.name}")
    show(f"two servers again after {site.settle(180):.0f} s")
    assert set(peers(site)) == {node.name for node in site.servers}
    assert kept(site, lost)


def test_d1_operations_are_those_of_any_agent(site, settled):
    for playbook in ("backup", "rotate_gossip_key", "rotate_certificates", "rotate_tokens"):
        succeeded(site, f"playbooks/{playbook}.yml")
        site.settle()
    for balancer in site.balancers:
        eventually(lambda b=balancer: b.run("discovery-balancer status"), 60)
    succeeded(site, "playbooks/status.yml")


def test_d1_to_the_host_and_back(site, settled, show):
    """One agent after the other; nothing of the container is left on the host."""
    before = peers(site)
    for deployment, left in (("host", 1), ("container", 0)):
        succeeded(site, "site.yml", "-e", f"consul_deployment={deployment}")
        site.settle()
        for node in site.servers:
            same = node.run(f"readlink /proc/{agent(node)}/ns/mnt") == node.run("readlink /proc/1/ns/mnt")
            show(f"{node.name}: {deployment}, in the host's mounts: {same}")
            assert node.tries(f"test -e {BUNDLE}").rc == left
            assert node.run("runc --root /run/consul-container list -q").split() == ([] if left else ["consul"])
        assert peers(site) == before
