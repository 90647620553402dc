"""What keeps Consul's servers from a Kubernetes cluster: mistakes in settings, and clusters that do not fit. Nothing changes
before."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping

from .kubernetes_dns import with_consul
from .kubernetes_manifests import DATACENTER_LABEL, OWNER
from .site import datacenter_problem, domain_problem, even_servers_problem

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
NO_KEY = hashlib.sha256(b"").hexdigest()
LONGEST_NAME = 40  # with "-server-" and a number it is the label of a pod in DNS, and part of one that Kubernetes makes
LONGEST_NAMESPACE = 63
QUANTITY = re.compile(r"[1-9][0-9]*([.][0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?")
BY_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
OF_THE_CLUSTER = re.compile(r"default|kube-.*")  # namespaces
# Settings of the agent with a secret in them; the ConfigMap is no place for one.
SECRET_SETTINGS = (("encrypt",), ("acl", "tokens"), ("auto_config", "intro_token"))
# Settings that the manifests depend on.
FIXED_SETTINGS = (
    ("datacenter",), ("domain",), ("node_name",), ("data_dir",), ("bind_addr",), ("advertise_addr",), ("client_addr",),
    ("ports",), ("tls",), ("leave_on_terminate",), ("http_config", "allow_write_http_from"),
)  # fmt: skip
OLDEST = (1, 31)  # of Kubernetes that the manifests were compared with
# Group of the API, resource, whether it is in the namespace, and the verbs that a run needs.
RIGHTS = (
    ("", "namespaces", False, ("create", "get", "patch")),
    ("", "nodes", False, ("list",)),
    ("storage.k8s.io", "storageclasses", False, ("list",)),
    ("", "configmaps", True, ("create", "get", "patch")),
    ("", "secrets", True, ("create", "get", "patch")),
    ("", "serviceaccounts", True, ("create", "get", "patch")),
    ("", "services", True, ("create", "get", "patch")),
    ("", "persistentvolumeclaims", True, ("list",)),
    ("", "pods", True, ("get", "list")),
    ("", "pods/portforward", True, ("create", "get")),
    ("apps", "statefulsets", True, ("create", "get", "patch")),
    ("networking.k8s.io", "networkpolicies", True, ("create", "get", "patch")),
    ("policy", "poddisruptionbudgets", True, ("create", "get", "patch")),
)
NAMES_RIGHTS = (("", "configmaps", "kube-system", ("get", "patch")),)


def needed_rights(namespace: str, cluster_dns: bool) -> list[dict]:
    """Rights that a run needs, one for each verb, as a SelfSubjectAccessReview has them.

    :param namespace: of the servers
    :param cluster_dns: whether the cluster's DNS is changed, too
    :returns: dicts with group, resource, subresource, namespace ('' for the whole cluster) and verb
    """
    rows = [(group, resource, namespace if inside else "", verbs) for group, resource, inside, verbs in RIGHTS]
    rows += NAMES_RIGHTS if cluster_dns else ()
    return [
        {
            "group": group, "resource": resource.partition("/")[0], "subresource": resource.partition("/")[2],
            "namespace": place, "verb": verb,
        }
        for group, resource, place, verbs in rows
        for verb in verbs
    ]  # fmt: skip


def settings_problems(host: str, settings: Mapping) -> list[str]:
    """Mistakes in the settings, one message each.

    :param host: inventory name that stands for the cluster
    :param settings: name, namespace, datacenter, domain, servers, allow_even_servers, image, storage, host_networks,
        write_networks and extra_config, as the role's variables have them; connection, Ansible's to the host
    :returns: [] when nothing is wrong; shows no secret
    """
    return [
        *filter(None, [connection_problem(host, settings["connection"])]),
        *_name_problems(host, settings),
        *_size_problems(host, settings),
        *_network_problems(host, settings),
        *_extra_problems(host, settings["extra_config"]),
    ]


def cluster_problems(host: str, settings: Mapping, found: Mapping) -> list[str]:
    """What of a cluster keeps a run from it, one message each.

    :param settings: name, namespace, datacenter, domain, servers, storage, storage_class, cluster_dns, secrets_dir, secrets
        (names of those that the controller has) and gossip_digest (SHA-256 of the controller's gossip key, '' or that of
        nothing for none)
    :param found: the result `cluster` of the module kubernetes_facts
    :returns: [] when nothing is wrong
    """
    if found["problem"]:
        return [f"the Kubernetes cluster of host {host} cannot be asked: {found['problem']}"]
    return [
        *_right_problems(host, found),
        *_version_problems(host, found["version"]),
        *_place_problems(host, settings, found),
        *_owner_problems(host, settings, found),
        *_running_problems(host, settings, found),
        *_secret_problems(host, settings, found),
        *_dns_problems(host, settings, found["corefile"]),
    ]


def connection_problem(host: str, connection: str) -> str:
    """A host elsewhere, which would be given secrets of the site; '' for the controller."""
    if connection == "local":
        return ""
    return (
        f"ansible_connection of host {host} is {connection}, but the host stands for a Kubernetes cluster and is the controller"
        " itself, which alone has all secrets: set it to local"
    )


def _name_problems(host: str, settings: Mapping) -> list[str]:
    problems = []
    for variable, longest in (("name", LONGEST_NAME), ("namespace", LONGEST_NAMESPACE)):
        value = settings[variable]
        if not isinstance(value, str) or not LABEL.fullmatch(value) or len(value) > longest:
            problems.append(
                f"consul_kubernetes_{variable} of host {host} is {value!r}: set it to up to {longest} lower-case letters,"
                " digits and hyphens, such as consul"
            )
    if isinstance(settings["namespace"], str) and OF_THE_CLUSTER.fullmatch(settings["namespace"]):
        problems.append(
            f"consul_kubernetes_namespace of host {host} is {settings['namespace']!r}, which is the cluster's own: set it to"
            " one for Consul alone, such as consul"
        )
    if problem := datacenter_problem(settings["datacenter"]):
        problems.append(f"consul_kubernetes_datacenter (discovery_datacenter) of host {host} {problem}")
    if problem := domain_problem(settings["domain"]):
        problems.append(f"consul_kubernetes_domain of host {host} {problem}")
    if not BY_DIGEST.fullmatch(str(settings["image"])):
        problems.append(
            f"consul_kubernetes_image of host {host} is {settings['image'] or 'not set'}: set it to an image with Consul in a"
            " registry of the site, pinned by its digest: name@sha256: with 64 hexadecimal digits"
        )
    return problems


def _size_problems(host: str, settings: Mapping) -> list[str]:
    problems = []
    servers = settings["servers"]
    even = even_servers_problem(servers, "consul_kubernetes_allow_even_servers")
    if servers < 1:
        problems.append(f"consul_kubernetes_servers is {servers} on host {host}: set it to 3, or to 1 or 5")
    elif even and not settings["allow_even_servers"]:
        problems.append(f"consul_kubernetes_servers is {servers} on host {host}; {even}")
    if not QUANTITY.fullmatch(str(settings["storage"])):
        problems.append(
            f"consul_kubernetes_storage of host {host} is {settings['storage']!r}: set it to a quantity of Kubernetes, such as"
            " 2Gi"
        )
    return problems


def _network_problems(host: str, settings: Mapping) -> list[str]:
    problems = []
    for variable in ("host_networks", "write_networks"):
        for network in settings[variable]:
            try:
                ipaddress.ip_network(str(network))
            except ValueError:
                problems.append(
                    f"consul_kubernetes_{variable} has {network!r} on host {host}: set networks such as 192.168.0.0/24, and"
                    " single addresses with /32"
                )
            else:
                if "/" not in str(network):
                    problems.append(f"consul_kubernetes_{variable} has {network!r} on host {host}: write it as {network}/32")
    return problems


def _extra_problems(host: str, extra: Mapping) -> list[str]:
    secret = [
        f"consul_kubernetes_extra_config of host {host} sets {'.'.join(path)}, which is a secret, and would stand in a"
        " ConfigMap that others may read: remove it; the role writes keys and tokens into Secrets"
        for path in SECRET_SETTINGS
        if _has(extra, path)
    ]
    fixed = [
        f"consul_kubernetes_extra_config of host {host} sets {'.'.join(path)}, which manifests and certificates depend on:"
        " remove it, and use the variable of the role where there is one"
        for path in FIXED_SETTINGS
        if _has(extra, path)
    ]
    return secret + fixed


def _has(config: Mapping, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(config, Mapping) or key not in config:
            return False
        config = config[key]
    return True


def _right_problems(host: str, found: Mapping) -> list[str]:
    """One message for all rights, so that whoever grants them does it once."""
    missing: dict[tuple[str, str], list[str]] = {}
    for one in found["missing_rights"]:
        name = "/".join(filter(None, (one["resource"], one["subresource"]))) + (f".{one['group']}" if one["group"] else "")
        missing.setdefault((name, one["namespace"]), []).append(one["verb"])
    listed = "; ".join(
        f"{', '.join(sorted(verbs))} {name} {f'in namespace {place}' if place else 'in the whole cluster'}"
        for (name, place), verbs in sorted(missing.items())
    )
    if not listed:
        return []
    return [
        f"the user of the kubeconfig of host {host} may not: {listed}. Give it a role with these rights, or use another"
        " kubeconfig"
    ]


def _version_problems(host: str, version: str) -> list[str]:
    number = re.match(r"v?(\d+)\.(\d+)", version)
    if number and (int(number[1]), int(number[2])) >= OLDEST:
        return []
    oldest = ".".join(map(str, OLDEST))
    return [f"host {host} runs Kubernetes {version or 'of an unknown version'}: the manifests are for {oldest} and newer"]


def _place_problems(host: str, settings: Mapping, found: Mapping) -> list[str]:
    """Nodes for the servers, and volumes. Where the user may not list them, that is a missing right."""
    problems = []
    if (nodes := found["nodes"]) is not None and len(nodes) < settings["servers"]:
        problems.append(
            f"consul_kubernetes_servers is {settings['servers']} on host {host}, and each needs a node of its own, but"
            f" {len(nodes)} of the cluster's nodes {'is' if len(nodes) == 1 else 'are'} ready for pods"
            f" ({', '.join(sorted(nodes)) or 'none'}): add nodes, or set it to {_odd(len(nodes))}"
        )
    if (classes := found["storage_classes"]) is None:
        return problems
    wanted = settings["storage_class"]
    defaults = sorted(name for name, default in classes.items() if default)
    known = ", ".join(sorted(classes)) or "none"
    if wanted and wanted not in classes:
        problems.append(
            f"consul_kubernetes_storage_class of host {host} is {wanted}, but the cluster has {known}: set it to one of these"
        )
    if not wanted and not defaults:
        problems.append(
            f"consul_kubernetes_storage_class of host {host} is not set, and no storage class of the cluster is the default (it"
            f" has {known}): set it to one of these"
        )
    return problems


def _owner_problems(host: str, settings: Mapping, found: Mapping) -> list[str]:
    """A namespace of somebody else, and one of another datacenter."""
    if (labels := found["namespace"]) is None:
        return []
    name = settings["namespace"]
    if labels.get("app.kubernetes.io/managed-by") != OWNER:
        owner = labels.get("app.kubernetes.io/managed-by", "")
        return [
            f"consul_kubernetes_namespace of host {host} is {name}, which exists already and is not the collection's"
            f"{f' (managed by {owner})' if owner else ''}: set it to another name, or hand that one over with kubectl label"
            f" namespace {name} --overwrite app.kubernetes.io/managed-by={OWNER}"
        ]
    datacenter = labels.get(DATACENTER_LABEL, settings["datacenter"])
    if datacenter != settings["datacenter"]:
        return [
            f"consul_kubernetes_datacenter of host {host} is {settings['datacenter']}, but Consul in namespace {name} is"
            f" datacenter {datacenter}, which its data keep: set it to {datacenter}, or consul_kubernetes_namespace to another"
            " name"
        ]
    return []


def _running_problems(host: str, settings: Mapping, found: Mapping) -> list[str]:
    """Changes of servers that run which the role does not make: fewer, and other volumes."""
    problems = []
    if found["replicas"] > settings["servers"]:
        problems.append(
            f"consul_kubernetes_servers is {settings['servers']} on host {host}, but {found['replicas']} servers run: one that is"
            f" taken away without leaving still counts as a voter, and the quorum may be lost. Set it to {found['replicas']}"
        )
    for variable, part, value in (
        ("storage", "size", settings["storage"]),
        # Kubernetes writes the name of the default class into claims, not into the StatefulSet.
        ("storage_class", "class", settings["storage_class"]),
    ):
        present = found["volume"].get(part, value)
        if present != value:
            problems.append(
                f"consul_kubernetes_{variable} of host {host} is {value!r}, but the servers were made with {present!r}, which"
                f" Kubernetes does not change: set it to {present!r}"
            )
    return problems


def _secret_problems(host: str, settings: Mapping, found: Mapping) -> list[str]:
    """Secrets that the controller lacks or has otherwise, while the cluster runs with them: the cluster is the truth."""
    running = found["stateful_set"] or bool(found["claims"]) or bool(found["gossip_digest"]) or found["certificate"]
    lost = sorted({"ca.key", "ca.pem", "gossip_key", "management_token"} - set(settings["secrets"]))
    if running and lost:
        return [
            f"discovery_secrets_dir is {settings['secrets_dir']}, which has no {', '.join(lost)}, but Consul in namespace"
            f" {settings['namespace']} of host {host} was set up with {'it' if len(lost) == 1 else 'them'}; nothing was"
            " created. Put the directory back from its backup, or set discovery_secrets_dir to where it is"
        ]
    if found["gossip_digest"] and settings["gossip_digest"] not in ("", NO_KEY, found["gossip_digest"]):
        return [
            f"the gossip key in {settings['secrets_dir']} is not the one of Consul in namespace {settings['namespace']} of host"
            f" {host}: set discovery_secrets_dir to the secrets of this cluster"
        ]
    return []


def _dns_problems(host: str, settings: Mapping, corefile: str | None) -> list[str]:
    """A cluster whose DNS cannot be led to Consul, where that is asked for."""
    if not settings["cluster_dns"]:
        return []
    off = "set consul_kubernetes_cluster_dns: false, and lead its DNS to the Service for DNS by its own means"
    if corefile is None:
        return [
            f"consul_kubernetes_cluster_dns is true on host {host}, but the cluster has no ConfigMap coredns in kube-system"
            f" with a Corefile, or its user may not read it: {off}"
        ]
    try:
        with_consul(corefile, settings["domain"], "")
    except ValueError as error:
        return [f"the ConfigMap coredns in kube-system of host {host} cannot be changed: {error}; or {off}"]
    return []


def _odd(number: int) -> int:
    return max(1, number - 1 + number % 2)
