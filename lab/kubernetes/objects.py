"""What every cluster of a user has before Consul comes: rights of its own programs, cluster DNS as kubeadm makes it, and volumes.
Pure."""

from collections.abc import Iterable

from lab.kubernetes.files import DNS_SERVICE, VOLUMES

COREFILE = """.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    forward . /etc/resolv.conf
    cache 30
    loop
    reload 2s 1s
    loadbalance
}
"""
LABELS = {"k8s-app": "kube-dns"}
VOLUMES_PER_NODE = 2  # one for a server, one for what comes after it


def manifests(nodes: Iterable[str], coredns: str) -> list[dict]:
    """All objects, in the order in which they are applied.

    :param nodes: names of the nodes
    :param coredns: its image
    """
    return [*_rights(), *_names(coredns), *_storage(nodes)]


def _rights() -> list[dict]:
    """Of kube-router, which reads what its rules are made of."""
    groups = {
        "": ["endpoints", "namespaces", "nodes", "pods", "services"],
        "discovery.k8s.io": ["endpointslices"],
        "networking.k8s.io": ["networkpolicies"],
    }
    rules = [{"apiGroups": [group], "resources": found, "verbs": ["get", "list", "watch"]} for group, found in groups.items()]
    user = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "kube-router"}
    return _role("kube-router", rules, user)


def _role(name: str, rules: list[dict], subject: dict) -> list[dict]:
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name}, "subjects": [subject],
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        },
    ]  # fmt: skip


def _names(image: str) -> list[dict]:
    """CoreDNS, twice, so that a node may be drained; its ConfigMap is the one that the product changes."""
    meta = {"name": "coredns", "namespace": "kube-system"}
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "namespaces", "pods", "services"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    apart = {"labelSelector": {"matchLabels": LABELS}, "topologyKey": "kubernetes.io/hostname"}
    ports = [("dns", 53, "UDP"), ("dns-tcp", 53, "TCP")]
    pod = {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "podAffinityTerm": apart},
        ]}},
        "containers": [{
            "name": "coredns",
            "image": image,
            "args": ["-conf", "/etc/coredns/Corefile"],
            "ports": [{"name": name, "containerPort": port, "protocol": protocol} for name, port, protocol in ports],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        }],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }  # fmt: skip
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        *_role("system:coredns", rules, {"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}),
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta | {"labels": LABELS},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": LABELS},
                "template": {"metadata": {"labels": LABELS}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": meta | {"name": "kube-dns", "labels": LABELS},
            "spec": {
                "clusterIP": DNS_SERVICE, "selector": LABELS,
                "ports": [{"name": name, "port": port, "protocol": protocol} for name, port, protocol in ports],
            },
        },
    ]  # fmt: skip


def corefile() -> dict:
    """The configuration of CoreDNS, which is made once: what the product has written into it stays."""
    meta = {"name": "coredns", "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"Corefile": COREFILE}}


def _storage(nodes: Iterable[str]) -> list[dict]:
    """A default class of directories of the nodes."""
    default = {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    found: list[dict] = [{
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": default,
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    }]  # fmt: skip
    for node in nodes:
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
        for number in range(VOLUMES_PER_NODE):
            found.append({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"{node}-{number}"},
                "spec": {
                    "capacity": {"storage": "4Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
                    "persistentVolumeReclaimPolicy": "Retain", "local": {"path": f"{VOLUMES}/{number}"},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
                },
            })  # fmt: skip
    return found
