"""K1: what every token may do, asked of the running cluster; everything else is refused."""

import pytest
import yaml
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.consul_acl import service_rules
from tests.support.clients import dns_ask
from tests.support.consul import Consul
from tests.support.site import ROOT
from tests.support.token_rights import REQUESTS, objects, observed, send, table
from tests.support.wait import eventually

OF_THE_SITE = ("operations", "ui")
# Components that have no token on this site get one, with the rules of the role's defaults; `declared` one for a service.
DEFAULTS = yaml.safe_load((ROOT / "roles/consul/defaults/main.yml").read_text())


@pytest.fixture(scope="module")
def hosts(site):
    """A host with every component, and another one."""
    node = site.balancers[0]
    return node, next(other for other in site.servers if other.name != node.name)


@pytest.fixture
def session(site, hosts):
    """Objects to read, and the id of a session of the other host; afterwards what requests may have made is removed."""
    with objects(site, hosts) as made:
        yield made


@pytest.fixture
def token_with(site, hosts):
    """A function that makes a token with some rules; gives its SecretID, which the host that is asked knows."""
    api, made = site.consul(), []

    def make(rules: str) -> str:
        policy = api.put("/v1/acl/policy", {"Name": f"k1-rules-{len(made)}", "Rules": rules})["ID"]
        token = api.put("/v1/acl/token", {"Description": "k1", "Policies": [{"ID": policy}]})
        made.append((token["AccessorID"], policy))
        mine = Consul(hosts[0].address, site.ca, token["SecretID"])
        eventually(lambda: mine.get("/v1/acl/token/self?stale"), 20)  # a follower learns of it after the leader
        return token["SecretID"]

    yield make
    for accessor, policy in made:
        api.send("DELETE", f"/v1/acl/token/{accessor}")
        api.send("DELETE", f"/v1/acl/policy/{policy}")


@pytest.mark.parametrize("component", table())
def test_k1_s2_x4_a_token_does_its_work_and_nothing_else(site, hosts, session, token_with, component, show):
    """Own host and other hosts, as docs/tokens.md has it; dockerd's of the cluster store, too (S2)."""
    node, other = hosts
    name = component if component in OF_THE_SITE else f"{component}-{node.name}"
    if component == "anonymous":
        token = None
    elif (site.secrets / "tokens" / name).exists():
        token = (site.secrets / "tokens" / name).read_text().strip()
    elif component == "declared":
        token = token_with(service_rules(["k1-probe"]))
    else:
        own = DEFAULTS["consul_host_policies"].get(component, "").replace("{host}", node.name)
        token = token_with(DEFAULTS["consul_policies"][component] + own)
    found = observed(site, node, other, token, session)
    show(f"{component}: {sum(found.values())} of {len(found)} allowed")
    assert {name for name in found if found[name]} == {name for name, allowed in table()[component].items() if allowed}


def test_x4_a_limited_registrator_writes_its_services_only(site, hosts, session, token_with):
    """registrator_service_prefixes: what it may not write it sees."""
    node, _ = hosts
    token = token_with(service_rules(["k1-probe", "k1-shop-*"]))
    register = {name: ("own", "PUT", "/v1/agent/service/register", {"Name": name, "ID": "k1-probe"})
                for name in ("k1-probe", "k1-shop-1", "k1-probe-2", "k1-known", "consul")}  # fmt: skip
    found = send(site, node, node, token, session, register | {"list": REQUESTS["list the services of its agent"]})
    assert found == {"k1-probe": True, "k1-shop-1": True, "k1-probe-2": False, "k1-known": False, "consul": False, "list": True}


@pytest.mark.on("docker_hosts")
def test_x4_the_registrators_container_does_not_see_the_token_of_its_node(node):
    assert node.run("stat -c '%a %U' /etc/registrator-clear/token").split() == ["600", "root"]
    assert node.tries("docker exec registrator ls /etc/registrator-clear").rc != 0


@pytest.mark.on("consul_servers")
def test_k1_names_resolve_without_a_token(site, node):
    assert dns_ask(node.address, site.name_of("consul"), "A").answer


@pytest.mark.on("consul_servers")
def test_k1_an_agent_runs_no_script_of_a_check(site, node):
    """Who may register a service could run any command on the host."""
    running = site.consul(node).get("/v1/agent/self")["DebugConfig"]
    assert (running["EnableLocalScriptChecks"], running["EnableRemoteScriptChecks"]) == (False, False)
