"""What is asked of a cluster, and how Consul in a pod is asked: it proves itself before it gets a token."""

import base64
import contextlib
import hashlib
import http.server
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils import kubernetes_api
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import ApiError
from ansible_collections.fewnodes.discovery.plugins.module_utils.kubernetes_api import Cluster, ClusterError, PodApi
from ansible_collections.fewnodes.discovery.plugins.modules.kubernetes_facts import gather, gossip_digest, node_takes_pods
from tests.support.authority import Authority, serving

ROOT = Path(__file__).parents[3]


class Asked:
    """A cluster that answers from a table, and refuses paths and rights.

    :ivar reviews: what it was asked about the user's rights
    """

    def __init__(self, answers, forbidden=(), denied=()):
        self.answers, self.forbidden, self.denied, self.reviews = answers, forbidden, denied, []

    def get(self, path):
        if any(word in path for word in self.forbidden):
            raise ClusterError(f"GET {path}: 403 Forbidden", 403)
        return self.answers.get(path.partition("?")[0])

    def post(self, path, body):
        self.reviews.append(body["spec"]["resourceAttributes"])
        return {"status": {"allowed": body["spec"]["resourceAttributes"]["verb"] not in self.denied}}


def node(name, ready="True", **spec):
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


ANSWERS = {
    "/version": {"gitVersion": "v1.34.0"},
    "/api/v1/nodes": {"items": [node("b"), node("a"), node("off", ready="Unknown"), node("cordoned", unschedulable=True)]},
    "/apis/storage.k8s.io/v1/storageclasses": {"items": [
        {"metadata": {"name": "slow"}},
        {"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}},
    ]},
    "/api/v1/namespaces/n": {"metadata": {"name": "n", "labels": {"a": "b"}}},
    "/apis/apps/v1/namespaces/n/statefulsets/s": {"spec": {"replicas": 3, "volumeClaimTemplates": [
        {"spec": {"resources": {"requests": {"storage": "2Gi"}}, "storageClassName": "fast"}}
    ]}},
    "/api/v1/namespaces/n/persistentvolumeclaims": {"items": [{"metadata": {"name": "data-s-0"}}]},
    "/api/v1/namespaces/n/secrets/s-tls": {"data": {}},
    "/api/v1/namespaces/kube-system/configmaps/coredns": {"data": {"Corefile": ".:53 {\n}\n"}},
    "/api/v1/namespaces/n/secrets/s-gossip": {
        "data": {"gossip.json": base64.b64encode(b'{"encrypt": "sEcReT"}').decode()}
    },
}  # fmt: skip


def test_facts_of_a_cluster_without_its_secrets():
    found = gather(Asked(ANSWERS), "n", "s", "i")
    assert found == {
        "problem": "", "version": "v1.34.0", "missing_rights": [], "nodes": ["a", "b"],
        "storage_classes": {"slow": False, "fast": True}, "namespace": {"a": "b"}, "stateful_set": True, "claims": ["data-s-0"],
        "replicas": 3, "volume": {"size": "2Gi", "class": "fast"},
        "certificate": True, "gossip_digest": hashlib.sha256(b"sEcReT").hexdigest(),
        "corefile": ".:53 {\n}\n",
    }  # fmt: skip
    assert "sEcReT" not in json.dumps(found)


def test_facts_of_an_empty_cluster():
    found = gather(Asked({"/version": {"gitVersion": "v1.34.0"}, "/api/v1/nodes": {}}), "n", "s", "i")
    assert (found["nodes"], found["namespace"], found["claims"], found["gossip_digest"]) == ([], None, [], "")
    assert (found["stateful_set"], found["replicas"], found["volume"], found["certificate"]) == (False, 0, {}, False)


def test_what_the_user_may_not_read_is_no_error():
    found = gather(Asked(ANSWERS, forbidden=("/nodes", "/storageclasses", "/secrets", "/namespaces")), "n", "s", "i")
    assert (found["nodes"], found["storage_classes"], found["gossip_digest"], found["namespace"]) == (None, None, "", None)
    assert found["corefile"] is None


def test_rights_are_asked_one_by_one_and_empty_parts_left_out():
    rights = [
        {"group": "", "resource": "pods", "subresource": "portforward", "namespace": "n", "verb": "create"},
        {"group": "apps", "resource": "statefulsets", "subresource": "", "namespace": "n", "verb": "patch"},
    ]
    asked = Asked(ANSWERS, denied=("patch",))
    assert gather(asked, "n", "s", "i", rights)["missing_rights"] == rights[1:]
    assert asked.reviews[0] == {"resource": "pods", "subresource": "portforward", "namespace": "n", "verb": "create"}
    assert asked.reviews[1] == {"group": "apps", "resource": "statefulsets", "namespace": "n", "verb": "patch"}


def test_a_cluster_that_fails_is_an_error():
    class Broken(Asked):
        def get(self, path):
            raise ClusterError("GET /version: 500 Internal Server Error", 500)

    with pytest.raises(ClusterError, match="500"):
        gather(Broken({}), "n", "s", "i")


@pytest.mark.parametrize(
    ("spec", "takes"),
    [
        ({}, True),
        ({"taints": [{"key": "a", "effect": "PreferNoSchedule"}]}, True),
        ({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "a", "effect": "NoExecute"}]}, False),
    ],
)
def test_nodes_that_take_pods(spec, takes):
    assert node_takes_pods(node("a", **spec)) is takes


@pytest.mark.parametrize("secret", [None, {}, {"data": None}, {"data": {"gossip.json": "%"}}, {"data": {"gossip.json": "e30="}}])
def test_no_gossip_key(secret):
    assert gossip_digest(secret) == ""


def test_without_the_python_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(kubernetes_api, "kubernetes", None)
    with pytest.raises(ClusterError, match="pip install kubernetes"):
        Cluster()


def test_a_host_never_loads_the_client_of_kubernetes():
    """The module that runs on hosts knows pods, too; a host may have the package, which takes seconds to load."""
    code = "import sys\nfrom ansible_collections.fewnodes.discovery.plugins.modules import consul_acl_request\n"
    code += "assert not [name for name in sys.modules if 'kubernetes' in name]"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT / "collections")})


class Handler(http.server.BaseHTTPRequestHandler):
    """Consul, which answers with the request; 403 below /denied."""

    def do_PUT(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer({"path": self.path, "token": self.headers["X-Consul-Token"], "host": self.headers["Host"], "body": body})

    def do_GET(self):
        self._answer("ACL not found", 403) if self.path == "/denied" else self._answer({"path": self.path})

    def _answer(self, value, status=200):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def forwarded(port):
    """As the client of Kubernetes forwards a port: one end of a pair of sockets, threads carry the bytes. Yields connect and what
    went to the pod in clear."""
    heard, opened = [], []

    def carry(source, target, keep=None):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if keep is not None:
                    keep.append(data)
                target.sendall(data)
        end(target, socket.SHUT_WR)

    def end(one, how):
        """Also for a thread that waits for it, which a close alone does not wake."""
        with contextlib.suppress(OSError):
            one.shutdown(how)

    def connect():
        ours, theirs = socket.socketpair()
        pod = socket.create_connection(("127.0.0.1", port))
        opened.extend((theirs, pod))
        threading.Thread(target=carry, args=(theirs, pod, heard), daemon=True).start()
        threading.Thread(target=carry, args=(pod, theirs), daemon=True).start()
        return ours

    yield connect, heard
    for one in opened:
        end(one, socket.SHUT_RDWR)
        one.close()


def test_consul_in_a_pod_is_asked_over_tls(tmp_path):
    authority = Authority(tmp_path / "site")
    with serving(authority, Handler) as port, forwarded(port) as (connect, heard):
        api = PodApi(connect, "127.0.0.1", Path(authority.ca).read_text(), token="sEcReT")
        answer = api.put("/v1/acl/bootstrap", {"a": 1})
        assert answer == {"path": "/v1/acl/bootstrap", "token": "sEcReT", "host": "127.0.0.1", "body": {"a": 1}}
        assert api.get("/v1/x") == {"path": "/v1/x"}
        with pytest.raises(ApiError, match="403"):
            api.get("/denied")
        assert b"sEcReT" not in b"".join(heard)


IMPOSTORS = {"other CA": ("127.0.0.1", "other"), "other name": ("server.dc1.consul", "site")}


@pytest.mark.parametrize(("server", "ca"), IMPOSTORS.values(), ids=list(IMPOSTORS))
def test_a_pod_that_does_not_prove_itself_gets_no_token(tmp_path, server, ca):
    authorities = {name: Authority(tmp_path / name) for name in ("site", "other")}
    with serving(authorities["site"], Handler) as port, forwarded(port) as (connect, heard):
        api = PodApi(connect, server, Path(authorities[ca].ca).read_text(), token="sEcReT")
        with pytest.raises(OSError, match=r"CERTIFICATE|certificate"):
            api.put("/v1/acl/bootstrap", {})
        assert b"sEcReT" not in b"".join(heard)


def test_a_proxy_of_the_environment_is_not_used(tmp_path, monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    authority = Authority(tmp_path / "site")
    with serving(authority, Handler) as port, forwarded(port) as (connect, _):
        assert PodApi(connect, "127.0.0.1", Path(authority.ca).read_text()).get("/v1/x") == {"path": "/v1/x"}
