"""What does not fit is refused by the real API's answers, before anything changes. Unit tests have the message of each case."""

import base64

import pytest
from lab.inventory import Site as Lab
from lab.kubernetes import files
from lab.kubernetes.certificates import Authority
from tests.support.kubernetes_cluster import ELSEWHERE
from tests.support.playbook import assert_refused, play

PLAYBOOK = "playbooks/consul_kubernetes.yml"


@pytest.fixture(scope="module")
def without_rights(site, cluster, tmp_path_factory):
    """The kubeconfig of a user whom the cluster knows, and who may do nothing."""
    authority = Authority(cluster.kubeconfig.parent)
    nobody = authority.issue("nobody")
    encoded = (base64.b64encode(text.encode()).decode() for text in (authority.pair.certificate, nobody.certificate, nobody.key))
    path = tmp_path_factory.mktemp("nobody") / "kubeconfig"
    path.write_text(files.portable_kubeconfig(next(iter(Lab.read(site.inventory).addresses.values())), *encoded))
    return path


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("consul_kubernetes_kubeconfig=/nowhere", ["cannot be asked", "/nowhere"]),
        ("consul_kubernetes_datacenter=dc2", ["dc2"]),
        (f"consul_kubernetes_namespace={ELSEWHERE}", [ELSEWHERE]),
        ("consul_kubernetes_servers=5", ["5"]),
        ("consul_kubernetes_storage=3Gi", ["3Gi"]),
    ],
)
def test_a_setting_that_does_not_fit_the_cluster(site, cluster, setting, words):
    cluster.namespace(ELSEWHERE)
    before = {pod["metadata"]["uid"] for pod in cluster.pods()}
    done, _ = play(site, PLAYBOOK, "-e", setting)
    assert_refused(done, words)
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} == before


def test_missing_rights_are_named_in_one_message(site, without_rights):
    done, _ = play(site, PLAYBOOK, "-e", f"consul_kubernetes_kubeconfig={without_rights}")
    assert_refused(done, ["may not", "create, get, patch namespaces", "list nodes", "pods/portforward in namespace consul"])
