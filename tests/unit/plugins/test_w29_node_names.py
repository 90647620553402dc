"""What Consul, certificates, tokens and containers call a host, from whatever it is called in the inventory."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.certificates import name_problems
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.drain import drain_plan
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.node_names import node_name_problems, node_names
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.scale import scale_plan


@pytest.mark.parametrize(
    ("name", "node"),
    [("consul-1", "consul-1"), ("web01.haus.example", "web01"), ("WEB_01", "web-01"), ("Web_1.Haus.example", "web-1"), ("1", "1"),
     ("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1")],
)  # fmt: skip
def test_w29_the_default_is_the_first_label(name, node):
    assert node_names([name], {name: {}}) == node_names([name], {}) == [node]


def test_w29_a_name_that_is_set_counts():
    hostvars = {"a.x": {"discovery_node_name": "b"}, "c.x": {"discovery_node_name": ""}, "d": {"discovery_node_name": None}}
    assert node_names(["c.x", "a.x", "d"], hostvars) == ["c", "b", "d"]


def test_w29_good_names():
    hostvars = {"a.x": {}, "A_b": {}, "192.0.2.1": {"discovery_node_name": "c"}, "a.y": {"discovery_node_name": "d"}}
    assert node_name_problems(hostvars, hostvars) == []
    assert node_name_problems(["a.x", "a.x"], hostvars) == [], "one host, twice in a list"


@pytest.mark.parametrize(
    ("hostvars", "words"),
    [
        ({"192.0.2.1": {}}, ["'192.0.2.1'", "which is an address", "set discovery_node_name of this host"]),
        ({"2001:db8::1": {}}, ["which is an address"]),
        ({"_a": {}}, ["'_a'", "'-a'", "set discovery_node_name"]),
        ({"a" * 64: {}}, ["63 lower-case letters"]),
        ({"a": {"discovery_node_name": "A.x"}}, ["discovery_node_name of host a is 'A.x'", "without dots"]),
        ({"a.x": {}, "a.y": {}}, ["hosts a.x, a.y would all be the node a", "discovery_node_name of a.y", "such as a-2"]),
        ({"A": {}, "a": {}}, ["hosts A, a would all be"]),
        ({"a": {}, "b": {"discovery_node_name": "a"}}, ["hosts a, b would all be"]),
    ],
)
def test_w29_what_is_refused(hostvars, words):
    (found,) = node_name_problems(hostvars, hostvars)
    assert [word for word in words if word not in found] == [], found


def test_w29_a_certificate_has_the_names_of_its_host_alone():
    hostvars = {
        "web01.haus.example": {"discovery_address": "192.0.2.1"},
        "DB_01": {"discovery_address": "192.0.2.2"},
        "192.0.2.3": {"discovery_address": "192.0.2.3", "discovery_node_name": "mail"},
    }
    own = ["DNS:web01", "DNS:web01.haus.example", "DNS:web01.node.dc1.consul", "IP:192.0.2.1"]
    assert name_problems(own, "web01.haus.example", hostvars) == []
    for lie in ("DNS:db-01", "DNS:db-01.node.consul", "DNS:mail", "DNS:mail.node.dc1.consul", "DNS:db_01", "IP:192.0.2.3"):
        assert len(name_problems([lie], "web01.haus.example", hostvars)) == 1, lie


def test_w29_drained_instances_have_the_name_that_the_catalog_has():
    states = {"Web_1.x": [{"id": "i", "name": "shop", "container": "c", "passing": True}]}
    request = {"service": "shop", "container": "", "host": "", "node": False}
    plan = drain_plan(states, request, last=True, nodes={"Web_1.x": "web-1"})
    assert plan["instances"] == ["web-1 i"] and list(plan["hosts"]) == ["Web_1.x"]


def test_w29_scaled_containers_are_called_after_the_node():
    request = {"service": "shop", "count": 2, "hosts": ["Web_1.x"], "spec": "s"}
    plan = scale_plan({"Web_1.x": []}, request, {"Web_1.x": "web-1"})
    assert plan == {"Web_1.x": {"start": ["shop-web-1-1", "shop-web-1-2"], "end": [], "keep": []}}
