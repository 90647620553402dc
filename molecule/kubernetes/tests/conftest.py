"""The cluster of the scenario."""

import os
from pathlib import Path

import pytest
from tests.support.kubernetes_cluster import KubernetesCluster
from tests.support.site import ROOT

# Plays that tests start find the Python client there, as those of the scenario do.
os.environ["PYTHONPATH"] = str(ROOT / ".cache/kubernetes-python")


@pytest.fixture(scope="session")
def cluster(site) -> KubernetesCluster:
    variables = next(iter(site.nodes.values())).variables
    registry = variables["consul_kubernetes_image"].partition("/")[0]
    return KubernetesCluster(
        Path(variables["consul_kubernetes_kubeconfig"]), site.secrets, f"{registry}/library/python:3.13-slim"
    )


@pytest.fixture
def healthy(cluster):
    """The servers are healthy before a test, and again after it."""
    cluster.settle()
    yield
    cluster.settle()
