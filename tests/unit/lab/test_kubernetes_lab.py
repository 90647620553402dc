"""The cluster of a lab: what its programs are built from, what its nodes are given, what is applied to it."""

import ipaddress
import json
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from lab import releases
from lab.errors import LabError
from lab.images import KUBERNETES
from lab.inventory import Site
from lab.kubernetes import cluster, files, objects, programs
from lab.kubernetes.certificates import Authority

ROOT = Path(__file__).parents[3]
NODES = {f"kube-{number}": ipaddress.IPv4Address(f"192.0.2.1{number}") for number in (1, 2, 3)}
REGISTRY = "192.0.2.252:5000"
RELEASED = """module k8s.io/kubernetes

go 1.24.0

require (
\tgithub.com/spf13/cobra v1.9.1
\tk8s.io/api v0.0.0
\tk8s.io/kubelet v0.0.0 // indirect
\tk8s.io/utils v0.0.0-20250604170112-4c0f3b243397
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\tk8s.io/kubelet => ./staging/src/k8s.io/kubelet
)
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("lab") / "kubernetes")


@pytest.fixture(scope="module")
def of_nodes(authority) -> dict[str, dict]:
    pause = f"{REGISTRY}/library/pause@sha256:0"
    return {host: files.node_files(host, NODES, REGISTRY, pause, authority) for host in NODES}


def test_the_parts_of_kubernetes_have_the_version_of_the_whole():
    found = programs.wrapper(RELEASED, "k8s.io/kubernetes", "v1.34.0")
    assert "module build\n" in found and "replace" not in found and "staging" not in found
    assert "k8s.io/api v0.34.0\n" in found and "k8s.io/kubelet v0.34.0 // indirect" in found
    assert "k8s.io/utils v0.0.0-20250604170112-4c0f3b243397\n" in found
    assert found.endswith("require k8s.io/kubernetes v1.34.0\n")


def test_another_module_keeps_its_replacements():
    released = "module example.org/dns\n\nreplace example.org/a => example.org/b v1.0.0\n"
    found = programs.wrapper(released, "example.org/dns", "v1.2.3")
    assert found == "module build\n\nreplace example.org/a => example.org/b v1.0.0\n\nrequire example.org/dns v1.2.3\n"


def test_programs_that_are_there_are_not_built(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "CACHE", tmp_path)
    built = []

    def build(module, version, packages, made, flags="", own=None):
        built.append(module)
        for package in packages:
            (made / package.rpartition("/")[2]).touch()

    monkeypatch.setattr(programs, "_build", build)
    first = programs.provide()
    assert len(built) == 1 + len(programs.OTHERS)
    assert programs.provide() == first and len(built) == 1 + len(programs.OTHERS)
    (first / "kubelet").unlink()  # an interrupted build
    programs.provide()
    assert built[-1] == "k8s.io/kubernetes" and len(built) == 2 + len(programs.OTHERS)


def test_the_first_node_alone_rules(of_nodes):
    ruling = {f"etc/systemd/system/kube-{name}.service" for name in ("apiserver", "controller-manager", "scheduler")}
    for host, found in of_nodes.items():
        assert ruling <= set(found) if host == "kube-1" else not ruling & set(found)
        assert ("etc/kubernetes/ca_key" in found) == (host == "kube-1")
        assert (found["etc/systemd/system/etcd.service"] == Path("/dev/null")) == (host != "kube-1")
        for name in ("kubelet", "kube-proxy", "kube-router"):
            assert f"etc/systemd/system/{name}.service" in found


def test_pods_have_a_network_of_each_node_and_nodes_know_the_way(of_nodes):
    networks = {
        host: json.loads(found["etc/cni/net.d/10-lab.conflist"])["plugins"][0]["ipam"]["subnet"]
        for host, found in of_nodes.items()
    }
    assert len(set(networks.values())) == len(NODES)
    for host, found in of_nodes.items():
        lines = found["usr/local/sbin/pod-network"].splitlines()
        expected = {f"ip route replace {networks[other]} via {NODES[other]}" for other in NODES if other != host}
        assert {line for line in lines if line.startswith("ip route")} == expected
        subprocess.run(["sh", "-n"], input=found["usr/local/sbin/pod-network"], text=True, check=True)


def test_private_keys_have_names_by_which_they_get_their_mode(of_nodes):
    for found in of_nodes.values():
        for path, content in found.items():
            assert ("PRIVATE KEY" in str(content)) == path.endswith("_key"), path


def test_every_file_that_a_program_names_is_there(of_nodes):
    for found in of_nodes.values():
        for path, content in found.items():
            if path.endswith((".service", ".kubeconfig", ".json")) and isinstance(content, str):
                named = [word.strip("',\"") for word in content.replace("=", " ").split() if files.HOME in word]
                assert [one for one in named if one.removeprefix("/") not in found] == [], path


def test_images_come_from_the_lab_s_registry(of_nodes):
    for found in of_nodes.values():
        assert f'[host."http://{REGISTRY}"]' in found[f"etc/containerd/certs.d/{REGISTRY}/hosts.toml"]
        assert f'sandbox_image = "{REGISTRY}/library/pause@sha256:0"' in found["etc/containerd/config.toml"]


def test_a_node_proves_itself_by_its_name_and_address(of_nodes):
    certificate = x509.load_pem_x509_certificate(of_nodes["kube-2"]["etc/kubernetes/kubelet.pem"].encode())
    assert certificate.subject.rfc4514_string() == "CN=system:node:kube-2,O=system:nodes"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [NODES["kube-2"]]


def test_the_authority_makes_nothing_twice(authority):
    """A node that is replaced comes back to the same cluster."""
    again = Authority(authority.folder)
    assert again.pair == authority.pair and again.issue("somebody") == authority.issue("somebody")
    assert again.key("accounts") == authority.key("accounts")
    assert all(path.stat().st_mode & 0o077 == 0 for path in authority.folder.glob("*.key"))


def test_the_authority_s_certificates_are_its_own(authority):
    pair = authority.issue("server", "group", ["192.0.2.1", "name.example"])
    ca, certificate = (x509.load_pem_x509_certificate(one.certificate.encode()) for one in (authority.pair, pair))
    certificate.verify_directly_issued_by(ca)
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_each_node_has_volumes_of_its_own():
    found = [one for one in objects.manifests(NODES, "coredns@sha256:0") if one["kind"] == "PersistentVolume"]
    places = {
        (one["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"][0],
         one["spec"]["local"]["path"])
        for one in found
    }  # fmt: skip
    assert len(places) == len(found) == len(NODES) * objects.VOLUMES_PER_NODE


def test_the_configuration_of_the_dns_is_applied_once_only():
    """The product writes into it; a second `make lab` must not take that out."""
    assert [one["kind"] for one in objects.manifests(NODES, "x")].count("ConfigMap") == 0
    assert "reload" in objects.corefile()["data"]["Corefile"]


def test_a_program_that_was_built_anew_has_another_image(tmp_path, monkeypatch):
    """Also where its version is the same, and our part of it is another."""
    made = []
    monkeypatch.setattr(cluster.images, "sample", lambda *_: "pause")
    monkeypatch.setattr(cluster.images, "of_program", lambda *given: made.append(given[2]) or "image")
    monkeypatch.setattr(cluster, "_consul", lambda: "consul")
    monkeypatch.setattr(cluster.site_services, "offer", lambda *_: "sha256:0")
    lab = cluster.Cluster(Site.read(ROOT / "inventories/kubernetes"), tmp_path)
    for build in ("one", "two"):
        monkeypatch.setattr(programs, "provide", lambda build=build: tmp_path / build)
        lab.prepare()
    assert len(set(made)) == 2


def test_the_example_inventory_has_a_lab_of_three_nodes(tmp_path):
    site = Site.read(ROOT / "inventories/kubernetes")
    assert list(cluster.Cluster(site, tmp_path).nodes) == ["kube-1", "kube-2", "kube-3"]
    assert set(site.suites.values()) == {KUBERNETES}


def test_other_inventories_have_no_cluster(tmp_path):
    site = Site(tmp_path, "ward", NODES, dict.fromkeys(NODES, "trixie"))
    found = cluster.Cluster(site, tmp_path)
    assert not found and found.node_files("kube-1") == {} and found.volumes("kube-1") == {}


def test_an_archive_of_other_content_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(releases, "MIRROR", tmp_path)
    folder = tmp_path / "consul/1.22.7"
    folder.mkdir(parents=True)
    (folder / "consul_1.22.7_linux_amd64.zip").write_bytes(b"x")
    sums = folder / "consul_1.22.7_SHA256SUMS"
    sums.write_text("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  consul_1.22.7_linux_amd64.zip\n")
    assert releases.archive("consul", "1.22.7").read_bytes() == b"x"
    (folder / "consul_1.22.7_linux_amd64.zip").write_bytes(b"y")
    with pytest.raises(LabError, match="not the file of its checksums"):
        releases.archive("consul", "1.22.7")
