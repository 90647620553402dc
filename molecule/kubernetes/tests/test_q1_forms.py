"""Q1, Q4, Q8: three servers form on the cluster, nothing changes without a reason, and others reach what they may."""

import json

import pytest
from tests.support.kubernetes_cluster import ELSEWHERE, NAMESPACE, SERVERS
from tests.support.playbook import assert_unchanged, play
from tests.support.secret_search import in_text, note, patterns

PLAYBOOK = "playbooks/consul_kubernetes.yml"
# In a pod: which ports of a server take a connection, what an anonymous caller gets, which names there are.
PROBE = """
import http.client, json, socket, ssl, time
server = "consul-server-0.consul-server.consul.svc"
def takes(port):
    try:
        socket.create_connection((server, port), timeout=3).close()
    except OSError:
        return False
    return True
# The node of a server hears of a new pod some seconds after its start.
for attempt in range(60):
    if takes(8501):
        break
    time.sleep(1)
def status(method, path):
    tls = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("consul.consul.svc", 8501, timeout=10, context=tls)
    connection.request(method, path, body="x" if method == "PUT" else None)
    answer = connection.getresponse()
    return [answer.status, answer.read().decode(errors="replace")[:200]]
def address(name):
    # kubelet may take a minute to bring a changed ConfigMap to CoreDNS.
    for attempt in range(120):
        try:
            return sorted({found[4][0] for found in socket.getaddrinfo(name, 8300, type=socket.SOCK_STREAM)})
        except OSError as error:
            problem = str(error)
        time.sleep(1)
    return problem
print(json.dumps({
    "ports": {port: takes(port) for port in (8300, 8301, 8501, 8600)},
    "kv": status("GET", "/v1/kv/writer/1"), "write": status("PUT", "/v1/kv/elsewhere"),
    "nodes": status("GET", "/v1/catalog/nodes"),
    "ui": status("GET", "/ui/"), "name": address("consul.service.consul"),
}))
"""


@pytest.fixture(scope="module")
def probed(cluster) -> dict:
    """What a pod of another namespace finds."""
    cluster.settle()
    cluster.namespace(ELSEWHERE)
    return json.loads(cluster.run_python(ELSEWHERE, "probe", PROBE, 240))


def test_q1_three_voters_with_a_leader(cluster, show):
    show(f"healthy after {cluster.settle():.0f} s more")
    with cluster.consul() as consul:
        voters = [one for one in consul.get("/v1/operator/raft/configuration")["Servers"] if one["Voter"]]
        members = consul.get("/v1/agent/members")
    assert len(voters) == 3 and sum(one["Leader"] for one in voters) == 1
    assert {one["Name"]: one["Status"] for one in members} == {f"{SERVERS}-{number}": 1 for number in range(3)}
    assert len({cluster.node_of(f"{SERVERS}-{number}") for number in range(3)}) == 3


def test_q1_gossip_rpc_and_acl_are_those_of_the_site(cluster):
    with cluster.consul() as consul:
        debug = consul.get("/v1/agent/self")["DebugConfig"]
        (keys, *_) = [one["Keys"] for one in consul.get("/v1/operator/keyring")]
        tokens = {one["Description"] for one in consul.get("/v1/acl/tokens")}
    assert list(keys) == [(cluster.secrets / "gossip_key").read_text().strip()]
    assert debug["TLS"]["InternalRPC"]["VerifyIncoming"] and debug["TLS"]["InternalRPC"]["VerifyServerHostname"]
    assert debug["ACLsEnabled"] and debug["ACLResolverSettings"]["ACLDefaultPolicy"] == "deny"
    assert tokens


def test_q1_the_log_of_each_server_names_the_leader_and_no_error_of_tls(cluster):
    for number in range(3):
        log = cluster.kubectl("-n", NAMESPACE, "logs", f"{SERVERS}-{number}", "--tail=-1")
        assert "cluster leadership acquired" in log or "New leader elected" in log
        assert "tls: bad certificate" not in log and "x509:" not in log


def test_q1_the_ui_answers_by_the_name_of_its_service(probed):
    status, text = probed["ui"]
    assert status == 200 and "<!DOCTYPE html>" in text


def test_q4_a_second_run_and_check_mode_change_nothing(site, cluster):
    cluster.settle()
    before = {pod["metadata"]["uid"] for pod in cluster.pods()}
    assert_unchanged(play(site, PLAYBOOK)[0])
    assert_unchanged(play(site, PLAYBOOK, "--check", "--diff")[0])
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} == before


def test_q8_a_pod_of_another_namespace_reaches_the_api_and_names_only(probed):
    assert probed["ports"] == {"8300": False, "8301": False, "8501": True, "8600": True}


def test_q8_anonymous_reads_and_writes_nothing(probed):
    assert probed["kv"][0] == 403 and probed["write"][0] == 403
    assert probed["nodes"] == [200, "[]"]


def test_names_of_consul_resolve_in_pods(probed, cluster):
    """By the block in the configuration of CoreDNS."""
    assert probed["name"] == sorted(pod["status"]["podIP"] for pod in cluster.pods())


def test_objects_that_many_may_read_have_no_secret(site, cluster):
    """All of the namespace but Secrets; and what is said of them in events."""
    kinds = (
        "pods,configmaps,services,statefulsets,controllerrevisions,persistentvolumeclaims,networkpolicies,events,endpointslices"
    )
    text = cluster.kubectl("-n", NAMESPACE, "get", kinds, "-o", "yaml")
    logs = "".join(cluster.kubectl("-n", NAMESPACE, "logs", f"{SERVERS}-{number}", "--tail=-1") for number in range(3))
    assert in_text(text + logs, patterns(note(site))) == []
