import uuid

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.consul_acl import (
    Acl,
    AclError,
    Site,
    accessor_id,
    adopted_tokens,
    chosen_tokens,
    digest,
    forgotten_tokens,
    service_rules,
    superseded_tokens,
    surplus_tokens,
    token_changes,
    token_conflicts,
    token_names,
    token_request,
    unknown_tokens,
    wanted_policies,
    wanted_tokens,
)
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.secrets import Secrets

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


def test_x4_registrator_clear_has_the_rights_of_its_node_and_no_more():
    (token,) = wanted_tokens({"registrator_clear": ["a"]}, "dc1")
    assert (token["policies"], token["node_identities"]) == ([], [{"node_name": "a", "datacenter": "dc1"}])


def test_x4_a_limited_registrator_writes_its_services_only():
    """Its policy is its own alone: the general one would let it write all."""
    services = {"registrator": {"a": ["web", "shop-*"], "b": []}}
    a, b = wanted_tokens({"registrator": ["a", "b"]}, "dc1", services=services)
    assert ([p["name"] for p in a["policies"]], [p["name"] for p in b["policies"]]) == (["registrator-a"], ["registrator"])
    policies = wanted_policies([a, b], {"registrator": "all"}, {}, services)
    assert policies == {"registrator": "all", "registrator-a": service_rules(services["registrator"]["a"])}
    assert service_rules(["web", "shop-*"]).splitlines() == [
        'service_prefix "" { policy = "read" }',
        'service "consul" { policy = "read" }',
        'service_prefix "shop-" { policy = "write" }',
        'service "web" { policy = "write" }',
    ]
    assert 'service_prefix "" { policy = "read" }' not in service_rules(["*"])


def test_d6_templates_read_the_keys_of_their_host():
    keys = {"a": ["config/", "shop/"], "b": []}
    a, b = wanted_tokens({"templates": ["a", "b"]}, "dc1", keys=keys)
    assert [policy["name"] for policy in a["policies"]] == ["templates", "templates-a"]
    assert [policy["name"] for policy in b["policies"]] == ["templates"]
    assert wanted_policies([a, b], {"templates": "base"}, {}, keys=keys) == {
        "templates": "base",
        "templates-a": 'key_prefix "config/" { policy = "read" }\nkey_prefix "shop/" { policy = "read" }\n',
    }


@pytest.mark.parametrize("component", ["declared", "templates"])
def test_w18_d6_a_token_goes_with_what_a_host_needs_it_for(component):
    """One that somebody else has made under the description stays, and so do those of other components."""
    kept, gone = wanted_tokens({component: ["a", "b"]}, "dc1")
    ours = [listed(one, "s-ours", AccessorID=accessor_id(one["description"], "s-ours")) for one in (kept, gone, REGISTRATOR)]
    assert surplus_tokens([kept], [*ours, listed(gone, "s-other"), listed(gone, "s", Description=f"{component} by hand")]) == [
        {"name": f"tokens/{component}-b", "accessor_id": ours[1]["AccessorID"], "policy": f"{component}-b"}
    ]


def test_a_token_of_the_site_belongs_to_no_host():
    assert (UI["name"], UI["description"], UI["host"]) == ("tokens/ui", "ui of the site", "")
    assert (MANAGEMENT["name"], MANAGEMENT["policies"]) == ("management_token", [{"name": "global-management"}])


def test_names_of_the_secrets():
    found = token_names({"agent": ["a", "b"], "dns": ["a"]}, ["ui"])
    assert found == ["tokens/agent-a", "tokens/agent-b", "tokens/dns-a", "tokens/ui"]


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
    unknown = superseded_tokens(WANTED, [*CLUSTER, listed(AGENT, "s-new", 11)], SECRETS)
    assert [(token["secret_id"], token["newer"]) for token in unknown] == [("s-new", True)]


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


def test_a_new_token_is_created_and_a_known_one_keeps_its_other_rights():
    new = token_changes([AGENT], [], {"tokens/agent-a": "s"})[0]
    assert token_request(new, [], "s") == {
        "path": "acl/token",
        "body": {
            "AccessorID": accessor_id("agent on a", "s"),
            "SecretID": "s",
            "Description": "agent on a",
            "Policies": [],
            "NodeIdentities": [{"NodeName": "a", "Datacenter": "dc1"}],
        },
    }
    found = [listed(REGISTRATOR, "s", Policies=None, Roles=[{"ID": "r"}], Hash="h")]
    known = token_changes([REGISTRATOR], found, {"tokens/registrator-a": "s"})[0]
    request = token_request(known, found, "s")
    assert request["path"] == "acl/token/id-of-s"
    assert (request["body"]["Roles"], request["body"]["Policies"]) == ([{"ID": "r"}], [{"Name": "registrator"}])
    assert "Hash" not in request["body"]


def test_unknown_tokens_are_those_with_another_secret():
    anonymous = {"AccessorID": "00000000-0000-0000-0000-000000000002", "SecretID": "anonymous", "Description": "Anonymous"}
    assert unknown_tokens([*CLUSTER, anonymous], ["s-agent"]) == [CLUSTER[1]]


class Cluster:
    """A cluster behind the module consul_acl_request.

    :ivar tokens: what it lists
    :ivar requests: the options of every request
    :ivar dies: the request with that option raises, as if the run were killed
    """

    def __init__(self, *tokens, status="accepted", dies=""):
        self.tokens, self.status, self.dies, self.requests, self.index = list(tokens), status, dies, [], 100

    def ask(self, **options):
        assert options["token"] == "s-management"
        if self.dies and options.get(self.dies):
            raise KeyboardInterrupt
        self.requests.append(options)
        if self.status == "accepted":
            self.tokens = [token for token in self.tokens if token["AccessorID"] not in options.get("absent_tokens", [])]
            for request in options.get("tokens", []):
                self._write(request["body"])
        tokens = list(self.tokens) if self.status == "accepted" else []
        return {"status": self.status, "error": "", "policies": [], "tokens": tokens}

    def _write(self, body):
        self.tokens = [token for token in self.tokens if token["AccessorID"] != body["AccessorID"]]
        self.index += 1
        self.tokens.append(body | {"CreateIndex": self.index})

    def secrets(self):
        return sorted(token["SecretID"] for token in self.tokens)


SITE = Site("dc1", {"agent": ["a"], "registrator": ["a"]}, [], {"registrator": "rules"}, {"registrator": "own {host}"})


@pytest.fixture
def secrets(tmp_path):
    found = Secrets(str(tmp_path / "secrets"))
    found.create({"management_token": "s-management"})
    return found


def acl(secrets, cluster, check_mode=False):
    return Acl(SITE, secrets, cluster.ask, check_mode)


def test_present_writes_policies_and_tokens_once(secrets):
    cluster = Cluster()
    done = acl(secrets, cluster).present()
    assert done["tokens"] == ["agent on a", "registrator on a"]
    assert cluster.secrets() == sorted(secrets.read(name) for name in SECRETS)
    assert cluster.requests[0]["policies"] == {"registrator": "rules", "registrator-a": "own a"}
    asked = len(cluster.requests)
    assert acl(secrets, cluster).present()["changed"] is False
    assert len(cluster.requests) == asked + 1, "a run that changes nothing asks once"


def test_d6_present_deletes_the_token_of_a_host_without_templates(secrets):
    """With the last template of a host: in the cluster, with its policy, and on the controller."""
    cluster, name = Cluster(), "tokens/templates-a"
    with_templates = Site("dc1", SITE.tokens | {"templates": ["a"]}, [], SITE.policies, keys={"a": ["config/"]})
    Acl(with_templates, secrets, cluster.ask).present()
    assert [policy["Name"] for policy in cluster.tokens[-1]["Policies"]] == ["templates", "templates-a"]
    assert acl(secrets, cluster, check_mode=True).present()["removed"] == [name] and not secrets.missing([name])
    assert acl(secrets, cluster).present()["removed"] == [name]
    assert cluster.requests[-1]["absent_policies"] == ["templates-a"] and secrets.missing([name])
    assert len(cluster.tokens) == 2 and acl(secrets, cluster).present()["changed"] is False


def test_a_killed_run_is_continued_with_the_same_secrets(secrets):
    with pytest.raises(KeyboardInterrupt):
        acl(secrets, Cluster(dies="tokens")).present()
    written = {name: secrets.read(name) for name in SECRETS}
    cluster = Cluster()
    acl(secrets, cluster).present()
    assert cluster.secrets() == sorted(written.values())


def test_present_imports_what_the_controller_lacks(secrets):
    own = listed(REGISTRATOR, "s-registrator", Policies=[{"Name": "registrator"}, {"Name": "registrator-a"}])
    assert acl(secrets, Cluster(CLUSTER[0], own)).present()["changed"] is False
    assert {name: secrets.read(name) for name in SECRETS} == SECRETS


def test_a_conflict_fails_and_names_the_file(secrets):
    secrets.create({"tokens/agent-a": "other"})
    cluster = Cluster(*CLUSTER)
    with pytest.raises(AclError, match="tokens/agent-a"):
        acl(secrets, cluster).present()
    assert cluster.tokens == CLUSTER


def test_another_management_token_fails_without_showing_it(secrets):
    with pytest.raises(AclError, match="not a token of the running cluster") as found:
        acl(secrets, Cluster(status="rejected")).present()
    assert "s-management" not in str(found.value)


def test_without_a_management_token_nothing_is_asked(tmp_path):
    with pytest.raises(AclError, match="has no management_token"):
        acl(Secrets(str(tmp_path)), Cluster()).imported()


def test_importing_keeps_what_is_there(secrets):
    secrets.create({"tokens/agent-a": "s-agent"})
    done = acl(secrets, Cluster(*CLUSTER)).imported()
    assert (done["imported"], done["known"]) == (["tokens/registrator-a"], sorted(SECRETS))
    assert secrets.read("tokens/registrator-a") == "s-registrator"


@pytest.mark.parametrize("status", ["rejected", "leaderless", "unreachable"])
def test_importing_reports_a_cluster_that_cannot_be_asked(secrets, status):
    done = acl(secrets, Cluster(status=status)).imported()
    assert (done["status"], done["changed"], done["known"]) == (status, False, [])


def test_forgetting_a_host_deletes_tokens_policies_and_files(secrets):
    secrets.create(SECRETS)
    cluster = Cluster(*CLUSTER, listed(UI, "s-ui"))
    assert acl(secrets, cluster).absent("a")["removed"] == sorted(SECRETS)
    assert (cluster.secrets(), secrets.missing(SECRETS)) == (["s-ui"], list(SECRETS))
    assert cluster.requests[-1]["absent_policies"] == ["declared-a", "registrator-a", "templates-a"]
    assert acl(secrets, cluster).absent("a")["changed"] is False


def rotating_site(secrets):
    cluster = Cluster()
    acl(secrets, cluster).present()
    return cluster, {name: secrets.read(name) for name in SECRETS}


def finish(secrets, cluster):
    found = acl(secrets, cluster, check_mode=True).rotation_finished()["superseded"]
    return acl(secrets, cluster).rotation_finished(accessor_ids=[token["accessor_id"] for token in found])


def test_a_rotation(secrets):
    cluster, old = rotating_site(secrets)
    done = acl(secrets, cluster).rotation_begun()
    new = {name: secrets.read(f"{name}.next") for name in SECRETS}
    assert (done["rotated"], done["interrupted"]) == (list(SECRETS), [])
    assert cluster.secrets() == sorted([*old.values(), *new.values()]), "the present tokens stay valid"
    for name in done["rotated"]:
        secrets.replace(name)
    superseded = acl(secrets, cluster, check_mode=True).rotation_finished()["superseded"]
    assert {token["name"]: token["digest"] for token in superseded} == {name: digest(old[name]) for name in old}
    assert finish(secrets, cluster)["removed"] == list(SECRETS)
    assert cluster.secrets() == sorted(new.values())


def test_a_rotation_that_died_before_its_tokens_goes_on_with_the_same_secrets(secrets):
    cluster, _ = rotating_site(secrets)
    cluster.dies = "tokens"
    with pytest.raises(KeyboardInterrupt):
        acl(secrets, cluster).rotation_begun()
    new = {name: secrets.read(f"{name}.next") for name in SECRETS}
    cluster.dies = ""
    assert acl(secrets, cluster).rotation_begun()["rotated"] == list(SECRETS)
    assert set(new.values()) < set(cluster.secrets())


def test_an_interrupted_rotation_is_finished_before_the_next(secrets):
    cluster, _ = rotating_site(secrets)
    for name in acl(secrets, cluster).rotation_begun()["rotated"]:
        secrets.replace(name)
    done = acl(secrets, cluster).rotation_begun()
    assert (done["rotated"], done["interrupted"]) == ([], list(SECRETS))
    assert secrets.missing(f"{name}.next" for name in SECRETS) == [f"{name}.next" for name in SECRETS]


def test_rotating_one_component_touches_no_other(secrets):
    cluster, _ = rotating_site(secrets)
    assert acl(secrets, cluster).rotation_begun(component="registrator")["rotated"] == ["tokens/registrator-a"]


def test_nothing_is_rotated_that_the_cluster_does_not_have(secrets):
    secrets.create(SECRETS)
    cluster = Cluster()
    with pytest.raises(AclError, match="nothing was rotated"):
        acl(secrets, cluster).rotation_begun()
    assert secrets.missing(["tokens/agent-a.next"]) == ["tokens/agent-a.next"]


def test_only_tokens_that_are_proven_unused_are_deleted(secrets):
    cluster, _ = rotating_site(secrets)
    for name in acl(secrets, cluster).rotation_begun()["rotated"]:
        secrets.replace(name)
    before = cluster.secrets()
    assert acl(secrets, cluster).rotation_finished(accessor_ids=["another"])["removed"] == []
    assert cluster.secrets() == before


def test_check_mode_writes_no_secret(secrets):
    cluster = Cluster()
    acl(secrets, cluster, check_mode=True).present()
    assert secrets.missing(SECRETS) == list(SECRETS)
    secrets.create(SECRETS)
    cluster = Cluster(*CLUSTER)
    acl(secrets, cluster, check_mode=True).imported()
    assert acl(secrets, cluster, check_mode=True).absent("a")["removed"] == sorted(SECRETS)
    assert secrets.missing(SECRETS) == []


def test_a_restored_cluster_gets_the_secrets_of_the_controller(secrets):
    secrets.create(SECRETS | {"tokens/agent-a": "s-agent"})
    unknown = listed(UI, "s-unknown", Description="made by hand")
    cluster = Cluster(listed(AGENT, "s-agent-old", 5), CLUSTER[1], unknown, listed(MANAGEMENT, "s-management"))
    done = acl(secrets, cluster).restored()
    assert (done["removed"], done["unknown"]) == (["agent on a"], ["made by hand"])
    assert cluster.secrets() == ["s-agent", "s-management", "s-registrator", "s-unknown"]


DECLARING = {"registrator": {}, "declared": {"a": ["modem-9998", "scanner-*"]}}


def test_w18_a_token_for_declared_services_writes_these_only():
    (token,) = wanted_tokens({"declared": ["a"]}, "dc1", services=DECLARING)
    assert (token["name"], token["policies"], token["node_identities"]) == ("tokens/declared-a", [{"name": "declared-a"}], [])
    assert wanted_policies([token], {}, {}, DECLARING) == {"declared-a": service_rules(["modem-9998", "scanner-*"])}


def test_w18_a_host_that_may_declare_nothing_any_more_loses_the_token(secrets):
    """In the cluster with its policy, and on the controller; those of other hosts and components stay."""

    def site(*hosts):
        declared = {host: ["modem-9998"] for host in hosts}
        return Site("dc1", {"agent": ["a", "b"], "declared": list(hosts)}, services={"declared": declared})

    cluster = Cluster()
    Acl(site("a", "b"), secrets, cluster.ask).present()
    before = len(cluster.requests)
    predicted = Acl(site("b"), secrets, Cluster(*cluster.tokens).ask, check_mode=True).present()
    assert predicted["removed"] == ["tokens/declared-a"] and secrets.path("tokens/declared-a").exists()
    done = Acl(site("b"), secrets, cluster.ask).present()
    assert (done["changed"], done["removed"]) == (True, ["tokens/declared-a"])
    last = cluster.requests[-1]
    assert last["absent_policies"] == ["declared-a"] and len(last["absent_tokens"]) == 1 and len(cluster.requests) > before
    assert not secrets.path("tokens/declared-a").exists() and secrets.path("tokens/declared-b").exists()
    assert sorted(one["Description"] for one in cluster.tokens) == ["agent on a", "agent on b", "declared on b"]
    assert Acl(site("b"), secrets, cluster.ask).present()["changed"] is False


def test_a_lifted_limit_leaves_no_policy(secrets):
    """The token gets its general policy first."""
    limited = Site("dc1", {"registrator": ["a"]}, policies={"registrator": "rules"}, services={"registrator": {"a": ["web"]}})
    free = Site("dc1", {"registrator": ["a"]}, policies={"registrator": "rules"}, services={"registrator": {"a": []}})
    cluster = Cluster()
    Acl(limited, secrets, cluster.ask).present()
    assert [policy["Name"] for policy in cluster.tokens[0]["Policies"]] == ["registrator-a"]
    assert cluster.requests[0]["policies"]["registrator-a"] == service_rules(["web"])
    before = len(cluster.requests)
    Acl(free, secrets, cluster.ask).present()
    assert [policy["Name"] for policy in cluster.tokens[0]["Policies"]] == ["registrator"]
    assert [request.get("absent_policies") for request in cluster.requests[before:]] == [None, ["registrator-a"]]
    assert Acl(free, secrets, cluster.ask).present()["changed"] is False
