"""Shift: the request, the value of the KV store, and the requests that are refused (L5)."""

import base64
import json

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import ApiError
from ansible_collections.fewnodes.discovery.plugins.module_utils.version_shares import decide, versions_of
from ansible_collections.fewnodes.discovery.plugins.modules import traffic_shares
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.shift import shift_request

VERSIONS = {"v1": {"instances": 2, "passing": 2}, "v2": {"instances": 1, "passing": 1}, "v3": {"instances": 1, "passing": 0}}


def request(**given):
    wanted = shift_request({"shift_service": "web", **{f"shift_{name}": value for name, value in given.items()}})
    assert wanted["problems"] == []
    return wanted


def after(text=None, versions=VERSIONS, **given):
    wanted = request(**given)
    return decide(wanted["service"], None if wanted["undo"] else wanted["shares"], versions, ["web", "shop"], text)


def health(version, status="passing", tag="http"):
    service = {"Tags": [tag], "Meta": {"version": version} if version else None}
    return {"Service": service, "Checks": [{"Status": "passing"}, {"Status": status}]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"undo": True}, "shift_service is ''"),
        ({"service": "a/b", "undo": True}, "shift_service is 'a/b'"),
        ({"service": "web"}, "0 of four requests"),
        ({"service": "web", "version": "v2", "percent": "10", "undo": True}, "2 of four requests"),
        ({"service": "web", "version": "v2"}, "shift_percent is ''"),
        ({"service": "web", "percent": "5"}, "shift_version is ''"),
        ({"service": "web", "version": "v2", "percent": "101"}, "shift_percent is '101' for 'v2'"),
        ({"service": "web", "version": "v2", "percent": "-1"}, "shift_percent is '-1'"),
        ({"service": "web", "version": "v2", "percent": "ten"}, "shift_percent is 'ten'"),
        ({"service": "web", "version": "v2", "percent": "²"}, "shift_percent is '²'"),
        ({"service": "web", "shares": {"v1": 50, "v2": 51}}, "shift_shares are 101 together"),
        ({"service": "web", "shares": {"v1": "x"}}, "shift_shares is 'x' for 'v1'"),
        ({"service": "web", "shares": "v1=5"}, "shift_shares is 'v1=5': set it to versions and percentages"),
    ],
)
def test_l5_invalid_requests_are_reported(given, words):
    problems = shift_request({f"shift_{name}": value for name, value in given.items()})["problems"]
    assert [words in problem for problem in problems] == [True]


@pytest.mark.parametrize("zero", ["0", 0])
def test_l5_zero_is_a_percentage(zero):
    assert request(version="v2", percent=zero)["shares"] == {"v2": 0}


@pytest.mark.parametrize("shares", [{"v2": 10, "v3": 5}, '{"v2": 10, "v3": "5"}'])
def test_l5_shares_as_dict_or_json(shares):
    assert request(shares=shares)["shares"] == {"v2": 10, "v3": 5}


def test_l5_versions_count_instances_for_balancers():
    found = versions_of([health("v1"), health("v1", "critical"), health(""), health("v2", tag="other")])
    assert found == {"v1": {"instances": 2, "passing": 1}, "": {"instances": 1, "passing": 1}}


def test_l5_first_shift_remembers_that_there_was_none():
    result = after(version="v2", percent="10")
    assert (result["changed"], json.loads(result["value"])) == (True, {"shares": {"v2": 10}, "previous": {}})


def test_l5_undo_swaps_the_last_two_shifts():
    first = after(version="v2", percent="10")["value"]
    second = after(first, version="v2", percent="50")["value"]
    assert json.loads(second) == {"shares": {"v2": 50}, "previous": {"v2": 10}}
    back = after(second, undo=True)["value"]
    assert json.loads(back) == {"shares": {"v2": 10}, "previous": {"v2": 50}}
    assert after(back, undo=True)["value"] == second
    assert json.loads(after(second, end=True)["value"]) == {"shares": {}, "previous": {"v2": 50}}


def test_l5_the_same_again_changes_nothing_and_keeps_the_rollback():
    first = after(version="v2", percent="10")["value"]
    second = after(first, version="v2", percent="50")["value"]
    assert after(second, version="v2", percent="50") == {"problems": [], "shares": {"v2": 50}, "value": second, "changed": False}
    assert after(None, end=True)["changed"] is False


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"shares": 5}'])
def test_l5_an_invalid_value_is_overwritten(text):
    assert json.loads(after(text, version="v2", percent="10")["value"]) == {"shares": {"v2": 10}, "previous": {}}
    assert "nothing to undo" in after(text, undo=True)["problems"][0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"version": "v9", "percent": "10"},
            "'v9', which no instance of web has: choose among v1 (2 of 2 pass), v2 (1 of 1 pass)",
        ),
        ({"version": "v3", "percent": "10"}, "'v3', of which no instance of web passes"),
        ({"shares": {"v1": 0, "v2": 0}}, "no instance of web would get requests"),
        ({"undo": True}, "was not shifted"),
    ],
)
def test_l5_shares_that_nobody_could_serve_are_refused(given, words):
    result = after(**given)
    assert ([words in problem for problem in result["problems"]], "value" in result) == ([True], False)


def test_l5_an_unknown_service_is_refused_with_the_known_ones():
    assert "choose among shop, web" in after(versions={}, version="v2", percent="1")["problems"][0]


def test_l5_an_unhealthy_version_may_get_zero():
    assert after(version="v3", percent="0")["problems"] == []


class Agent:
    """Consul's KV and health, as far as the module calls them."""

    def __init__(self, text=None):
        self.text, self.index, self.written = text, 7 if text else 0, []

    def get(self, path):
        if path.startswith("/v1/health/service/"):
            return [health("v1"), health("v2")]
        if path.startswith("/v1/kv/"):
            if self.text is None:
                raise ApiError(404, "")
            return [{"Value": base64.b64encode(self.text.encode()).decode(), "ModifyIndex": self.index}]
        return {"web": ["http"], "db": []}

    def put_text(self, path, text):
        self.written.append((path, text))
        return path.endswith(f"cas={self.index}")


GIVEN = ("web", {"v2": 10})


def test_l5_module_writes_by_compare_and_set():
    for agent in (Agent(), Agent('{"shares": {"v2": 5}, "previous": {}}')):
        result = traffic_shares.shift(agent, *GIVEN, check_mode=False)
        assert [path for path, _ in agent.written] == [f"/v1/kv/discovery/traffic/web?cas={agent.index}"]
        assert (result["changed"], agent.written[0][1]) == (True, result["value"])


def test_l5_module_reports_a_concurrent_shift():
    agent = Agent()
    agent.put_text = lambda *_: False
    assert "changed during this run" in traffic_shares.shift(agent, *GIVEN, check_mode=False)["problems"][0]


def test_l5_module_writes_nothing_in_check_mode():
    agent = Agent()
    result = traffic_shares.shift(agent, *GIVEN, check_mode=True)
    assert (result["changed"], agent.written) == (True, [])
