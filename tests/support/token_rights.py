"""What tokens may do: the table of docs/tokens.md, and its requests, sent from a host of the site.

A request is sent from the host itself: agents take writes from few addresses, and a token is used where it is kept.
"""

import contextlib
import json
import re
import shlex
from pathlib import Path

from tests.support.wait import eventually

DOCUMENT = Path(__file__).parents[2] / "docs/tokens.md"
EMPTY = ("{}", "[]", "null", "")  # what a caller without rights is shown of a list
GHOST = {"Node": "k1-ghost", "Address": "192.0.2.77"}


def _service(node: str, address: str) -> dict:
    return {"Node": node, "Address": address, "SkipNodeUpdate": True, "Service": {"ID": "k1-probe", "Service": "k1-probe"}}


def _check(node: str, address: str) -> dict:
    check = {"Node": node, "CheckID": "k1", "Name": "k1", "Status": "passing"}
    return {"Node": node, "Address": address, "SkipNodeUpdate": True, "Check": check}


OWN, OTHER = ("{node}", "{address}"), ("{other}", "{other_address}")
# What somebody may ask for: whose agent, method, path and body. Harmless where it is allowed, and undone by `objects`. {node} and
# {address} are the token's host, {other} and {other_address} another one, {session} is a session of that other.
REQUESTS = {
    "list nodes": ("own", "GET", "/v1/catalog/nodes", None),
    "list services": ("own", "GET", "/v1/catalog/services", None),
    "write a check of its own node": ("own", "PUT", "/v1/catalog/register", _check(*OWN)),
    "write a check of another node": ("own", "PUT", "/v1/catalog/register", _check(*OTHER)),
    "write a service of its own node": ("own", "PUT", "/v1/catalog/register", _service(*OWN)),
    "write a service of another node": ("own", "PUT", "/v1/catalog/register", _service(*OTHER)),
    "take a service out of its own node": ("own", "PUT", "/v1/catalog/deregister", {"Node": "{node}", "ServiceID": "k1-known"}),
    "take a service out of another node": ("own", "PUT", "/v1/catalog/deregister", {"Node": "{other}", "ServiceID": "k1-known"}),
    "write a service by a transaction": ("own", "PUT", "/v1/txn", [{"Service": {
        "Verb": "set", "Node": "{other}", "Service": {"ID": "k1-probe", "Service": "k1-probe"}}}]),
    "make a node": ("own", "PUT", "/v1/catalog/register", GHOST),
    "remove a node": ("own", "PUT", "/v1/catalog/deregister", GHOST),
    "list the services of its agent": ("own", "GET", "/v1/agent/services", None),
    "list the services of another agent": ("other", "GET", "/v1/agent/services", None),
    "register a service at its agent": ("own", "PUT", "/v1/agent/service/register", {"Name": "k1-probe", "Port": 9}),
    "register a service at another agent": ("other", "PUT", "/v1/agent/service/register", {"Name": "k1-probe", "Port": 9}),
    "deregister a service of another agent": ("other", "PUT", "/v1/agent/service/deregister/k1-known", None),
    "read its agent": ("own", "GET", "/v1/agent/self", None),
    "read another agent": ("other", "GET", "/v1/agent/self", None),
    "read the log of its agent": ("own", "GET", "/v1/agent/monitor?loglevel=err", None),
    "reload its agent": ("own", "PUT", "/v1/agent/reload", None),
    "reload another agent": ("other", "PUT", "/v1/agent/reload", None),
    "put another host into maintenance": ("other", "PUT", "/v1/agent/maintenance?enable=false", None),
    "read a key": ("own", "GET", "/v1/kv/k1/probe?raw", None),
    "write a key": ("own", "PUT", "/v1/kv/k1/written", "x"),
    "write a key of the cluster store": ("own", "PUT", "/v1/kv/docker/k1", "x"),
    "write its balancer's state": ("own", "PUT", "/v1/kv/discovery/balancer/{node}", "x"),
    "write another balancer's state": ("own", "PUT", "/v1/kv/discovery/balancer/{other}", "x"),
    "read the shares": ("own", "GET", "/v1/kv/discovery/traffic/k1?raw", None),
    "write the shares": ("own", "PUT", "/v1/kv/discovery/traffic/k1-written", "x"),
    "write the owners of names": ("own", "PUT", "/v1/kv/discovery/owners/k1-written", "x"),
    "read a session of another node": ("own", "GET", "/v1/session/info/{session}", None),
    "make a session of its own node": ("own", "PUT", "/v1/session/create", {"Node": "{node}", "TTL": "10s"}),
    "make a session of another node": ("own", "PUT", "/v1/session/create", {"Node": "{other}", "TTL": "10s"}),
    "destroy a session of another node": ("own", "PUT", "/v1/session/destroy/{session}", None),
    "fire an event": ("own", "PUT", "/v1/event/fire/k1", None),
    "make a prepared query": ("own", "POST", "/v1/query", {"Name": "k1", "Service": {"Service": "consul"}}),
    "write a service's configuration": ("own", "PUT", "/v1/config", {
        "Kind": "service-defaults", "Name": "k1-probe", "Protocol": "tcp"}),
    "write the proxies' configuration": ("own", "PUT", "/v1/config", {"Kind": "proxy-defaults", "Name": "global"}),
    "read the Raft configuration": ("own", "GET", "/v1/operator/raft/configuration", None),
    "change autopilot": ("own", "PUT", "/v1/operator/autopilot/configuration?cas=1", {"CleanupDeadServers": True}),
    "list the gossip keys": ("own", "GET", "/v1/operator/keyring", None),
    "use a gossip key": ("own", "PUT", "/v1/operator/keyring", {"Key": "{gossip_key}"}),
    "list tokens": ("own", "GET", "/v1/acl/tokens", None),
    "write a policy": ("own", "PUT", "/v1/acl/policy", {"Name": "k1", "Rules": ""}),
    "take a snapshot": ("own", "GET", "/v1/snapshot", None),
}  # fmt: skip

# Runs on a host, with its own Python: sends requests with a token that is in no argument, one connection for each.
SCRIPT = r"""
import json, ssl, sys, urllib.error, urllib.request
job = json.load(sys.stdin)
tls = ssl.create_default_context(cafile="/etc/consul.d/tls/ca.pem")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
headers = {"X-Consul-Token": job["token"]} if job["token"] else {}
found = {}
for name, (base, method, path, body) in job["requests"].items():
    data = None if body is None else json.dumps(body).encode()
    try:
        with opener.open(urllib.request.Request(base + path, data, headers, method=method), timeout=10) as answer:
            found[name] = [answer.status, "" if "/monitor" in path else answer.read(2000).decode(errors="replace")]
    except urllib.error.HTTPError as error:
        found[name] = [error.code, error.read(300).decode(errors="replace")]
    except OSError as error:
        found[name] = [0, str(error)]
print(json.dumps(found))
"""


def table() -> dict[str, dict[str, bool]]:
    """Component to each request and whether it is allowed, as the document has it."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("<!-- tokens -->")[2].partition("<!-- /tokens -->")[0]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    head, rows = lines[0][1:], lines[2:]
    found: dict[str, dict[str, bool]] = {re.sub("`", "", name): {} for name in head}
    for name, *cells in rows:
        for component, cell in zip(found, cells, strict=True):
            assert cell in ("yes", ""), f"{name}: {cell!r}"
            found[component][name] = cell == "yes"
    return found


@contextlib.contextmanager
def objects(site, hosts):
    """Objects that REQUESTS name, and the id of a session of the second host; what requests may have made is removed after it."""
    api = site.consul()
    api.put("/v1/kv/k1/probe", "x")
    api.put("/v1/kv/discovery/traffic/k1", {"shares": {}})
    for node in hosts:
        site.consul(node).send("PUT", "/v1/agent/service/register", {"Name": "k1-known", "Port": 9})
    session = api.put("/v1/session/create", {"Node": hosts[1].name, "TTL": "60s"})["ID"]
    try:
        yield session
    finally:
        api.send("PUT", f"/v1/session/destroy/{session}")
        _clean(site, hosts)


def _clean(site, hosts):
    api = site.consul()
    for node in hosts:
        agent = site.consul(node)
        for service in {"k1-known", "k1-probe"} & set(agent.get("/v1/agent/services")):
            agent.send("PUT", f"/v1/agent/service/deregister/{service}")
        for part in ({"CheckID": "k1"}, {"ServiceID": "k1-probe"}, {"ServiceID": "k1-known"}):
            api.send("PUT", "/v1/catalog/deregister", {"Node": node.name, **part})
    api.send("PUT", "/v1/catalog/deregister", GHOST)
    for keys in ("k1/", "discovery/traffic/k1", "discovery/owners/k1", "docker/k1"):
        api.send("DELETE", f"/v1/kv/{keys}?recurse")
    for query in api.get("/v1/query"):
        if query["Name"] == "k1":
            api.send("DELETE", f"/v1/query/{query['ID']}")
    for policy in api.get("/v1/acl/policies"):
        if policy["Name"] == "k1":
            api.send("DELETE", f"/v1/acl/policy/{policy['ID']}")
    for entry in ("service-defaults/k1-probe", "proxy-defaults/global"):
        api.send("DELETE", f"/v1/config/{entry}")


def observed(site, node, other, token: str | None, session: str) -> dict[str, bool]:
    """What a token is allowed to do of REQUESTS, sent from `node`.

    :param session: id of a session of `other`
    """
    return send(site, node, other, token, session, REQUESTS)


def send(site, node, other, token: str | None, session: str, asked: dict) -> dict[str, bool]:
    """Whether each of some requests, in the form of REQUESTS, is allowed."""
    places = {
        "{node}": node.name, "{address}": node.address, "{other}": other.name, "{other_address}": other.address,
        "{session}": session, "{gossip_key}": (site.secrets / "gossip_key").read_text().strip(),
    }  # fmt: skip

    def filled(value):
        text = json.dumps(value)
        for key, known in places.items():
            text = text.replace(key, known)
        return json.loads(text)

    agents = {"own": "https://127.0.0.1:8501", "other": f"https://{other.address}:8501"}
    requests = {name: [agents[whose], method, filled(path), filled(body)] for name, (whose, method, path, body) in asked.items()}
    found: dict[str, bool] = {}

    def answered() -> bool:
        """500 is no answer: a refused snapshot may end in a reset connection, and a new session may not be known everywhere."""
        open_ = {name: request for name, request in requests.items() if name not in found}
        text = node.feed(f"python3 -c {shlex.quote(SCRIPT)}", json.dumps({"token": token, "requests": open_}))
        for name, (status, content) in json.loads(text).items():
            if status in (403, 404, 409):  # 409: of a transaction
                found[name] = False
            elif status == 200:
                found[name] = content not in EMPTY or requests[name][1] == "PUT" or "/monitor" in requests[name][2]
        assert found.keys() == requests.keys(), json.loads(text)
        return True

    eventually(answered, 20)
    return found
