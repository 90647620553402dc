"""Q2, Q3: servers go and come back, one at a time, under a client that writes; so does the StatefulSet."""

import time

import pytest
from tests.support.kubernetes_cluster import NAMESPACE, READY, SERVERS, is_ready
from tests.support.playbook import play, recap
from tests.support.wait import Repeating, eventually

PLAYBOOK = "playbooks/consul_kubernetes.yml"
GAP = 5  # seconds
PODS = [f"{SERVERS}-{number}" for number in range(3)]


class Voters(Repeating):
    """How many servers are ready, over and over."""

    pause = 1

    def __init__(self, cluster):
        super().__init__()
        self.cluster, self.seen = cluster, [3]

    def step(self) -> None:
        self.seen.append(self.cluster.ready())


@pytest.fixture
def watched(cluster, healthy, show):
    """A client writes and the servers are counted; afterwards the bounds are checked."""
    with cluster.writer("kube-1") as writer, Voters(cluster) as voters:
        yield writer
        cluster.settle()
        time.sleep(1)
        gap, lost, least = writer.gap(), writer.lost(), min(voters.seen)
        show(f"longest gap {gap:.1f} s, {len(writer.acknowledged())} writes, {len(lost)} lost, at least {least} servers ready")
    assert lost == [] and least >= 2 and gap <= GAP


def replaced(cluster, pod: str, uid: str) -> None:
    """Wait until there is another pod of that name, which is ready."""

    def again() -> bool:
        found = next((one for one in cluster.pods() if one["metadata"]["name"] == pod), None)
        return bool(found) and found["metadata"]["uid"] != uid and is_ready(found)

    eventually(again, READY, every=1)
    cluster.settle()


def uid_of(cluster, pod: str) -> str:
    return cluster.get("-n", NAMESPACE, "pod", pod)["metadata"]["uid"]


def test_q2_each_pod_deleted(cluster, watched):
    for pod in PODS:
        uid = uid_of(cluster, pod)
        cluster.kubectl("-n", NAMESPACE, "delete", "pod", pod, "--wait=false")
        replaced(cluster, pod, uid)


def test_q2_each_node_drained(cluster, watched):
    for pod in PODS:
        uid, node = uid_of(cluster, pod), cluster.node_of(pod)
        try:
            cluster.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s")
        finally:
            cluster.kubectl("uncordon", node)  # its volume is on that node
        replaced(cluster, pod, uid)


def test_q2_the_leader_killed(site, cluster, watched):
    leader = cluster.leader()
    restarts = cluster.get("-n", NAMESPACE, "pod", leader)["status"]["containerStatuses"][0]["restartCount"]
    site.nodes[cluster.node_of(leader)].run("pkill -9 -x consul")

    def again() -> bool:
        status = cluster.get("-n", NAMESPACE, "pod", leader)["status"]
        return status["containerStatuses"][0]["restartCount"] > restarts

    eventually(again, READY, every=1)
    cluster.settle()


def test_q2_kubelet_restarted_on_each_node(site, cluster, watched):
    before = {pod: uid_of(cluster, pod) for pod in PODS}
    for node in site.nodes.values():
        node.run("systemctl restart kubelet")
        cluster.settle()
    assert {pod: uid_of(cluster, pod) for pod in PODS} == before


def test_q3_the_stateful_set_deleted_and_applied_again(site, cluster, healthy):
    with cluster.consul() as consul:
        consul.put("/v1/kv/kept", "value")
        ids = {one["Node"]: one["ID"] for one in consul.get("/v1/operator/raft/configuration")["Servers"]}
    claims = {one["metadata"]["name"]: one["spec"]["volumeName"] for one in cluster.get("-n", NAMESPACE, "pvc")["items"]}
    cluster.kubectl("-n", NAMESPACE, "delete", "statefulset", SERVERS, "--wait=true")
    eventually(lambda: not cluster.pods(), READY, every=1)
    done, _ = play(site, PLAYBOOK)
    assert done.returncode == 0, done.stdout[-3000:]
    assert recap(done)["cluster"]["changed"] == 1
    cluster.settle()
    with cluster.consul() as consul:
        assert consul.get("/v1/kv/kept?raw") == "value"
        assert {one["Node"]: one["ID"] for one in consul.get("/v1/operator/raft/configuration")["Servers"]} == ids
    assert {one["metadata"]["name"]: one["spec"]["volumeName"] for one in cluster.get("-n", NAMESPACE, "pvc")["items"]} == claims
