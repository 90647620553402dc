"""Bad input for Consul on Kubernetes is refused before anything changes, with variable, host, value and what to set."""

import hashlib

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import consul_settings
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.kubernetes_checks import (
    cluster_problems,
    needed_rights,
    settings_problems,
)
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.site import even_servers_problem
from kubernetes_settings import settings

ALL_SECRETS = ["ca.key", "ca.pem", "gossip_key", "management_token"]
OURS = {"app.kubernetes.io/managed-by": "fewnodes.discovery", "fewnodes.discovery/datacenter": "dc1"}


def of_settings(**changes) -> str:
    return "; ".join(settings_problems("k", settings(allow_even_servers=False, connection="local") | changes))


def of_cluster(found=None, **changes) -> str:
    wanted = settings(secrets_dir="/secrets", secrets=ALL_SECRETS, gossip_digest="a" * 64, cluster_dns=False) | changes
    facts = {
        "problem": "", "version": "v1.34.0", "missing_rights": [], "nodes": ["a", "b", "c"], "storage_classes": {"local": True},
        "namespace": None, "stateful_set": False, "replicas": 0, "volume": {},
        "claims": [], "certificate": False, "gossip_digest": "",
        "corefile": ".:53 {\n}\n",
    }  # fmt: skip
    return "; ".join(cluster_problems("k", wanted, facts | (found or {})))


def test_good_settings_and_a_good_cluster():
    assert of_settings() == ""
    assert of_settings(host_networks=["192.168.0.0/24", "fd00::/8"], servers=5, storage="1.5Gi") == ""
    assert of_cluster() == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"connection": "ssh"}, "ansible_connection of host k is ssh, but the host stands for a Kubernetes cluster"),
        ({"name": "Consul"}, "consul_kubernetes_name of host k is 'Consul': set it to"),
        ({"name": "c" * 41}, "set it to up to 40"),
        ({"namespace": "a.b"}, "consul_kubernetes_namespace of host k is 'a.b'"),
        ({"namespace": "kube-system"}, "'kube-system', which is the cluster's own"),
        ({"namespace": "default"}, "'default', which is the cluster's own"),
        ({"datacenter": "DC1"}, "consul_kubernetes_datacenter (discovery_datacenter) of host k is 'DC1'"),
        ({"domain": "x.local"}, "consul_kubernetes_domain of host k is 'x.local'"),
        ({"image": ""}, "consul_kubernetes_image of host k is not set: set it to an image"),
        ({"image": "hashicorp/consul:1.22"}, "is hashicorp/consul:1.22: set it to an image"),
        ({"servers": 0}, "consul_kubernetes_servers is 0 on host k"),
        ({"servers": 4}, "consul_kubernetes_servers is 4 on host k; an even number"),
        ({"storage": "2 GB"}, "consul_kubernetes_storage of host k is '2 GB'"),
        ({"host_networks": ["192.168.0.1/24"]}, "consul_kubernetes_host_networks has '192.168.0.1/24' on host k"),
        ({"host_networks": ["192.168.0.1"]}, "write it as 192.168.0.1/32"),
        ({"write_networks": ["all"]}, "consul_kubernetes_write_networks has 'all' on host k"),
        ({"extra_config": {"encrypt": "sEcReT"}}, "sets encrypt, which is a secret"),
        ({"extra_config": {"acl": {"tokens": {"agent": "sEcReT"}}}}, "sets acl.tokens, which is a secret"),
        ({"extra_config": {"ports": {"https": 1}}}, "sets ports, which manifests and certificates depend on"),
        ({"extra_config": {"datacenter": "dc2"}}, "sets datacenter, which manifests and certificates depend on"),
    ],
)
def test_wrong_settings(changes, message):
    found = of_settings(**changes)
    assert message in found and "sEcReT" not in found


@pytest.mark.parametrize("servers", [2, 4])
def test_an_even_number_is_refused_as_on_hosts(servers):
    """One text: what it says about failures is the same wherever the servers run."""
    names = [f"s{number}" for number in range(servers)]
    on_hosts = {
        "servers": names, "bootstrap_expect": servers, "allow_even_servers": False, "extra_config": {}, "write_networks": [],
        "declared_services": {}, "declared_by_host": {}, "agents": names, "datacenter": "dc1", "domain": "consul",
        "deployment": "host", "name_problems": [], "gossip_keys": {},
    }  # fmt: skip
    (problem,) = consul_settings.settings_problems("s0", on_hosts)
    (text,) = {one.partition("; ")[2].replace("_kubernetes", "") for one in (problem, of_settings(servers=servers))}
    assert text == even_servers_problem(servers, "consul_allow_even_servers")


@pytest.mark.parametrize("servers", [0, 1, 3, 5])
def test_an_odd_number_and_none_are_not_even(servers):
    assert even_servers_problem(servers, "x") == ""


def test_two_servers_for_those_who_ask():
    assert of_settings(servers=2, allow_even_servers=True) == ""


def test_a_cluster_that_does_not_answer_has_no_other_problem():
    assert of_cluster({"problem": "GET /version: refused", "version": "", "nodes": []}) == (
        "the Kubernetes cluster of host k cannot be asked: GET /version: refused"
    )


def test_missing_rights_are_one_message_with_all_verbs():
    right = {"group": "", "resource": "secrets", "subresource": "", "namespace": "consul", "verb": "get"}
    missing = [
        right, right | {"verb": "create"}, right | {"group": "apps", "resource": "statefulsets", "verb": "patch"},
        right | {"resource": "pods", "subresource": "portforward", "verb": "create"},
        right | {"resource": "nodes", "namespace": "", "verb": "list"},
    ]  # fmt: skip
    assert of_cluster({"missing_rights": missing}) == (
        "the user of the kubeconfig of host k may not: list nodes in the whole cluster; create pods/portforward in namespace"
        " consul; create, get secrets in namespace consul; patch statefulsets.apps in namespace consul. Give it a role with"
        " these rights, or use another kubeconfig"
    )


@pytest.mark.parametrize(("version", "old"), [("v1.30.9", True), ("", True), ("v1.31.0", False), ("v1.37.2+k3s1", False)])
def test_a_version_of_kubernetes_that_is_too_old(version, old):
    assert ("the manifests are for 1.31 and newer" in of_cluster({"version": version})) is old


@pytest.mark.parametrize(("nodes", "instead"), [(["a", "b"], 1), (["a"], 1), ([], 1)])
def test_fewer_nodes_than_servers(nodes, instead):
    found = of_cluster({"nodes": nodes})
    assert f"but {len(nodes)} of the cluster's nodes" in found and found.endswith(f"set it to {instead}")


def test_what_the_user_may_not_list_is_a_missing_right_alone():
    assert of_cluster({"nodes": None, "storage_classes": None}) == ""


def test_storage_classes():
    assert "no storage class of the cluster is the default (it has slow)" in of_cluster({"storage_classes": {"slow": False}})
    assert of_cluster({"storage_classes": {"slow": False}}, storage_class="slow") == ""
    assert "is fast, but the cluster has slow" in of_cluster({"storage_classes": {"slow": True}}, storage_class="fast")


def test_a_namespace_of_somebody_else():
    assert "which exists already and is not the collection's: set it" in of_cluster({"namespace": {}})
    assert "(managed by Helm)" in of_cluster({"namespace": {"app.kubernetes.io/managed-by": "Helm"}})
    assert of_cluster({"namespace": OURS}) == ""


def test_another_datacenter():
    found = of_cluster({"namespace": OURS | {"fewnodes.discovery/datacenter": "dc2"}})
    assert "is dc1, but Consul in namespace consul is datacenter dc2, which its data keep: set it to dc2" in found


RUNNING = {"namespace": OURS, "stateful_set": True, "replicas": 3, "volume": {"size": "2Gi", "class": ""}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"servers": 1}, "consul_kubernetes_servers is 1 on host k, but 3 servers run"),
        ({"storage": "4Gi"}, "consul_kubernetes_storage of host k is '4Gi', but the servers were made with '2Gi'"),
        ({"storage_class": "local"}, "consul_kubernetes_storage_class of host k is 'local', but the servers were made with ''"),
    ],
)
def test_changes_of_running_servers_that_are_not_made(changes, message):
    found = of_cluster(RUNNING, **changes)
    assert message in found and bool(found) == bool(message)


TRACES = [{"stateful_set": True}, {"claims": ["data-0"]}, {"certificate": True}, {"gossip_digest": "a" * 64}]


@pytest.mark.parametrize("trace", TRACES)
def test_lost_secrets_of_a_cluster_that_runs(trace):
    found = of_cluster(trace, secrets=["ca.key", "ca.pem"])
    assert "has no gossip_key, management_token, but Consul in namespace consul" in found
    assert of_cluster(trace) == ""


def test_secrets_of_another_site():
    found = of_cluster({"gossip_digest": "b" * 64})
    assert "the gossip key in /secrets is not the one of Consul" in found


@pytest.mark.parametrize("digest", ["", hashlib.sha256(b"").hexdigest()])
def test_a_controller_without_a_key_has_no_other_one(digest):
    assert "is not the one of Consul" not in of_cluster({"gossip_digest": "b" * 64}, gossip_digest=digest)


@pytest.mark.parametrize(
    ("corefile", "message"),
    [
        (None, "consul_kubernetes_cluster_dns is true on host k, but the cluster has no ConfigMap coredns"),
        ("consul:53 {\n}\n", "of host k cannot be changed: it has a block for consul already"),
        (".:53 {\n}\n", ""),
    ],
)
def test_a_cluster_whose_dns_cannot_be_changed(corefile, message):
    found = of_cluster({"corefile": corefile}, cluster_dns=True)
    assert message in found and bool(found) == bool(message)
    assert of_cluster({"corefile": corefile}) == ""


def test_rights_are_those_of_the_tasks():
    rights = needed_rights("consul", cluster_dns=False)
    assert {"group": "apps", "resource": "statefulsets", "subresource": "", "namespace": "consul", "verb": "patch"} in rights
    assert {"group": "", "resource": "pods", "subresource": "portforward", "namespace": "consul", "verb": "create"} in rights
    assert {"group": "", "resource": "nodes", "subresource": "", "namespace": "", "verb": "list"} in rights
    assert not [one for one in rights if one["namespace"] == "kube-system" or one["verb"] == "delete" or "*" in one.values()]
    more = [one for one in needed_rights("consul", cluster_dns=True) if one not in rights]
    assert [(one["namespace"], one["verb"]) for one in more] == [("kube-system", "get"), ("kube-system", "patch")]
