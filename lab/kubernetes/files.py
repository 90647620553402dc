"""The files of a cluster's nodes. Pure: addresses and certificates in, files out."""

import ipaddress
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.kubernetes.certificates import Authority

PODS = "10.244.0.0/16"  # in nodes only; each has a /24 of it
SERVICES = "10.96.0.0/16"
API_SERVICE, DNS_SERVICE = "10.96.0.1", "10.96.0.10"
PROGRAMS = "/opt/kubernetes"
HOME = "/etc/kubernetes"
DISK = "/var/lib/docker"  # where a node has a volume: overlay does not carry overlay
VOLUMES = f"{DISK}/kubernetes-volumes"
# Users of the cluster's own programs, and the group of each.
USERS = {
    "system:kube-controller-manager": "", "system:kube-scheduler": "", "system:kube-proxy": "", "kube-router": "",
}  # fmt: skip
ADMIN, ADMINS = "admin", "system:masters"


def node_files(
    host: str, addresses: Mapping[str, ipaddress.IPv4Address], registry: str, pause: str, authority: Authority
) -> dict[str, str | Path]:
    """The files of one node.

    :param host: its name
    :param addresses: all nodes of the cluster; the first one carries what rules it
    :param registry: address and port of the registry, which speaks HTTP
    :param pause: image that holds the network of a pod
    """
    first = next(iter(addresses))
    files: dict[str, str | Path] = {
        "etc/containerd/config.toml": _containerd(pause),
        f"etc/containerd/certs.d/{registry}/hosts.toml": _hosts(registry),
        "etc/cni/net.d/10-lab.conflist": _cni(_pods(addresses)[host]),
        "etc/nftables-pods.nft": _masquerade(),
        f"{HOME[1:]}/ca.pem": authority.pair.certificate,
        f"{HOME[1:]}/kubelet.json": _kubelet(),
        **_pair("kubelet", authority, f"system:node:{host}", "system:nodes", [host, str(addresses[host])]),
        f"{HOME[1:]}/kubelet.kubeconfig": kubeconfig(addresses[first], "kubelet"),
        **_unit("pod-network", "/bin/sh /usr/local/sbin/pod-network", kind="oneshot"),
        "usr/local/sbin/pod-network": _routes(host, addresses),
        **_unit("kubelet", _command("kubelet", {
            "config": f"{HOME}/kubelet.json", "kubeconfig": f"{HOME}/kubelet.kubeconfig", "hostname-override": host,
            "node-ip": addresses[host],
        })),
        **_client("kube-proxy", authority, addresses[first], {
            "proxy-mode": "nftables", "cluster-cidr": PODS, "hostname-override": host, "conntrack-max-per-core": 0,
            "conntrack-tcp-timeout-established": "0", "conntrack-tcp-timeout-close-wait": "0",
        }),
        **_client("kube-router", authority, addresses[first], {
            "run-router": "false", "run-service-proxy": "false", "run-firewall": "true", "hostname-override": host,
            "service-cluster-ip-range": SERVICES, "service-node-port-range": "30000-32767",
        }),
    }  # fmt: skip
    if host == first:
        return files | _ruling(first, addresses[first], authority)
    return files | {"etc/systemd/system/etcd.service": Path("/dev/null")}


def kubeconfig(address: ipaddress.IPv4Address, name: str) -> str:
    """The access of a program on a node, with its files there (JSON is YAML)."""
    return _access(
        {"server": f"https://{address}:6443", "certificate-authority": f"{HOME}/ca.pem"},
        {"client-certificate": f"{HOME}/{name}.pem", "client-key": f"{HOME}/{name}_key"},
    )


def portable_kubeconfig(address: ipaddress.IPv4Address, ca: str, certificate: str, key: str) -> str:
    """An access that holds all of it.

    :param ca: base64 of PEM, as are the certificate and the key
    """
    return _access(
        {"server": f"https://{address}:6443", "certificate-authority-data": ca},
        {"client-certificate-data": certificate, "client-key-data": key},
    )


def _access(cluster: dict, user: dict) -> str:
    return json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "lab", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
    }, indent=2) + "\n"  # fmt: skip


def _ruling(host: str, address: ipaddress.IPv4Address, authority: Authority) -> dict[str, str | Path]:
    """etcd, API server, controller manager and scheduler."""
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", host, "127.0.0.1", API_SERVICE, str(address)]
    accounts = authority.key("service-accounts")
    return {
        **_pair("kube-apiserver", authority, "kube-apiserver", ADMINS, names),
        f"{HOME[1:]}/accounts.pem": accounts.certificate,
        f"{HOME[1:]}/accounts_key": accounts.key,
        f"{HOME[1:]}/ca_key": authority.pair.key,
        **_unit("etcd", "/usr/bin/etcd --name lab --data-dir /var/lib/docker/etcd --unsafe-no-fsync"
                        " --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379"),
        **_unit("kube-apiserver", _command("kube-apiserver", {
            "etcd-servers": "http://127.0.0.1:2379", "advertise-address": address, "service-cluster-ip-range": SERVICES,
            "kubelet-preferred-address-types": "InternalIP",
            "tls-cert-file": f"{HOME}/kube-apiserver.pem", "tls-private-key-file": f"{HOME}/kube-apiserver_key",
            "client-ca-file": f"{HOME}/ca.pem", "kubelet-certificate-authority": f"{HOME}/ca.pem",
            "kubelet-client-certificate": f"{HOME}/kube-apiserver.pem", "kubelet-client-key": f"{HOME}/kube-apiserver_key",
            "service-account-issuer": "https://kubernetes.default.svc", "service-account-key-file": f"{HOME}/accounts.pem",
            "service-account-signing-key-file": f"{HOME}/accounts_key", "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
        })),
        **_client("kube-controller-manager", authority, address, {
            "service-account-private-key-file": f"{HOME}/accounts_key", "root-ca-file": f"{HOME}/ca.pem",
            "use-service-account-credentials": "true", "cluster-signing-cert-file": f"{HOME}/ca.pem",
            "cluster-signing-key-file": f"{HOME}/ca_key", "leader-elect": "false",
        }, "system:kube-controller-manager"),
        **_client("kube-scheduler", authority, address, {"leader-elect": "false"}, "system:kube-scheduler"),
    }  # fmt: skip


def _client(
    program: str, authority: Authority, api: ipaddress.IPv4Address, options: Mapping[str, object], user: str = ""
) -> dict[str, str | Path]:
    """A program that talks to the API: its unit and its access."""
    user = user or (f"system:{program}" if f"system:{program}" in USERS else program)
    return {
        **_pair(program, authority, user, USERS[user], []),
        f"{HOME[1:]}/{program}.kubeconfig": kubeconfig(api, program),
        **_unit(program, _command(program, {"kubeconfig": f"{HOME}/{program}.kubeconfig", **options})),
    }


def _pair(name: str, authority: Authority, user: str, group: str, addresses: Iterable[str]) -> dict[str, str]:
    pair = authority.issue(user, group, addresses)
    return {f"{HOME[1:]}/{name}.pem": pair.certificate, f"{HOME[1:]}/{name}_key": pair.key}


def _command(program: str, options: Mapping[str, object]) -> str:
    return " ".join([f"{PROGRAMS}/{program}", *(f"--{name}={value}" for name, value in options.items())])


def _unit(name: str, command: str, kind: str = "exec") -> dict[str, str | Path]:
    """A unit that runs from the first start on. The nodes start in any order: each goes on trying."""
    again = "RemainAfterExit=yes\n" if kind == "oneshot" else "Restart=always\nRestartSec=2\n"
    after = "" if kind == "oneshot" else " pod-network.service"
    text = f"""[Unit]
After=network.target containerd.service{after}
StartLimitIntervalSec=0

[Service]
Type={kind}
ExecStart={command}
{again}LimitNOFILE=infinity
"""
    return {
        f"etc/systemd/system/{name}.service": text,
        f"etc/systemd/system/multi-user.target.wants/{name}.service": Path(f"../{name}.service"),
    }


def _pods(addresses: Iterable[str]) -> dict[str, ipaddress.IPv4Network]:
    """The pods' network of each node."""
    subnets = list(ipaddress.IPv4Network(PODS).subnets(new_prefix=24))
    return {host: subnets[number] for number, host in enumerate(addresses, 1)}


def _routes(host: str, addresses: Mapping[str, ipaddress.IPv4Address]) -> str:
    networks = _pods(addresses)
    routes = "".join(f"ip route replace {networks[one]} via {via}\n" for one, via in addresses.items() if one != host)
    first = ["set -e", "sysctl -q -w net.ipv4.ip_forward=1", "nft -f /etc/nftables-pods.nft", f"mkdir -p {VOLUMES}/0 {VOLUMES}/1"]
    return "\n".join(first) + f"\n{routes}"


def _masquerade() -> str:
    """What pods send to others than pods leaves with the node's address: only nodes know a way to them."""
    return f"""table ip pods
delete table ip pods
table ip pods {{
    chain postrouting {{
        type nat hook postrouting priority srcnat
        ip saddr {PODS} ip daddr != {PODS} masquerade
    }}
}}
"""


def _cni(subnet: ipaddress.IPv4Network) -> str:
    """A pair of interfaces for each pod and no bridge: all its packets are routed, so network policies meet all of them."""
    ipam = {"type": "host-local", "subnet": str(subnet), "routes": [{"dst": "0.0.0.0/0"}]}
    plugins = [{"type": "ptp", "ipMasq": False, "ipam": ipam}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return json.dumps({"cniVersion": "1.0.0", "name": "lab", "plugins": plugins}, indent=2) + "\n"


def _hosts(registry: str) -> str:
    """`server` alone is asked by HTTPS."""
    return f'server = "http://{registry}"\n\n[host."http://{registry}"]\n  capabilities = ["pull", "resolve"]\n'


def _containerd(pause: str) -> str:
    return f"""version = 2
root = "{DISK}/containerd"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_cgroup = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/etc/cni/net.d"

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
"""


def _kubelet() -> str:
    """Nothing of a node's limits is the machine's to give: cgroups, swap and shares of disks stay as they are."""
    little = dict.fromkeys(("nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"), "1%")
    return json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": f"{HOME}/ca.pem"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{HOME}/kubelet.pem",
        "tlsPrivateKeyFile": f"{HOME}/kubelet_key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "failCgroupV1": False,
        "localStorageCapacityIsolation": False,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "50Mi", **little},
    }, indent=2) + "\n"  # fmt: skip
