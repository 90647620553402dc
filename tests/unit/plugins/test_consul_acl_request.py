"""The host's part of consul_acl writes what differs; it changes nothing in a cluster that rejects the token."""

import base64
import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import ApiError
from ansible_collections.fewnodes.discovery.plugins.modules import consul_acl_request
from ansible_collections.fewnodes.discovery.plugins.modules.consul_acl_request import (
    delete_policies,
    delete_tokens,
    ensure_policies,
    perform,
    status,
)


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
    assert ensure_policies(cluster, {"same": "x", "other": "y", "new": "z"}, check_mode=False) == ["new", "other"]
    assert cluster.puts == [("/v1/acl/policy", "z"), ("/v1/acl/policy/id-other", "y")]


def test_check_mode_writes_nothing():
    cluster = Cluster()
    assert (ensure_policies(cluster, {"new": "z"}, check_mode=True), cluster.puts) == (["new"], [])


def test_an_unknown_token_is_not_a_missing_policy():
    with pytest.raises(ApiError):
        ensure_policies(Cluster(), {"denied": "z"}, check_mode=False)


def test_only_policies_that_exist_are_deleted():
    cluster = Cluster(old="x")
    cluster.delete = lambda path: cluster.puts.append((path, "deleted"))
    assert delete_policies(cluster, ["old", "gone"], check_mode=True) == ["old"]
    assert cluster.puts == []
    assert delete_policies(cluster, ["old", "gone"], check_mode=False) == ["old"]
    assert cluster.puts == [("/v1/acl/policy/id-old", "deleted")]


class Access:
    """The access control of an agent, as far as tokens go.

    :ivar answers: path to what a request gives, an exception is raised
    :ivar writes: requests that change something, in order
    """

    def __init__(self, /, **answers):
        self.answers = {"self": {}, "bootstrap": {}, "tokens": []} | answers
        self.writes = []

    def get(self, path):
        return self._answer(path)

    def put(self, path, body):
        self.writes.append((path, body))
        return self._answer(path)

    def delete(self, path):
        self.writes.append((path, None))
        return self._answer(path)

    def _answer(self, path):
        answer = self.answers.get(path.rpartition("/")[2], {})
        if isinstance(answer, Exception):
            raise answer
        return answer


REFUSED = ApiError(403, "Permission denied")


@pytest.mark.parametrize(
    ("answers", "bootstrap", "expected"),
    [
        ({}, True, "accepted"),
        ({"self": REFUSED}, False, "rejected"),
        ({"self": REFUSED}, True, "bootstrapped"),
        ({"self": REFUSED, "bootstrap": REFUSED}, True, "rejected"),
        ({"self": ApiError(500, "No cluster leader")}, True, "leaderless"),
        ({"self": ConnectionRefusedError("refused")}, True, "unreachable"),
    ],
)
def test_status(answers, bootstrap, expected):
    assert status(Access(**answers), "secret", bootstrap)[0] == expected


def test_an_accepted_token_bootstraps_nothing():
    cluster = Access()
    assert (status(cluster, "secret", True), cluster.writes) == (("accepted", ""), [])


def test_a_token_that_is_gone_already_is_no_error():
    cluster = Access(gone=ApiError(404, "not found"))
    delete_tokens(cluster, ["gone", "old"])
    assert [path for path, _ in cluster.writes] == ["/v1/acl/token/gone", "/v1/acl/token/old"]
    with pytest.raises(ApiError):
        delete_tokens(Access(old=REFUSED), ["old"])


OPTIONS = {
    "token": "secret", "bootstrap": True, "policies": {}, "tokens": '[{"path": "acl/token", "body": {"Description": "a"}}]',
    "absent_tokens": ["old"], "absent_policies": [], "list_tokens": True,
}  # fmt: skip


def test_old_tokens_go_before_new_ones_come():
    cluster = Access(tokens=[{"SecretID": "secret"}])
    result = perform(cluster, OPTIONS, check_mode=False)
    assert [path for path, _ in cluster.writes] == ["/v1/acl/token/old", "/v1/acl/token"]
    assert (result["changed"], json.loads(base64.b64decode(result["tokens"]))) == (True, [{"SecretID": "secret"}])


@pytest.mark.parametrize("answers", [{"self": REFUSED, "bootstrap": REFUSED}, {"self": ApiError(500, "No cluster leader")}])
def test_a_cluster_that_does_not_accept_the_token_is_not_changed(answers):
    cluster = Access(**answers)
    assert perform(cluster, OPTIONS, check_mode=False)["changed"] is False
    assert [path for path, _ in cluster.writes if "bootstrap" not in path] == []


def test_check_mode_changes_nothing_and_does_not_bootstrap():
    cluster = Access(self=REFUSED)
    assert (perform(cluster, OPTIONS, check_mode=True)["status"], cluster.writes) == ("rejected", [])
    cluster = Access()
    assert (perform(cluster, OPTIONS, check_mode=True)["changed"], cluster.writes) == (True, [])


def test_a_name_of_the_site_is_masked_nowhere_in_the_result(monkeypatch, capsys):
    """Ansible masks the values of secret options; a host may be called a, which is in `accepted`."""
    monkeypatch.setattr(consul_acl_request, "Api", lambda token: Access())
    arguments = {name: OPTIONS[name] for name in ("token", "tokens", "absent_tokens")}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        consul_acl_request.main()
    assert json.loads(capsys.readouterr().out)["status"] == "accepted"
