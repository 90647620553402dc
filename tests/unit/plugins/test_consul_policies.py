"""Policies are written where they differ, and nowhere else."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import ApiError
from ansible_collections.fewnodes.discovery.plugins.modules.consul_policies import ensure


class Cluster:
    def __init__(self, **rules):
        self.policies = {n: {"ID": f"id-{n}", "Name": n, "Description": f"Component {n}", "Rules": r} for n, r in rules.items()}
        self.puts = []

    def get(self, path):
        if (name := path.rpartition("/")[2]) not in self.policies:
            raise ApiError(403 if name == "denied" else 404, "ACL not found")
        return self.policies[name]

    def put(self, path, body):
        self.puts.append((path, body["Rules"]))


def test_only_what_differs_is_written():
    cluster = Cluster(same="x", other="x")
    assert ensure(cluster, {"same": "x", "other": "y", "new": "z"}, check_mode=False) == ["new", "other"]
    assert cluster.puts == [("/v1/acl/policy", "z"), ("/v1/acl/policy/id-other", "y")]


def test_check_mode_writes_nothing():
    cluster = Cluster()
    assert (ensure(cluster, {"new": "z"}, check_mode=True), cluster.puts) == (["new"], [])


def test_an_unknown_token_is_not_a_missing_policy():
    with pytest.raises(ApiError):
        ensure(Cluster(), {"denied": "z"}, check_mode=False)
