"""Consul's servers on a Kubernetes cluster, as objects of its API.

Pure: settings in, manifests out. No manifest of `manifests` is given a secret; those come by `secret` alone, into objects of the
kind Secret that are mounted as files. `settings` is a mapping with the keys of `SETTINGS`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping

SETTINGS = frozenset({
    "name", "namespace", "datacenter", "domain", "servers", "image", "image_pull_secrets", "storage_class", "storage",
    "resources", "client_namespaces", "host_networks", "write_networks", "dns_service_ttl", "log_level", "raft_multiplier",
    "response_headers", "extra_config", "certificate_digest",
})  # fmt: skip
# Of no account in an image, and owner of the data: the group of the volume is set by kubelet.
USER = 100
HTTPS, DNS, RPC, SERF = 8501, 8600, 8300, 8301
OWNER = "fewnodes.discovery"  # label app.kubernetes.io/managed-by, and prefix of our own
DATACENTER_LABEL = f"{OWNER}/datacenter"
SECRETS = ("gossip", "tls", "tokens")  # each a Secret, and a directory of the pod
CIPHER_SUITES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)


def pods(settings: Mapping) -> list[str]:
    """Names of the servers' pods, which are Consul's names of the nodes, too."""
    return [f"{_server(settings)}-{number}" for number in range(settings["servers"])]


def certificate_names(settings: Mapping) -> list[str]:
    """Subject alternative names of the servers' one certificate: `server.<datacenter>.<domain>`, by which RPC knows a server,
    pods, Services as pods of this cluster call them, and loopback, where a forwarded port comes out."""
    service, headless = (f"{name}.{settings['namespace']}.svc" for name in (settings["name"], _server(settings)))
    names = [
        f"server.{settings['datacenter']}.{settings['domain']}",
        *pods(settings),
        *(f"{pod}.{headless}" for pod in pods(settings)),
        settings["name"],
        service.removesuffix(".svc"),
        service,
        "localhost",
    ]
    return [*(f"DNS:{name}" for name in names), "IP:127.0.0.1"]


def token_files(agent: Mapping[str, str], dns: Mapping[str, str]) -> dict[str, str]:
    """Files of the Secret with the tokens: one for each pod, which reads its own.

    A server has the tokens of all in its Raft log, so a pod that can read those of the others learns nothing.

    :param agent: pod to the token of its agent
    :param dns: pod to the token that answers DNS
    """
    return {f"{pod}.json": _json({"acl": {"tokens": {"agent": agent[pod], "dns": dns[pod]}}}) for pod in agent}


def secret(settings: Mapping, part: str, files: Mapping[str, str]) -> dict:
    """A Secret.

    :param part: one of `SECRETS`
    :param files: name to content
    :raises ValueError: there is no such part
    """
    if part not in SECRETS:
        raise ValueError(f"there is no Secret {part!r}: choose among {', '.join(SECRETS)}")
    data = {name: base64.b64encode(content.encode()).decode() for name, content in sorted(files.items())}
    return _object(settings, "v1", "Secret", f"{_server(settings)}-{part}") | {"type": "Opaque", "data": data}


def namespace(settings: Mapping) -> dict:
    """The namespace: no pod in it may ask for more than Consul's needs. Its labels tell whose it is, and which datacenter's."""
    found = _object(settings, "v1", "Namespace", settings["namespace"])
    del found["metadata"]["namespace"]
    found["metadata"]["labels"] |= {DATACENTER_LABEL: settings["datacenter"]} | {
        f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("audit", "enforce", "warn")
    }
    return found


def manifests(settings: Mapping) -> list[dict]:
    """Everything but namespace and Secrets, in the order in which it is applied.

    :raises ValueError: a setting is missing, or nothing reads it
    """
    if differing := SETTINGS.symmetric_difference(settings):
        raise ValueError(f"settings are missing or unknown: {', '.join(sorted(differing))}")
    account = _object(settings, "v1", "ServiceAccount", _server(settings)) | {"automountServiceAccountToken": False}
    config = _object(settings, "v1", "ConfigMap", _server(settings)) | {"data": {"consul.json": _json(agent_config(settings))}}
    found = [account, config, network_policy(settings), *services(settings)]
    if settings["servers"] > 1:
        found.append(disruption_budget(settings))
    return [*found, stateful_set(settings)]


def agent_config(settings: Mapping) -> dict:
    """Configuration of every server, without a secret: that of a host's server, but for addresses, which only the pod knows, and
    for files. Names of the pods are looked up at each attempt, so a pod with a new address is found."""
    headless = f"{_server(settings)}.{settings['namespace']}.svc"
    found = {
        "datacenter": settings["datacenter"],
        "domain": settings["domain"],
        "data_dir": "/consul/data",
        "log_level": settings["log_level"],
        "disable_update_check": True,
        # Who may connect is the network policy's business.
        "client_addr": "0.0.0.0",
        "ports": {"dns": DNS, "http": -1, "https": HTTPS, "grpc": -1, "grpc_tls": -1, "serf_wan": -1},
        "retry_join": [f"{pod}.{headless}" for pod in pods(settings)],
        "retry_interval": "2s",
        # A pod that is replaced comes back with the same volume: leaving would cost a voter at each restart.
        "leave_on_terminate": False,
        "rejoin_after_leave": True,
        "tls": {
            "defaults": {
                "ca_file": "/consul/tls/ca.pem",
                "cert_file": "/consul/tls/server.pem",
                "key_file": "/consul/tls/server.key",
                "verify_outgoing": True,
                "tls_min_version": "TLSv1_2",
                "tls_cipher_suites": ",".join(CIPHER_SUITES),
            },
            "internal_rpc": {"verify_incoming": True, "verify_server_hostname": True},
            "https": {"verify_incoming": False},
        },
        "acl": {"enabled": True, "default_policy": "deny", "down_policy": "extend-cache"},
        "ui_config": {"enabled": True},
        "connect": {"enabled": False},
        "dns_config": {
            "only_passing": True,
            "enable_truncate": True,
            "node_ttl": "10s",
            "service_ttl": {"*": settings["dns_service_ttl"]},
        },
        "http_config": {
            "allow_write_http_from": sorted({"127.0.0.0/8", "::1/128", *settings["write_networks"]}),
            "response_headers": settings["response_headers"],
        },
        "limits": {
            "http_max_conns_per_client": 4096,
            "request_limits": {"mode": "permissive", "read_rate": 5000, "write_rate": 1000},
        },
        "performance": {"raft_multiplier": settings["raft_multiplier"]},
        "server": True,
        "bootstrap_expect": settings["servers"],
        "autopilot": {"min_quorum": settings["servers"]},
        "peering": {"enabled": False},
    }
    return _merged(found, settings["extra_config"])


def stateful_set(settings: Mapping) -> dict:
    """The servers. All start at once, because a first leader needs all of them; a change replaces one after the other, each when
    the one before is ready."""
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": settings["storage"]}}}
    if settings["storage_class"]:
        claim["storageClassName"] = settings["storage_class"]
    spec = {
        "serviceName": _server(settings),
        "replicas": settings["servers"],
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "minReadySeconds": 10,
        "selector": {"matchLabels": _selector(settings)},
        # A volume outlives the StatefulSet and a smaller number of servers.
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "template": {
            "metadata": {
                "labels": _labels(settings) | _selector(settings),
                # A change of what is only read at the start replaces the pods.
                "annotations": {
                    f"{OWNER}/certificate": settings["certificate_digest"],
                    f"{OWNER}/configuration": _digest(_json(agent_config(settings))),
                },
            },
            "spec": pod_spec(settings),
        },
        "volumeClaimTemplates": [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data", "labels": _selector(settings)},
                "spec": claim,
            }
        ],
    }
    return _object(settings, "apps/v1", "StatefulSet", _server(settings)) | {"spec": spec}


def pod_spec(settings: Mapping) -> dict:
    """The pod of a server, as the pod security standard `restricted` has it; one on a host."""
    apart = {"labelSelector": {"matchLabels": _selector(settings)}, "topologyKey": "kubernetes.io/hostname"}
    volumes = [
        {"name": "config", "configMap": {"name": _server(settings), "defaultMode": 0o440}},
        *({"name": one, "secret": {"secretName": f"{_server(settings)}-{one}", "defaultMode": 0o440}} for one in SECRETS),
        # A restored snapshot is unpacked there.
        {"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}},
    ]
    spec = {
        "serviceAccountName": _server(settings),
        "automountServiceAccountToken": False,
        # Variables CONSUL_… with addresses of Services are none of the program's own.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
        "containers": [container(settings)],
        "volumes": volumes,
    }
    if settings["image_pull_secrets"]:
        spec["imagePullSecrets"] = [{"name": name} for name in settings["image_pull_secrets"]]
    return spec


def container(settings: Mapping) -> dict:
    """The container. Its command is the program, so that an image needs nothing else and no entry point of one runs."""
    return {
        "name": "consul",
        "image": settings["image"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["consul", "agent"],
        "args": [
            "-config-file=/consul/config/consul.json",
            "-config-file=/consul/gossip/gossip.json",
            "-config-file=/consul/tokens/$(POD_NAME).json",
            "-node=$(POD_NAME)",
            "-bind=$(POD_IP)",
        ],
        "env": [
            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
            for name, path in (("POD_NAME", "metadata.name"), ("POD_IP", "status.podIP"))
        ],
        "ports": [
            {"name": name, "containerPort": number, "protocol": protocol}
            for name, number, protocol in (
                ("https", HTTPS, "TCP"),
                ("rpc", RPC, "TCP"),
                ("serf", SERF, "TCP"),
                ("serf-udp", SERF, "UDP"),
                ("dns", DNS, "TCP"),
                ("dns-udp", DNS, "UDP"),
            )
        ],
        "resources": dict(settings["resources"]),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The program answers, with a leader or without: that others have lost the quorum is no reason to end this one.
        "startupProbe": _probe("/v1/status/leader", periodSeconds=2, timeoutSeconds=5, failureThreshold=60),
        "livenessProbe": _probe("/v1/status/leader", periodSeconds=10, timeoutSeconds=5, failureThreshold=6),
        # A read that the leader answers, by way of this server; without one it is an error. It needs no token, and lists nothing.
        "readinessProbe": _probe("/v1/catalog/services", periodSeconds=3, timeoutSeconds=5, failureThreshold=2),
        # No leave. Requests go elsewhere before the program ends.
        "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
        "volumeMounts": [
            {"name": "data", "mountPath": "/consul/data"},
            {"name": "tmp", "mountPath": "/tmp"},
            *({"name": one, "mountPath": f"/consul/{one}", "readOnly": True} for one in ("config", *SECRETS)),
        ],
    }


def services(settings: Mapping) -> list[dict]:
    """Three: of the servers by name, ready or not, because they look for each other before there is a leader; of the API and the
    UI; and of DNS, on its usual port."""
    headless = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": _selector(settings),
        "ports": [_port("rpc", RPC), _port("serf", SERF), _port("serf-udp", SERF, "UDP"), _port("https", HTTPS)],
    }
    clients = {"type": "ClusterIP", "selector": _selector(settings), "ports": [_port("https", HTTPS)]}
    names = {
        "type": "ClusterIP",
        "selector": _selector(settings),
        "ports": [
            {"name": "dns", "port": 53, "targetPort": DNS, "protocol": "TCP"},
            {"name": "dns-udp", "port": 53, "targetPort": DNS, "protocol": "UDP"},
        ],
    }
    specs = {_server(settings): headless, settings["name"]: clients, f"{settings['name']}-dns": names}
    return [_object(settings, "v1", "Service", name) | {"spec": spec} for name, spec in specs.items()]


def disruption_budget(settings: Mapping) -> dict:
    """One server at a time may be taken away, by a drain for example; two of three stay."""
    spec = {"minAvailable": settings["servers"] - 1, "selector": {"matchLabels": _selector(settings)}}
    return _object(settings, "policy/v1", "PodDisruptionBudget", _server(settings)) | {"spec": spec}


def network_policy(settings: Mapping) -> dict:
    """Who reaches the servers: RPC and gossip only servers, and hosts of the given networks; API and DNS the pods of the given
    namespaces, or of all. They themselves reach servers, hosts, and name servers."""
    servers = [{"podSelector": {"matchLabels": _selector(settings)}}]
    hosts = [{"ipBlock": {"cidr": network}} for network in settings["host_networks"]]
    pods_of = {"kubernetes.io/metadata.name": sorted({settings["namespace"], "kube-system", *settings["client_namespaces"]})}
    chosen = {"matchExpressions": [{"key": key, "operator": "In", "values": values} for key, values in pods_of.items()]}
    clients = [{"namespaceSelector": chosen if settings["client_namespaces"] else {}}]
    consul = [*_ports("TCP", RPC, SERF), *_ports("UDP", SERF)]
    asked = [*_ports("TCP", HTTPS, DNS), *_ports("UDP", DNS)]
    spec = {
        "podSelector": {"matchLabels": _selector(settings)},
        "policyTypes": ["Egress", "Ingress"],
        "ingress": [{"from": [*servers, *hosts], "ports": consul}, {"from": [*clients, *hosts], "ports": asked}],
        "egress": [
            {"to": [*servers, *hosts], "ports": consul},
            # The name server of a cluster is a pod of any name, or the node itself.
            {"ports": [*_ports("TCP", 53), *_ports("UDP", 53)]},
        ],
    }
    return _object(settings, "networking.k8s.io/v1", "NetworkPolicy", _server(settings)) | {"spec": spec}


def _server(settings: Mapping) -> str:
    return f"{settings['name']}-server"


def _selector(settings: Mapping) -> dict:
    return {"app.kubernetes.io/component": "server", "app.kubernetes.io/instance": settings["name"]}


def _labels(settings: Mapping) -> dict:
    return {
        "app.kubernetes.io/instance": settings["name"],
        "app.kubernetes.io/managed-by": OWNER,
        "app.kubernetes.io/name": "consul",
    }


def _object(settings: Mapping, version: str, kind: str, name: str) -> dict:
    metadata = {"name": name, "namespace": settings["namespace"], "labels": _labels(settings)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _probe(path: str, **times: int) -> dict:
    return {"httpGet": {"path": path, "port": "https", "scheme": "HTTPS"}, **times}


def _port(name: str, number: int, protocol: str = "TCP") -> dict:
    return {"name": name, "port": number, "targetPort": number, "protocol": protocol}


def _ports(protocol: str, *numbers: int) -> list[dict]:
    return [{"protocol": protocol, "port": number} for number in numbers]


def _merged(own: Mapping, extra: Mapping) -> dict:
    """As Ansible's filter combine with recursive=true."""
    both = dict(own)
    for key, value in extra.items():
        merges = isinstance(value, Mapping) and isinstance(own.get(key), Mapping)
        both[key] = _merged(own[key], value) if merges else value
    return both


def _json(value: Mapping) -> str:
    return json.dumps(value, indent=4, sort_keys=True) + "\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
