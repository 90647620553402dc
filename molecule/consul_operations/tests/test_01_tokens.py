"""K1: what every token may do, asked of the running cluster; everything else is refused."""

import json
import urllib.error
import urllib.request

import pytest
from tests.support.clients import dns_ask
from tests.support.consul import Consul
from tests.support.wait import eventually

GHOST = {"Node": "k1-ghost", "Address": "192.0.2.77"}
# What somebody may ask for: method, path and body. Harmless where it is allowed; {node} and {address} are the host's.
REQUESTS = {
    "list nodes": ("GET", "/v1/catalog/nodes", None),
    "list services": ("GET", "/v1/catalog/services", None),
    "list the agent's services": ("GET", "/v1/agent/services", None),
    "register a service at the agent": ("PUT", "/v1/agent/service/register", {"Name": "k1-probe", "Port": 9}),
    "write its own node": ("PUT", "/v1/catalog/register", {"Node": "{node}", "Address": "{address}", "SkipNodeUpdate": True,
                           "Check": {"CheckID": "k1", "Name": "k1", "Status": "passing"}}),
    "register another node": ("PUT", "/v1/catalog/register", GHOST),
    "remove another node": ("PUT", "/v1/catalog/deregister", GHOST),
    "read the agent": ("GET", "/v1/agent/self", None),
    "reload the agent": ("PUT", "/v1/agent/reload", None),
    "read a key": ("GET", "/v1/kv/k1/probe?raw", None),
    "write a key": ("PUT", "/v1/kv/k1/written", "x"),
    "write its state": ("PUT", "/v1/kv/discovery/balancer/{node}", "x"),
    "write another's state": ("PUT", "/v1/kv/discovery/balancer/{node}-2", "x"),
    "read the shares": ("GET", "/v1/kv/discovery/traffic/k1?raw", None),
    "write the shares": ("PUT", "/v1/kv/discovery/traffic/k1-written", "x"),
    "make a session": ("PUT", "/v1/session/create", {"Node": "{node}", "TTL": "10s"}),
    "fire an event": ("PUT", "/v1/event/fire/k1", None),
    "make a query": ("POST", "/v1/query", {"Name": "k1", "Service": {"Service": "consul"}}),
    "read the raft": ("GET", "/v1/operator/raft/configuration", None),
    "change autopilot": ("PUT", "/v1/operator/autopilot/configuration?cas=1", {"CleanupDeadServers": True}),
    "read the keyring": ("GET", "/v1/operator/keyring", None),
    "list tokens": ("GET", "/v1/acl/tokens", None),
    "write a policy": ("PUT", "/v1/acl/policy", {"Name": "k1", "Rules": ""}),
    "take a snapshot": ("GET", "/v1/snapshot", None),
}  # fmt: skip
CATALOG = {"list nodes", "list services", "list the agent's services"}
ALLOWED = {
    "anonymous": set(),
    "agent": CATALOG | {"write its own node"},
    "dns": CATALOG,
    "registrator": {"list the agent's services", "register a service at the agent"},
    "consul_template": CATALOG | {"write its state", "read the shares"},
    "operations": CATALOG
    | {
        "read the shares",
        "write the shares",
        "read the agent",
        "reload the agent",
        "read the raft",
        "change autopilot",
        "read the keyring",
    },
    "ui": CATALOG | {"read the agent", "read a key", "read the shares", "read the raft"},
}
OF_THE_SITE = ("operations", "ui")


def token_of(site, component: str, host: str) -> str | None:
    """The SecretID, as the controller keeps it."""
    if component == "anonymous":
        return None
    name = component if component in OF_THE_SITE else f"{component}-{host}"
    return (site.secrets / "tokens" / name).read_text().strip()


def is_allowed(api: Consul, node, method: str, path: str, body) -> bool:
    """Whether the agent of a node obeys a request: not refused, and its list is not empty."""
    text = json.dumps(body).replace("{node}", node.name).replace("{address}", node.address)
    data = None if body is None else text.encode()
    path = path.replace("{node}", node.name)
    request = urllib.request.Request(api.base + path, data=data, headers=api.headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=api.tls))
    try:
        with opener.open(request, timeout=10) as answer:
            content = answer.read()
    except urllib.error.HTTPError as error:
        assert error.code in (403, 404), f"{method} {path}: {error.code} {error.read(300)!r}"
        return False
    return content not in (b"{}", b"[]", b"null", b"") or method == "PUT"


def answer(api: Consul, node, *request) -> bool:
    """Whether a request is allowed, as the agent answers: 500 is no answer (a refused snapshot may end in a reset connection)."""
    return eventually(lambda: [is_allowed(api, node, *request)], 15)[0][0]


@pytest.fixture(scope="module")
def traces(site):
    """Objects to read; afterwards everything that a request may have made is removed."""
    api, agent = site.consul(), site.consul(site.balancers[0])
    api.put("/v1/kv/k1/probe", "x")
    api.put("/v1/kv/discovery/traffic/k1", {"shares": {}})
    agent.send("PUT", "/v1/agent/service/register", {"Name": "k1-known", "Port": 9})
    yield
    for service in {"k1-known", "k1-probe"} & set(agent.get("/v1/agent/services")):
        agent.send("PUT", f"/v1/agent/service/deregister/{service}")
    for node in site.servers:
        api.send("PUT", "/v1/catalog/deregister", {"Node": node.name, "CheckID": "k1"})
    api.send("PUT", "/v1/catalog/deregister", GHOST)
    for keys in ("k1/", "discovery/traffic/k1"):
        api.send("DELETE", f"/v1/kv/{keys}?recurse")
    for query in api.get("/v1/query"):
        if query["Name"] == "k1":
            api.send("DELETE", f"/v1/query/{query['ID']}")
    for policy in api.get("/v1/acl/policies"):
        if policy["Name"] == "k1":
            api.send("DELETE", f"/v1/acl/policy/{policy['ID']}")


@pytest.mark.parametrize("component", ALLOWED)
def test_k1_a_token_does_its_work_and_nothing_else(site, traces, component, show):
    node = site.balancers[0]  # a host with every component
    api = Consul(node.address, site.ca, token_of(site, component, node.name))
    observed = {name for name, request in REQUESTS.items() if answer(api, node, *request)}
    show(f"{component}: {len(observed)} of {len(REQUESTS)} allowed")
    assert observed == ALLOWED[component]


def test_k1_another_hosts_agent_may_not_write_this_node(site, traces):
    one, other = site.servers[:2]
    api = Consul(one.address, site.ca, token_of(site, "agent", other.name))
    assert not answer(api, one, *REQUESTS["write its own node"])


@pytest.mark.on("consul_servers")
def test_k1_names_resolve_without_a_token(site, node):
    assert dns_ask(node.address, site.name_of("consul"), "A").answer


@pytest.mark.on("consul_servers")
def test_k1_no_token_is_readable_for_others(node):
    found = node.tries(
        "find /etc/consul.d /etc/registrator /etc/consul-template /var/lib/consul -type f"
        " \\( -name '*token*' -o -path '*/services/*' -o -path '*/checks/*' -o -name local.keyring \\) -perm /o+r -print"
    ).stdout
    reachable = [path for path in found.split() if node.tries(f"sudo -u nobody test -r {path}").rc == 0]
    assert reachable == []
