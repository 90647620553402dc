import base64
import uuid

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.consul import (
    settings_problems,
    token_changes,
    token_conflicts,
    wanted_tokens,
)

KEY = base64.b64encode(bytes(32)).decode()
GOOD = {
    "servers": ["a", "b", "c"],
    "bootstrap_expect": 3,
    "allow_even_servers": False,
    "extra_config": {"telemetry": {}},
    "gossip_keys": {"consul_gossip_key": "", "gossip_key": KEY},
}


def test_good_settings():
    assert settings_problems("a", GOOD) == []
    assert settings_problems("a", GOOD | {"gossip_keys": {"consul_gossip_key": "", "gossip_key": ""}}) == []
    assert settings_problems("a", GOOD | {"gossip_keys": {"consul_gossip_key": KEY, "gossip_key": KEY}}) == []


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"bootstrap_expect": 5}, ["consul_bootstrap_expect", "5", "lists 3"]),
        ({"servers": ["a", "b"], "bootstrap_expect": 2}, ["consul_servers", "2 servers", "consul_allow_even_servers"]),
        ({"servers": [], "bootstrap_expect": 0}, ["consul_servers is empty"]),
        ({"servers": ["a", "b", "b"]}, ["consul_servers lists b 2 times"]),
        ({"extra_config": {"node_name": "x"}}, ["consul_extra_config", "node_name", "'x'"]),
        ({"gossip_keys": {"consul_gossip_key": KEY[:20] + "MTI="}}, ["consul_gossip_key", "17 bytes", "32 bytes"]),
        ({"gossip_keys": {"consul_gossip_key": "no key!"}}, ["consul_gossip_key", "no base64"]),
        (
            {"gossip_keys": {"consul_gossip_key": base64.b64encode(bytes([1] * 32)).decode(), "gossip_key": KEY}},
            ["differ", "unset consul_gossip_key"],
        ),
    ],
)
def test_names_variable_host_and_value(change, parts):
    found = settings_problems("a", GOOD | change)
    assert len(found) == 1, found
    for part in ["host a", *parts]:
        assert part in found[0]


@pytest.mark.parametrize("name", ["Consul-1", "consul-1.site.example", "consul_1", "-a", "a" * 64])
def test_the_name_of_a_node(name):
    (found,) = settings_problems(name, GOOD)
    assert name in found and "lower-case" in found and "ansible_host" in found


def test_the_key_itself_is_not_printed():
    assert "secretsecret" not in str(settings_problems("a", GOOD | {"gossip_keys": {"consul_gossip_key": "secretsecret"}}))


def test_even_servers_on_request():
    assert settings_problems("a", GOOD | {"servers": ["a", "b"], "bootstrap_expect": 2, "allow_even_servers": True}) == []


def listed(token, **changes):
    """A token as /v1/acl/tokens lists it."""
    return {
        "AccessorID": token["accessor_id"],
        "SecretID": "s-" + token["name"],
        "Description": token["description"],
        "Policies": [{"ID": "x", "Name": policy["name"]} for policy in token["policies"]] or None,
        "NodeIdentities": [
            {"NodeName": identity["node_name"], "Datacenter": identity["datacenter"]}
            for identity in token["node_identities"]
        ],
    } | changes


AGENT, REGISTRATOR = wanted_tokens({"agent": ["a"], "registrator": ["a"]}, "dc1")


def test_agent_has_the_rights_of_its_node():
    assert AGENT["name"] == "tokens/agent-a"
    assert AGENT["policies"] == []
    assert AGENT["node_identities"] == [{"node_name": "a", "datacenter": "dc1"}]


def test_component_has_the_policy_of_its_name():
    assert REGISTRATOR["policies"] == [{"name": "registrator"}]
    assert REGISTRATOR["node_identities"] == []


def test_ids_are_the_same_in_every_run_and_differ_between_tokens():
    again = wanted_tokens({"registrator": ["a"]}, "dc1")[0]
    assert again["accessor_id"] == REGISTRATOR["accessor_id"] != AGENT["accessor_id"]
    assert wanted_tokens({"registrator": ["a"]}, "dc2")[0]["accessor_id"] != REGISTRATOR["accessor_id"]
    assert uuid.UUID(AGENT["accessor_id"]).version == 5


def test_nothing_to_change():
    assert token_changes([AGENT, REGISTRATOR], [listed(AGENT), listed(REGISTRATOR)]) == []


def test_missing_and_changed_tokens_are_written():
    assert token_changes([AGENT, REGISTRATOR], [listed(AGENT)]) == [REGISTRATOR]
    assert token_changes([AGENT], [listed(AGENT, Policies=[{"Name": "global-management"}])]) == [AGENT]
    assert token_changes([AGENT], [listed(AGENT, NodeIdentities=None)]) == [AGENT]


def test_another_secret_is_a_conflict():
    secrets = {"tokens/agent-a": "s-tokens/agent-a", "tokens/registrator-a": "other"}
    assert token_conflicts([AGENT, REGISTRATOR], [listed(AGENT), listed(REGISTRATOR)], secrets) == ["tokens/registrator-a"]
    assert token_conflicts([REGISTRATOR], [], secrets) == []
