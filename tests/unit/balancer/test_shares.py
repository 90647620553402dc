"""Shares of versions (L5): what nginx makes of the weights, and what a value in the KV store may be."""

import dataclasses
import json
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery_balancer.backends.nginx.render import render_nginx
from discovery_balancer.options import Options
from discovery_balancer.plan import plan
from discovery_balancer.shares import Malformed, shares_of, spread

OPTIONS = Options(domain="hospital.example")
REQUESTS = 1000
TOLERANCE = 0.03  # of all requests


@dataclasses.dataclass(frozen=True)
class One:
    address: str
    version: str
    weight: int = 1


def instances(**counts):
    """instances(v1=2) are two of version v1; a list gives their weights."""
    weights = {version: [1] * count if isinstance(count, int) else count for version, count in counts.items()}
    return [One(f"{version}-{n}", version, w) for version, ws in weights.items() for n, w in enumerate(ws)]


def asked(chosen, count=REQUESTS, skip=0):
    """How many of `count` requests each instance gets: nginx's smooth weighted round robin
    (ngx_http_upstream_get_peer: every current weight grows by its weight, the highest is taken and pays the total)."""
    current, seen, total = [0] * len(chosen), Counter(), sum(one.weight for one in chosen)
    for turn in range(skip + count):
        current = [now + one.weight for now, one in zip(current, chosen, strict=True)]
        best = current.index(max(current))
        current[best] -= total
        if turn >= skip:
            seen[chosen[best]] += 1
    return seen


def of_versions(seen):
    count = Counter()
    for one, number in seen.items():
        count[one.version] += number
    return count


def weights(result):
    return [i.weight for i in result.instances]


@pytest.mark.parametrize(
    ("there", "shares", "expected"),
    [
        ({"v1": 1, "v2": 1}, {"v2": 10}, [9, 1]),
        ({"v1": 2, "v2": 1}, {"v2": 10}, [9, 9, 2]),
        ({"v1": 3, "v2": 3}, {"v1": 90}, [9, 9, 9, 1, 1, 1]),
        ({"v1": [1, 3], "v2": 1}, {"v2": 50}, [1, 3, 4]),
        ({"v1": 1, "v2": 1}, {"v2": 100}, [1]),
        ({"v1": 2, "v2": 1}, {"v2": 0}, [1, 1]),
        ({"v1": 1, "v2": 1, "v3": 2}, {"v2": 10, "v3": 30}, [12, 2, 3, 3]),
        ({"v1": 1, "v2": [1, 3], "v3": 1}, {"v3": 50}, [1, 1, 3, 5]),
    ],
)
def test_l5_weights_are_the_smallest_that_are_exact(there, shares, expected):
    assert weights(spread(instances(**there), shares)) == expected


@pytest.mark.parametrize("percent", [1, 5, 10, 33, 50, 90, 99])
def test_l5_share_over_a_thousand_requests(percent):
    seen = of_versions(asked(spread(instances(v1=2, v2=3), {"v2": percent}).instances))
    assert abs(seen["v2"] - percent * REQUESTS / 100) <= TOLERANCE * REQUESTS


def test_l5_a_small_share_is_not_reported_as_none():
    result = spread(instances(v1=1, v2=[100] * 20), {"v3": 0})
    assert result.percent == {"v1": 0.05, "v2": 100.0}


some_weights = st.lists(st.integers(1, 300), min_size=1, max_size=12)


@settings(max_examples=25)
@given(
    there=st.dictionaries(st.sampled_from(["", "v1", "v2", "v3"]), some_weights, min_size=1),
    shares=st.dictionaries(st.sampled_from(["", "v1", "v2", "v3", "v4"]), st.integers(0, 20), min_size=1),
    skip=st.integers(0, 400),
)
def test_l5_any_versions_and_weights_get_their_shares(there, shares, skip):
    result = spread(instances(**there), shares)
    if not result.instances:
        assert all(shares.get(version) == 0 for version in there)
        return
    assert sum(result.percent.values()) == pytest.approx(100, abs=0.3)
    seen = of_versions(asked(result.instances, skip=skip))
    for version in there:
        expected = result.percent.get(version, 0)
        assert abs(seen[version] / REQUESTS - expected / 100) <= TOLERANCE, (version, weights(result))
        assert (expected == 0) == (version not in {i.version for i in result.instances})
        assert expected == 0 or shares.get(version) != 0
    if all(version in there for version, percent in shares.items() if percent) and set(there) - set(shares):
        assert {v: result.percent.get(v, 0) for v in shares} == {v: pytest.approx(p, abs=0.1) for v, p in shares.items()}


odd_weights = st.lists(st.integers(1, 65535), min_size=1, max_size=12)


@given(first=odd_weights, second=odd_weights)
def test_l5_odd_weights_stay_within_bounds(first, second):
    result = spread(instances(v1=first, v2=second), {"v2": 10})
    assert all(1 <= weight <= 65535 for weight in weights(result))
    part = Fraction(sum(i.weight for i in result.instances if i.version == "v2"), sum(weights(result)))
    assert abs(part - Fraction(1, 10)) < Fraction(1, 500)


def test_l5_a_balancer_with_small_weights_gets_small_ones():
    result = spread(instances(v1=[7, 11, 13], v2=[17, 19]), {"v2": 7}, max_weight=256)
    assert max(weights(result)) <= 256
    assert sum(i.weight for i in result.instances if i.version == "v2") / sum(weights(result)) == pytest.approx(0.07, abs=0.005)


def test_l5_within_a_version_the_own_weights_count():
    seen = asked(spread(instances(v1=[1, 3], v2=1), {"v2": 20}).instances)
    assert [seen[one] for one in seen if one.version == "v2"] == [200]
    assert sorted(number for one, number in seen.items() if one.version == "v1") == [200, 600]


def test_l5_without_shares_nothing_changes():
    there = instances(v1=[2, 5], v2=1)
    for value in (None, {}, {"shares": {}}, '{"shares": {}, "previous": {"v2": 10}}'):
        assert spread(there, value).instances == tuple(there)


def test_l5_nought_is_no_request_also_when_nobody_else_is_left():
    result = spread(instances(v2=2), {"v2": 0})
    assert (result.instances, "no version with a share" in result.warning) == ((), True)


def test_l5_share_of_a_version_without_an_instance_goes_to_the_others():
    result = spread(instances(v1=1, v3=1), {"v2": 50, "v3": 10})
    assert (result.percent, weights(result)) == ({"v1": 80.0, "v3": 20.0}, [4, 1])
    assert "no healthy instance of 'v2'" in result.warning


def test_l5_others_stand_in_when_the_version_with_everything_is_gone():
    result = spread(instances(v1=2), {"v2": 100})
    assert (result.percent, weights(result)) == ({"v1": 100.0}, [1, 1])
    assert "v2" in result.warning


def test_l5_instances_without_a_version_are_a_version_as_well():
    assert spread(instances(**{"": 1, "v2": 1}), {"v2": 10}).percent == {"": 90.0, "v2": 10.0}


@pytest.mark.parametrize(
    "value",
    [
        "", "{", "[]", "null", "7", '"v2"', '{"shares": 5}', '{"shares": {"v2": 101}}', '{"shares": {"v2": -1}}',
        '{"shares": {"v2": "10"}}', '{"shares": {"v2": true}}', '{"shares": {"v2": 1.5}}', '{"shares": {"v1": 60, "v2": 60}}',
        '{"v2": null}', "[" * 100_000, [], 5,
    ],
)  # fmt: skip
def test_l5_malformed_values_change_nothing_and_are_reported(value):
    there = instances(v1=1, v2=1)
    result = spread(there, value)
    assert (result.instances, result.warning.startswith("its traffic is not shifted: ")) == (tuple(there), True)
    assert len(result.warning) < 300
    with pytest.raises(Malformed):
        shares_of(value)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_l5_no_value_is_fatal(value):
    spread(instances(v1=1, v2=2), value)
    spread(instances(v1=1, v2=2), json.dumps(value))


def entry(version, number, *tags):
    return {"id": f"{version}-{number}", "node": "n", "address": f"10.0.0.{number}", "port": 80, "tags": list(tags), "weight": 1,
            "meta": {"version": version} if version else {}}  # fmt: skip


@pytest.mark.parametrize("tag", ["http", "tcp"])
def test_l5_plan_shares_by_version_for_both_kinds(tag):
    services = [{"name": "app-9000", "instances": [entry("v1", 1, tag), entry("v1", 2, tag), entry("v2", 3, tag)]}]
    result = plan({"services": services, "traffic": {"app-9000": '{"shares": {"v2": 10}}'}}, OPTIONS)
    assert [i.weight for i in getattr(result, tag)[0].instances] == [9, 9, 2]
    assert (result.traffic, result.warnings) == ({"app-9000": {"v1": 90.0, "v2": 10.0}}, ())


def test_l5_shares_of_tcp_are_of_turns_not_of_connections():
    """With least_conn 33 % were 39 % of 1,000 short connections (seen)."""
    services = [{"name": "app-9000", "instances": [entry("v1", 1, "tcp"), entry("v2", 3, "tcp")]}]
    for value, least in (({"v2": 10}, False), ({}, True)):
        made = plan({"services": services, "traffic": {"app-9000": value}}, OPTIONS)
        assert ("least_conn" in render_nginx(made, OPTIONS)["stream.conf"]) == least


def test_l5_plan_takes_unusable_instances_out_before_it_shares():
    services = [{"name": "web", "instances": [entry("v1", 1, "http"), entry("v2", 2, "http"), entry("v2", 999, "http")]}]
    result = plan({"services": services, "traffic": {"web": {"v2": 50}}}, OPTIONS)
    assert [(i.address, i.weight) for i in result.http[0].instances] == [("10.0.0.1", 1), ("10.0.0.2", 1)]


def test_l5_plan_leaves_a_service_out_when_nobody_may_answer():
    result = plan({"services": [{"name": "web", "instances": [entry("v2", 1, "http")]}], "traffic": {"web": {"v2": 0}}}, OPTIONS)
    assert (result.http, result.skipped) == ((), (("web", "no version with a share of the traffic has a healthy instance"),))


def test_l5_plan_serves_by_weights_where_the_value_is_malformed():
    services = [{"name": "web", "instances": [entry("v1", 1, "http"), entry("", 2, "http")]}]
    result = plan({"services": services, "traffic": {"web": "{", "other": 7}}, OPTIONS)
    assert ([i.weight for i in result.http[0].instances], len(result.warnings)) == ([1, 1], 1)
