"""The tokens of Consul: which ones a site needs, and what is to be done about those that the cluster has.

A token is recognised by its description, `<component> on <host>` or `<component> of the site`: its secret and with it its
accessor change when it is rotated. `wanted` are the dicts of `wanted_tokens`, `listed` is the answer of /v1/acl/tokens
to a management token, which shows the secrets.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping

# What a bootstrap calls the token it makes; after a rotation it is "management of the site".
BOOTSTRAPPED, MANAGEMENT = "Bootstrap Token (Global Management)", "management of the site"


def wanted_tokens(
    hosts_of: Mapping[str, Iterable[str]], datacenter: str, site: Iterable[str] = (), own: Iterable[str] = ()
) -> list[dict]:
    """One token for each component on each host, and one for each component of the whole site.

    :param hosts_of: component (agent, dns, registrator, consul_template) to host names
    :param datacenter: Consul's, part of the agents' rights
    :param site: components that are not of one host (operations, ui, management)
    :param own: components with a policy for each host as well, `<component>-<host>`
    :returns: dicts with name (of the secret), component, host ('' for the site), description, policies, node_identities

    The agent's rights are those of its node, management has all; every other component has the policy of its name.
    """
    pairs = [(component, host) for component, hosts in hosts_of.items() for host in hosts]
    tokens = [_wanted(component, host, datacenter) for component, host in [*pairs, *((component, "") for component in site)]]
    for token in tokens:
        if token["host"] and token["component"] in own:
            token["policies"].append({"name": _own_policy(token)})
    return tokens


def wanted_policies(wanted: Iterable[Mapping], rules: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The policies that tokens of the site have: name to rules.

    :param rules: component to the rules that count on every host
    :param own: component to rules for each of its hosts, `{host}` is its name
    """
    policies = {}
    for token in wanted:
        if token["component"] in rules:
            policies[token["component"]] = rules[token["component"]]
        if token["host"] and token["component"] in own:
            policies[_own_policy(token)] = own[token["component"]].replace("{host}", token["host"])
    return policies


def chosen_tokens(wanted: Iterable[Mapping], component: str = "", hosts: Iterable[str] = ()) -> list[dict]:
    """Those of one component ('' for all) on certain hosts (none for all); a token of the site is on every host."""
    hosts = set(hosts)
    return [
        dict(token)
        for token in wanted
        if component in ("", token["component"]) and (not hosts or token["host"] in hosts | {""})
    ]


def token_changes(wanted: Iterable[Mapping], listed: Iterable[Mapping], secrets: Mapping[str, str]) -> list[dict]:
    """Those of the wanted tokens that the cluster lacks or holds with other rights, each with its accessor_id.

    :param secrets: name of the token to its SecretID
    """
    present = {token["SecretID"]: token for token in listed}
    changes = []
    for token in wanted:
        secret = secrets[token["name"]]
        found = present.get(secret)
        if _rights(token) != _listed_rights(found):
            accessor = found["AccessorID"] if found else accessor_id(token["description"], secret)
            changes.append(dict(token) | {"accessor_id": accessor})
    return changes


def token_conflicts(wanted: Iterable[Mapping], listed: Iterable[Mapping], secrets: Mapping[str, str]) -> list[str]:
    """Names of the tokens that the cluster has, but not with the controller's secret."""
    held = _secrets_of(listed)
    return [
        token["name"]
        for token in wanted
        if token["description"] in held and secrets[token["name"]] not in held[token["description"]]
    ]


def adopted_tokens(wanted: Iterable[Mapping], listed: Iterable[Mapping]) -> dict[str, str]:
    """Name to SecretID of the wanted tokens that the cluster has already; the newest, where a rotation left two."""
    held = _secrets_of(listed)
    return {token["name"]: held[token["description"]][-1] for token in wanted if token["description"] in held}


def superseded_tokens(wanted: Iterable[Mapping], listed: Iterable[Mapping], secrets: Mapping[str, str]) -> list[dict]:
    """The tokens of the cluster that another one has taken the place of.

    :returns: dicts with name, accessor_id, secret_id, and newer: whether it was made after the controller's; nothing for
        a token whose present secret the cluster does not know
    """
    listed = list(listed)
    held = _secrets_of(listed)
    current = {
        token["description"]: token["name"]
        for token in wanted
        if secrets[token["name"]] in held.get(token["description"], [])
    }
    age = {found["SecretID"]: found.get("CreateIndex", 0) for found in listed}
    return [
        {
            "name": current[_described(found)],
            "accessor_id": found["AccessorID"],
            "secret_id": found["SecretID"],
            "newer": age[found["SecretID"]] > age[secrets[current[_described(found)]]],
        }
        for found in _by_age(listed)
        if _described(found) in current and found["SecretID"] != secrets[current[_described(found)]]
    ]


def forgotten_tokens(listed: Iterable[Mapping], host: str, components: Iterable[str]) -> list[dict]:
    """The tokens of a host that has left: dicts with name (of the secret) and accessor_id."""
    descriptions = {f"{component} on {host}": f"tokens/{component}-{host}" for component in components}
    return [
        {"name": descriptions[found["Description"]], "accessor_id": found["AccessorID"]}
        for found in _by_age(listed)
        if found.get("Description") in descriptions
    ]


def accessor_id(description: str, secret: str) -> str:
    """The accessor of a token: the same in every run, another one for another secret, and silent about it."""
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"fewnodes.discovery/{description}/{digest}"))


def _wanted(component: str, host: str, datacenter: str) -> dict:
    token = {
        "name": f"tokens/{component}-{host}" if host else f"tokens/{component}",
        "component": component,
        "host": host,
        "description": f"{component} on {host}" if host else f"{component} of the site",
        "policies": [{"name": component}],
        "node_identities": [],
    }
    if component == "agent":
        token |= {"policies": [], "node_identities": [{"node_name": host, "datacenter": datacenter}]}
    if component == "management":
        token |= {"name": "management_token", "policies": [{"name": "global-management"}]}
    return token


def _own_policy(token: Mapping) -> str:
    return f"{token['component']}-{token['host']}"


def _by_age(listed: Iterable[Mapping]) -> list[Mapping]:
    return sorted(listed, key=lambda token: token.get("CreateIndex", 0))


def _described(token: Mapping) -> str:
    description = token.get("Description", "")
    return MANAGEMENT if description == BOOTSTRAPPED else description


def _secrets_of(listed: Iterable[Mapping]) -> dict[str, list[str]]:
    """Description to SecretIDs, the oldest first."""
    held: dict[str, list[str]] = {}
    for token in _by_age(listed):
        held.setdefault(_described(token), []).append(token["SecretID"])
    return held


def _rights(token: Mapping) -> tuple:
    return (
        sorted(policy["name"] for policy in token["policies"]),
        sorted((identity["node_name"], identity["datacenter"]) for identity in token["node_identities"]),
        token["description"],
    )


def _listed_rights(token: Mapping | None) -> tuple | None:
    if token is None:
        return None
    return (
        sorted(policy["Name"] for policy in token.get("Policies") or []),
        sorted((identity["NodeName"], identity["Datacenter"]) for identity in token.get("NodeIdentities") or []),
        _described(token),
    )
