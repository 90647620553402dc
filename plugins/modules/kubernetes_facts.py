#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_facts
short_description: Facts about a Kubernetes cluster for Consul's servers (internal)
description:
  - Gathers what the role consul_kubernetes must know of a cluster before it changes something. It is internal and may change at
    any time.
  - Secrets are compared on the spot, so the result has none of them. Asks the cluster what its user may do
    (C(SelfSubjectAccessReview)), which it stores nowhere.
options:
  kubeconfig: {description: File with the access to the cluster; empty for the user's own., type: str, default: ""}
  context: {description: Context of the file; empty for its current one., type: str, default: ""}
  namespace: {description: Namespace of the servers., type: str, required: true}
  server: {description: Name of their StatefulSet., type: str, required: true}
  instance: {description: Value of the label C(app.kubernetes.io/instance) of their volumes., type: str, required: true}
  rights:
    description:
      - Rights that are needed, dictionaries with group, resource, subresource, namespace (empty for the whole cluster) and verb.
    type: list
    elements: dict
    default: []
requirements: [kubernetes]
attributes:
  check_mode:
    description: The same in check mode; nothing is changed in either.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Gather the facts of the cluster
  fewnodes.discovery.kubernetes_facts:
    namespace: consul
    server: consul-server
    instance: consul
  register: result
"""

RETURN = r"""
cluster:
  description: The state of the cluster.
  returned: always
  type: dict
  contains:
    problem: {description: Why it cannot be asked; empty when it can., type: str}
    version: {description: Of Kubernetes., type: str}
    missing_rights: {description: Those of O(rights) that the user does not have., type: list, elements: dict}
    nodes: {description: Nodes that are ready and take pods; none where the user may not list them., type: list, elements: str}
    storage_classes: {description: Name to whether it is the default; none where the user may not list them., type: dict}
    namespace: {description: Labels of the namespace; none where it is not there., type: dict}
    stateful_set: {description: Whether it exists., type: bool}
    replicas: {description: Servers that it asks for; 0 where it does not exist., type: int}
    volume: {description: Size and class (empty for the default) of its volumes; empty where it does not exist., type: dict}
    claims: {description: Names of the servers' claims of volumes., type: list, elements: str}
    certificate: {description: Whether the servers have a certificate., type: bool}
    gossip_digest: {description: SHA-256 of the servers' gossip key; empty when they have none., type: str}
    corefile: {description: Configuration of the cluster's CoreDNS; none where the user may not read it., type: str}
"""

import base64  # noqa: E402
import hashlib  # noqa: E402
import json  # noqa: E402
from collections.abc import Iterable, Mapping  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.kubernetes_api import Cluster, ClusterError  # noqa: E402

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
COREDNS = "/api/v1/namespaces/kube-system/configmaps/coredns"
FORBIDDEN = 403


def node_takes_pods(node: Mapping) -> bool:
    """Whether a node is ready, not cordoned, and has no taint that keeps pods away."""
    spec = node.get("spec") or {}
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    tainted = any(one["effect"] in ("NoSchedule", "NoExecute") for one in spec.get("taints") or [])
    return ready and not tainted and not spec.get("unschedulable")


def storage_classes(items: Iterable[Mapping]) -> dict[str, bool]:
    """Name to whether it is the default."""
    return {
        item["metadata"]["name"]: (item["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true" for item in items
    }


def gossip_digest(secret: Mapping | None) -> str:
    """SHA-256 of the key in a Secret with the file gossip.json, '' for none."""
    try:
        key = json.loads(base64.b64decode(secret["data"]["gossip.json"]))["encrypt"]
    except (KeyError, TypeError, ValueError):
        return ""
    return hashlib.sha256(key.encode()).hexdigest()


def volume(stateful_set: Mapping | None) -> dict[str, str]:
    """Size and class of the volumes that a StatefulSet makes, which Kubernetes changes never; {} for none."""
    templates = ((stateful_set or {}).get("spec") or {}).get("volumeClaimTemplates") or []
    return {
        "size": templates[0]["spec"]["resources"]["requests"]["storage"],
        "class": templates[0]["spec"].get("storageClassName") or "",
    } if templates else {}  # fmt: skip


def missing_rights(cluster, rights: Iterable[Mapping]) -> list[Mapping]:
    """Those that the cluster refuses its user."""
    missing = []
    for one in rights:
        asked = {name: value for name, value in one.items() if value}
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": asked},
        }  # fmt: skip
        if not ((cluster.post(REVIEWS, review) or {}).get("status") or {}).get("allowed"):
            missing.append(one)
    return missing


def gather(cluster, namespace: str, server: str, instance: str, rights: Iterable[Mapping] = ()) -> dict:
    """The facts, as in RETURN.

    :param cluster: a `Cluster`
    :raises ClusterError: it cannot be asked
    """
    inside = f"/api/v1/namespaces/{namespace}"
    found = {
        "problem": "",
        "version": (cluster.get("/version") or {}).get("gitVersion", ""),
        "missing_rights": missing_rights(cluster, rights),
    }
    nodes = _items(cluster, "/api/v1/nodes")
    classes = _items(cluster, "/apis/storage.k8s.io/v1/storageclasses")
    labels = _allowed(cluster, inside)
    servers = _allowed(cluster, f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{server}")
    claims = _items(cluster, f"{inside}/persistentvolumeclaims?labelSelector=app.kubernetes.io%2Finstance%3D{instance}")
    return found | {
        "nodes": None if nodes is None else sorted(one["metadata"]["name"] for one in nodes if node_takes_pods(one)),
        "storage_classes": None if classes is None else storage_classes(classes),
        "namespace": None if labels is None else labels["metadata"].get("labels") or {},
        "stateful_set": servers is not None,
        "replicas": ((servers or {}).get("spec") or {}).get("replicas", 0),
        "volume": volume(servers),
        "claims": sorted(one["metadata"]["name"] for one in claims or []),
        "certificate": _allowed(cluster, f"{inside}/secrets/{server}-tls") is not None,
        "gossip_digest": gossip_digest(_allowed(cluster, f"{inside}/secrets/{server}-gossip")),
        "corefile": ((_allowed(cluster, COREDNS) or {}).get("data") or {}).get("Corefile"),
    }


def _items(cluster, path: str):
    """The items of a list; None where the user may not list them, which is a missing right."""
    listed = _allowed(cluster, path)
    return None if listed is None else listed.get("items") or []


def _allowed(cluster, path: str):
    try:
        return cluster.get(path)
    except ClusterError as error:
        if error.status == FORBIDDEN:
            return None
        raise


def main():
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "str", "default": ""},
            "context": {"type": "str", "default": ""},
            "namespace": {"type": "str", "required": True},
            "server": {"type": "str", "required": True},
            "instance": {"type": "str", "required": True},
            "rights": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    given = dict(module.params)
    try:
        cluster = Cluster(given.pop("kubeconfig"), given.pop("context"))
        module.exit_json(changed=False, cluster=gather(cluster, **given))
    except ClusterError as error:
        module.exit_json(changed=False, cluster={"problem": str(error)})


if __name__ == "__main__":
    main()
