"""Access control of Consul: which policies and tokens a site needs, and what differs from those of the cluster.

A token is recognised by its description, `<component> on <node>` or `<component> of the site`: a rotation changes its secret
and its accessor. `wanted` are the dicts of `wanted_tokens`; `listed` is the answer of /v1/acl/tokens to a management token,
which shows the secrets. `Acl` runs the states of the module consul_acl: it compares, and writes secrets on the controller.

The running cluster is the truth, and an interrupted run is resumable: a secret is on the controller before the cluster gets it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

# Description of the token that a bootstrap creates; after a rotation it is "management of the site".
BOOTSTRAPPED, MANAGEMENT = "Bootstrap Token (Global Management)", "management of the site"
ANONYMOUS = "00000000-0000-0000-0000-000000000002"  # accessor of the token that Consul itself creates
MANAGEMENT_FILE = "management_token"
OF_NODE = ("agent", "registrator_clear")  # components with the rights of their node, instead of a policy
REGISTRATOR = "registrator"  # the component whose rights on a host may be limited to some services
DECLARED = "declared"  # services in files of an agent
TEMPLATES = "templates"  # a user's own templates, whose token reads some keys
OPTIONAL = (DECLARED, TEMPLATES)  # a host has a token of these only while it declares services, or has templates


def wanted_tokens(
    hosts_of: Mapping[str, Iterable[str]],
    datacenter: str,
    site: Iterable[str] = (),
    own: Iterable[str] = (),
    services: Mapping[str, Mapping[str, Iterable[str]]] | None = None,
    keys: Mapping[str, Iterable[str]] | None = None,
) -> list[dict]:
    """One token for each component on each host, and one for each component of the whole site.

    :param hosts_of: component (agent, dns, registrator, consul_template) to names of nodes
    :param datacenter: Consul's, part of the agents' rights
    :param site: components that are not of one host (operations, ui, management)
    :param own: components with a policy for each host as well, `<component>-<node>`
    :param services: component (registrator, declared) to node to the services that its token may write, which has the policy
        `<component>-<node>` alone
    :param keys: node to the prefixes of the keys that its templates may read; their token has the policy `templates-<node>`, too
    :returns: dicts with name (of the secret), component, host ('' for the site), description, policies, node_identities

    The rights of OF_NODE are those of the node, management has all; every other component has the policy of its name.
    """
    pairs = [(component, host) for component, hosts in hosts_of.items() for host in hosts]
    tokens = [_wanted(component, host, datacenter) for component, host in [*pairs, *((component, "") for component in site)]]
    for token in tokens:
        if token["host"] and (token["component"] in own or _reads_keys(token, keys or {})):
            token["policies"].append({"name": _own_policy(token)})
        if _is_limited(token, services or {}):
            token["policies"] = [{"name": _own_policy(token)}]
    return tokens


def token_names(hosts_of: Mapping[str, Iterable[str]], site: Iterable[str] = ()) -> list[str]:
    """Names of the secrets of `wanted_tokens`."""
    return [token["name"] for token in wanted_tokens(hosts_of, "", site)]


def wanted_policies(
    wanted: Iterable[Mapping],
    rules: Mapping[str, str],
    own: Mapping[str, str],
    services: Mapping[str, Mapping[str, Iterable[str]]] | None = None,
    keys: Mapping[str, Iterable[str]] | None = None,
) -> dict[str, str]:
    """The policies that tokens of the site have: name to rules.

    :param rules: component to the rules that count on every host
    :param own: component to rules for each of its hosts, `{host}` is the node's name
    :param services: as `wanted_tokens` takes it, and so is `keys`
    """
    policies = {}
    for token in wanted:
        if token["component"] in rules:
            policies[token["component"]] = rules[token["component"]]
        if token["host"] and token["component"] in own:
            policies[_own_policy(token)] = own[token["component"]].replace("{host}", token["host"])
        if _is_limited(token, services or {}):
            policies[_own_policy(token)] = service_rules(services[token["component"]][token["host"]])
        if _reads_keys(token, keys or {}):
            policies[_own_policy(token)] = key_rules(keys[token["host"]])
    return policies


def service_rules(services: Iterable[str]) -> str:
    """Rules that let a registrator, or an agent for its files, write some services, and see the others of its agent.

    :param services: names, and prefixes that end with `*`
    """
    kinds = [("service_prefix", name[:-1]) if name.endswith("*") else ("service", name) for name in sorted(set(services))]
    written = [f'{kind} "{name}" {{ policy = "write" }}\n' for kind, name in kinds]
    others = [] if ("service_prefix", "") in kinds else ['service_prefix "" { policy = "read" }\n']
    return "".join([*others, 'service "consul" { policy = "read" }\n', *written])


def key_rules(prefixes: Iterable[str]) -> str:
    """Rules that let templates read the keys that begin with one of the prefixes."""
    return "".join(f'key_prefix "{prefix}" {{ policy = "read" }}\n' for prefix in sorted(set(prefixes)))


def _reads_keys(token: Mapping, keys: Mapping[str, Iterable[str]]) -> bool:
    return token["component"] == TEMPLATES and bool(keys.get(token["host"]))


def _is_limited(token: Mapping, services: Mapping[str, Mapping[str, Iterable[str]]]) -> bool:
    return bool((services.get(token["component"]) or {}).get(token["host"]))


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


def surplus_tokens(
    wanted: Iterable[Mapping], listed: Iterable[Mapping], left: Mapping[str, Iterable[str]] | None = None
) -> list[dict]:
    """Tokens on hosts that need none any more: of OPTIONAL components on any host, of others on hosts that have nothing more
    that uses them.

    :param left: component to such nodes
    :returns: dicts with name (of the secret), accessor_id and policy

    A token that somebody else has made under such a description has another accessor, and stays.
    """
    kept = {token["description"] for token in wanted}
    found = [(one["Description"].partition(" on "), one) for one in _by_age(listed) if one.get("Description", "") not in kept]
    return [
        {"name": f"tokens/{component}-{host}", "accessor_id": one["AccessorID"], "policy": f"{component}-{host}"}
        for (component, on, host), one in found
        if on and (component in OPTIONAL or host in (left or {}).get(component, ()))
        if one["AccessorID"] == accessor_id(one["Description"], one["SecretID"])
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
    if component in OF_NODE:
        token |= {"policies": [], "node_identities": [{"node_name": host, "datacenter": datacenter}]}
    if component == "management":
        token |= {"name": MANAGEMENT_FILE, "policies": [{"name": "global-management"}]}
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


def unknown_tokens(listed: Iterable[Mapping], secrets: Iterable[str]) -> list[Mapping]:
    """The tokens of the cluster whose secret is none of the controller's, without the anonymous one."""
    known = set(secrets)
    return [token for token in listed if token["SecretID"] not in known and token["AccessorID"] != ANONYMOUS]


def token_request(change: Mapping, listed: Iterable[Mapping], secret: str) -> dict:
    """The request that writes a token of `token_changes`: path below /v1 and body. Other rights of a known token stay."""
    accessor = change["accessor_id"]
    found = next((token for token in listed if token["AccessorID"] == accessor), None)
    body = {key: found[key] for key in ("Roles", "ServiceIdentities", "TemplatedPolicies") if found.get(key)} if found else {}
    body |= {
        "AccessorID": accessor,
        "SecretID": secret,
        "Description": change["description"],
        "Policies": [{"Name": policy["name"]} for policy in change["policies"]],
        "NodeIdentities": [
            {"NodeName": identity["node_name"], "Datacenter": identity["datacenter"]}
            for identity in change["node_identities"]
        ],
    }
    return {"path": f"acl/token/{accessor}" if found else "acl/token", "body": body}


def digest(secret: str) -> str:
    """Identifies a secret without showing it."""
    return hashlib.sha256(secret.encode()).hexdigest()


class AclError(Exception):
    """A message for the user; without a secret."""


@dataclass(frozen=True)
class Site:
    """Access control that a site needs.

    :ivar datacenter: Consul's
    :ivar tokens: component to names of nodes
    :ivar site_tokens: components with one token for the whole site
    :ivar policies: component to its rules
    :ivar host_policies: component to rules for each of its hosts, `{host}` is the node's name
    :ivar services: component (registrator, declared) to node to the services that it may write, names and prefixes; a registrator
        without an entry all
    :ivar keys: node to the prefixes of the keys that its templates may read
    :ivar left: component to the nodes that have left its group and have nothing more that uses their token
    """

    datacenter: str
    tokens: Mapping[str, Iterable[str]]
    site_tokens: list[str] = field(default_factory=list)
    policies: Mapping[str, str] = field(default_factory=dict)
    host_policies: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, Mapping[str, Iterable[str]]] = field(default_factory=dict)
    keys: Mapping[str, Iterable[str]] = field(default_factory=dict)
    left: Mapping[str, Iterable[str]] = field(default_factory=dict)

    def wanted(self, *more: str) -> list[dict]:
        """The tokens. :param more: further components of the whole site, such as management"""
        site = [*self.site_tokens, *more]
        return wanted_tokens(self.tokens, self.datacenter, site, self.host_policies, self.services, self.keys)

    def components(self) -> list[str]:
        """Every component that may have tokens."""
        return list(dict.fromkeys(["agent", *self.policies, *self.tokens]))


class Acl:
    """The states of the module consul_acl.

    :param secrets: the `secrets.Secrets` of the site
    :param ask: runs the module consul_acl_request on the host of the task and gives its result; takes its options
    :param check_mode: nothing is written; the module on the host knows it by itself
    """

    def __init__(self, site: Site, secrets, ask: Callable[..., Mapping], check_mode: bool = False):
        self.site, self.secrets, self.ask, self.check_mode = site, secrets, ask, check_mode

    def bootstrapped(self) -> dict:
        """The cluster accepts the management token; a cluster without access control is bootstrapped with it."""
        status = self._asked(bootstrap=True, list_tokens=False)["status"]
        return {"changed": status == "bootstrapped", "status": status}

    def imported(self) -> dict:
        """Secrets that the controller lacks come from the cluster, where it has them. A cluster that does not answer, or
        rejects the management token, is reported in `status` and is no error: another server may answer."""
        found = self.ask(token=self._management())
        adopted = adopted_tokens(self.site.wanted(), found["tokens"])
        missing = self.secrets.missing(adopted)
        created = missing if self.check_mode else self.secrets.create({name: adopted[name] for name in missing})
        return {"changed": bool(created), "status": found["status"], "imported": created, "known": sorted(adopted)}

    def present(self) -> dict:
        """Policies and tokens of the site are in the cluster, with the secrets of the controller. A missing secret is
        imported, else generated. A host that may declare no service, has no template, or has left a group, loses the token
        for it."""
        wanted = self.site.wanted()
        policies = wanted_policies(wanted, self.site.policies, self.site.host_policies, self.site.services, self.site.keys)
        found = self._asked(bootstrap=True, policies=policies)
        texts = self._texts(wanted, adopted_tokens(wanted, found["tokens"]))
        if conflicts := token_conflicts(wanted, found["tokens"], texts):
            raise AclError(
                f"In {self.secrets.directory} these files hold another secret than the running cluster: {', '.join(conflicts)}."
                " Put them back from the backup. If there is none: remove the files and run again; the cluster's secrets are"
                " imported."
            )
        written = self._write(token_changes(wanted, found["tokens"], texts), found["tokens"], texts)
        removed = self._forget(surplus_tokens(wanted, found["tokens"], self.site.left))
        changed = bool(written or removed or found["policies"] or found["status"] == "bootstrapped")
        return {"changed": changed, "policies": list(found["policies"]), "tokens": written, "removed": removed}

    def restored(self) -> dict:
        """After a snapshot was restored: tokens of the site with an older secret go, then `present`. Tokens of the snapshot
        that are none of the site's are in `unknown`."""
        wanted = self.site.wanted()
        listed = self._asked()["tokens"]
        texts = self._texts(wanted, {})
        ours = {token["description"] for token in wanted}
        unknown = unknown_tokens(listed, [*texts.values(), self._management()])
        old = [token for token in unknown if token["Description"] in ours]
        rest = [token["Description"] for token in unknown if token["Description"] not in ours]
        self._delete(token["AccessorID"] for token in old)
        done = {} if self.check_mode else self.present()
        return done | {"changed": True, "removed": [token["Description"] for token in old], "unknown": rest}

    def absent(self, host: str) -> dict:
        """Tokens and policies of a host that has left are removed, in the cluster first, then on the controller."""
        forgotten = forgotten_tokens(self._asked()["tokens"], host, self.site.components())
        found = self._asked(
            absent_tokens=[token["accessor_id"] for token in forgotten],
            absent_policies=[f"{component}-{host}" for component in sorted({*self.site.host_policies, REGISTRATOR, *OPTIONAL})],
            list_tokens=False,
        )
        names = [f"tokens/{component}-{host}" for component in self.site.components()]
        files = [name for name in names if (self.secrets.path(name).exists() if self.check_mode else self.secrets.remove(name))]
        tokens = [token["name"] for token in forgotten]
        return {"changed": bool(tokens or files or found["policies"]), "removed": sorted({*tokens, *files})}

    def rotation_begun(self, component: str = "", hosts: Iterable[str] = (), management: bool = False) -> dict:
        """New tokens exist beside the present ones, with the secrets `<name>.next`. Where the cluster still has a token that
        is older than the controller's, an earlier rotation was interrupted: that one is finished first, without a new token."""
        rotating, texts, listed = self._rotating(component, hosts, management)
        if token_changes(rotating, listed, texts):
            raise AclError(self._rotate_first())
        superseded = superseded_tokens(rotating, listed, texts)
        names = list(dict.fromkeys(token["name"] for token in superseded))
        begun = {token["name"] for token in superseded if token["newer"]}
        unfinished = [name for name in names if name not in begun]
        if not self.check_mode:
            self._generate(f"{token['name']}.next" for token in rotating if token["name"] not in unfinished)
        new = {
            token["name"]: self.secrets.read(f"{token['name']}.next")
            for token in rotating
            if not self.secrets.missing([f"{token['name']}.next"])
        }
        chosen = [token for token in rotating if token["name"] in new]
        self._write(token_changes(chosen, listed, new), listed, new)
        return {"changed": bool(new), "rotated": list(new), "interrupted": names}

    def rotation_finished(
        self, component: str = "", hosts: Iterable[str] = (), management: bool = False, accessor_ids: Iterable[str] = ()
    ) -> dict:
        """Superseded tokens are deleted, those of `accessor_ids` only: they are proven unused. Check mode reports them."""
        rotating, texts, listed = self._rotating(component, hosts, management)
        superseded = [
            {"name": token["name"], "accessor_id": token["accessor_id"], "digest": digest(token["secret_id"])}
            for token in superseded_tokens(rotating, listed, texts)
        ]
        if self.check_mode:
            return {"changed": bool(superseded), "superseded": superseded}
        proven = set(accessor_ids)
        removed = [token for token in superseded if token["accessor_id"] in proven]
        self._delete(token["accessor_id"] for token in removed)
        return {"changed": bool(removed), "superseded": superseded, "removed": [token["name"] for token in removed]}

    def _rotating(self, component: str, hosts: Iterable[str], management: bool) -> tuple[list[dict], dict[str, str], list]:
        """Tokens of a rotation, their present secrets, and the tokens of the cluster."""
        rotating = chosen_tokens(self.site.wanted(*(["management"] if management else [])), component, hosts)
        if self.secrets.missing(token["name"] for token in rotating):
            raise AclError(self._rotate_first())
        texts = {token["name"]: self.secrets.read(token["name"]) for token in rotating}
        return rotating, texts, self._asked()["tokens"]

    def _rotate_first(self) -> str:
        return (
            f"The tokens in {self.secrets.directory} are not those of the cluster; nothing was rotated. Run playbooks/consul.yml"
            " first: it repairs them, or fails with the reason."
        )

    def _asked(self, **options) -> Mapping:
        """The answer to the management token; fails when the cluster rejects it."""
        found = self.ask(token=self._management(), **options)
        if found["status"] == "rejected":
            raise AclError(
                f"{self.secrets.directory}/{MANAGEMENT_FILE} is not a token of the running cluster. Put the secrets directory"
                " back from its backup, or set discovery_secrets_dir to where it is. If there is none: run"
                " playbooks/recover_secrets.yml, which makes the cluster accept this file."
            )
        if found["status"] not in ("accepted", "bootstrapped"):
            raise AclError(f"the agent cannot be asked for its tokens ({found['status']}): {found['error']}")
        return found

    def _management(self) -> str:
        try:
            return self.secrets.read(MANAGEMENT_FILE)
        except FileNotFoundError:
            raise AclError(
                f"{self.secrets.directory} has no {MANAGEMENT_FILE}. Set discovery_secrets_dir to the secrets of the site; if"
                " they are lost: playbooks/recover_secrets.yml."
            ) from None

    def _texts(self, wanted: Iterable[Mapping], adopted: Mapping[str, str]) -> dict[str, str]:
        """Secrets of tokens; missing ones are those of the cluster, else new ones."""
        names = [token["name"] for token in wanted]
        texts = {name: adopted.get(name) or str(uuid.uuid4()) for name in self.secrets.missing(names)}
        if self.check_mode:
            return texts | {name: self.secrets.read(name) for name in names if name not in texts}
        self.secrets.create(texts)
        return {name: self.secrets.read(name) for name in names}

    def _generate(self, names: Iterable[str]) -> None:
        self.secrets.create({name: str(uuid.uuid4()) for name in self.secrets.missing(names)})

    def _write(self, changes: list[dict], listed: Iterable[Mapping], texts: Mapping[str, str]) -> list[str]:
        """Write tokens; gives their descriptions."""
        requests = [token_request(change, listed, texts[change["name"]]) for change in changes]
        if requests:
            # A limit that is lifted leaves its policy behind.
            limits = [[{"name": REGISTRATOR}], [{"name": TEMPLATES}]]
            lifted = [_own_policy(one) for one in changes if one["policies"] in limits and one["host"]]
            self._asked(tokens=requests, absent_policies=lifted, list_tokens=False)
        return [change["description"] for change in changes]

    def _forget(self, surplus: list[dict]) -> list[str]:
        """Delete tokens of `surplus_tokens`, their policies and their secrets on the controller, in the cluster first; gives the
        names of the secrets."""
        names, policies = (sorted({token[key] for token in surplus}) for key in ("name", "policy"))
        if surplus and not self.check_mode:
            accessors = [token["accessor_id"] for token in surplus]
            self._asked(absent_tokens=accessors, absent_policies=policies, list_tokens=False)
            for name in names:
                self.secrets.remove(name)
        return names

    def _delete(self, accessor_ids: Iterable[str]) -> None:
        if accessor_ids := list(accessor_ids):
            self._asked(absent_tokens=accessor_ids, list_tokens=False)
