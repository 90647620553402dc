import uuid

from ansible_collections.fewnodes.discovery.plugins.plugin_utils.consul_tokens import (
    accessor_id,
    adopted_tokens,
    chosen_tokens,
    forgotten_tokens,
    superseded_tokens,
    token_changes,
    token_conflicts,
    wanted_policies,
    wanted_tokens,
)

AGENT, REGISTRATOR, UI, MANAGEMENT = wanted_tokens({"agent": ["a"], "registrator": ["a"]}, "dc1", ["ui", "management"])
WANTED = [AGENT, REGISTRATOR]
SECRETS = {"tokens/agent-a": "s-agent", "tokens/registrator-a": "s-registrator"}


def listed(token, secret, index=10, **changes):
    """A token as /v1/acl/tokens lists it."""
    return {
        "AccessorID": f"id-of-{secret}",
        "SecretID": secret,
        "CreateIndex": index,
        "Description": token["description"],
        "Policies": [{"ID": "x", "Name": policy["name"]} for policy in token["policies"]] or None,
        "NodeIdentities": [
            {"NodeName": identity["node_name"], "Datacenter": identity["datacenter"]}
            for identity in token["node_identities"]
        ],
    } | changes


CLUSTER = [listed(AGENT, "s-agent"), listed(REGISTRATOR, "s-registrator")]
BOOTSTRAPPED = listed(MANAGEMENT, "s-first", Description="Bootstrap Token (Global Management)")


def names(tokens):
    return [token["name"] for token in tokens]


def test_agent_has_the_rights_of_its_node():
    assert (AGENT["name"], AGENT["description"], AGENT["policies"]) == ("tokens/agent-a", "agent on a", [])
    assert AGENT["node_identities"] == [{"node_name": "a", "datacenter": "dc1"}]


def test_component_has_the_policy_of_its_name():
    assert (REGISTRATOR["policies"], REGISTRATOR["node_identities"]) == ([{"name": "registrator"}], [])


def test_component_with_rules_for_each_host_has_two_policies():
    tokens = wanted_tokens({"balancer": ["a", "b"], "dns": ["a"]}, "dc1", ["ui"], {"balancer": 'key "k/{host}"'})
    assert [policy["name"] for policy in tokens[1]["policies"]] == ["balancer", "balancer-b"]
    rules = {"balancer": "all", "dns": "some", "ui": "see", "else": "not"}
    found = wanted_policies(tokens, rules, {"balancer": 'key "k/{host}"'})
    own = {"balancer-a": 'key "k/a"', "balancer-b": 'key "k/b"'}
    assert found == own | {"balancer": "all", "dns": "some", "ui": "see"}


def test_a_token_of_the_site_belongs_to_no_host():
    assert (UI["name"], UI["description"], UI["host"]) == ("tokens/ui", "ui of the site", "")
    assert (MANAGEMENT["name"], MANAGEMENT["policies"]) == ("management_token", [{"name": "global-management"}])


def test_choosing():
    tokens = wanted_tokens({"agent": ["a", "b"], "dns": ["a"]}, "dc1", ["ui"])
    assert chosen_tokens(tokens) == tokens
    assert names(chosen_tokens(tokens, "agent")) == ["tokens/agent-a", "tokens/agent-b"]
    assert names(chosen_tokens(tokens, "", ["b"])) == ["tokens/agent-b", "tokens/ui"]
    assert names(chosen_tokens(tokens, "dns", ["b"])) == []


def test_accessors_follow_the_secret():
    assert accessor_id("a", "secret") == accessor_id("a", "secret") != accessor_id("a", "other")
    assert accessor_id("a", "secret") != accessor_id("b", "secret")
    assert uuid.UUID(accessor_id("a", "secret")).version == 5


def test_nothing_to_change():
    assert token_changes(WANTED, CLUSTER, SECRETS) == []


def test_a_missing_token_is_written_under_a_new_accessor():
    assert token_changes(WANTED, CLUSTER[:1], SECRETS) == [
        REGISTRATOR | {"accessor_id": accessor_id("registrator on a", "s-registrator")}
    ]


def test_changed_rights_are_written_under_the_present_accessor():
    for change in ({"Policies": [{"Name": "global-management"}]}, {"NodeIdentities": None}, {"Description": "hm"}):
        found = token_changes([AGENT], [listed(AGENT, "s-agent", **change)], SECRETS)
        assert found == [AGENT | {"accessor_id": "id-of-s-agent"}], change


def test_the_token_of_the_bootstrap_is_the_management_token():
    assert token_changes([MANAGEMENT], [BOOTSTRAPPED], {"management_token": "s-first"}) == []


def test_another_secret_is_a_conflict():
    assert token_conflicts(WANTED, CLUSTER, SECRETS) == []
    assert token_conflicts(WANTED, CLUSTER, SECRETS | {"tokens/registrator-a": "other"}) == ["tokens/registrator-a"]
    assert token_conflicts(WANTED, [], SECRETS) == []
    assert token_conflicts(WANTED, [*CLUSTER, listed(AGENT, "s-agent-new", 11)], SECRETS) == []


def test_adopting_what_the_cluster_knows():
    assert adopted_tokens(WANTED, CLUSTER) == SECRETS
    assert adopted_tokens(WANTED, [listed(UI, "s-ui")]) == {}
    newest = [listed(AGENT, "s-new", 12), listed(AGENT, "s-old", 11)]
    assert adopted_tokens(WANTED, newest) == {"tokens/agent-a": "s-new"}


def test_what_a_rotation_leaves_behind():
    old = listed(AGENT, "s-old", 5)
    assert superseded_tokens(WANTED, CLUSTER, SECRETS) == []
    assert superseded_tokens(WANTED, [*CLUSTER, old, listed(UI, "s-ui")], SECRETS) == [
        {"name": "tokens/agent-a", "accessor_id": "id-of-s-old", "secret_id": "s-old", "newer": False}
    ]
    stranger = superseded_tokens(WANTED, [*CLUSTER, listed(AGENT, "s-new", 11)], SECRETS)
    assert [(token["secret_id"], token["newer"]) for token in stranger] == [("s-new", True)]


def test_no_token_is_superseded_by_one_that_the_cluster_does_not_know():
    assert superseded_tokens([AGENT], [listed(AGENT, "s-old")], SECRETS) == []


def test_a_new_management_token_supersedes_that_of_the_bootstrap():
    new = listed(MANAGEMENT, "s-second", 20)
    assert superseded_tokens([MANAGEMENT], [BOOTSTRAPPED, new], {"management_token": "s-second"}) == [
        {"name": "management_token", "accessor_id": "id-of-s-first", "secret_id": "s-first", "newer": False}
    ]


def test_forgetting_a_host_touches_no_other():
    tokens = wanted_tokens({"agent": ["a", "b-a", "a-b"], "dns": ["a"]}, "dc1", ["ui"])
    cluster = [listed(token, token["name"]) for token in tokens] + [listed(AGENT, "x", Description="backup job on a")]
    assert forgotten_tokens(cluster, "a", ["agent", "dns"]) == [
        {"name": "tokens/agent-a", "accessor_id": "id-of-tokens/agent-a"},
        {"name": "tokens/dns-a", "accessor_id": "id-of-tokens/dns-a"},
    ]
