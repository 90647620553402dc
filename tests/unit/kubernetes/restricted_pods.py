"""The pod security standard `restricted`, policy by policy as Kubernetes documents it
(https://kubernetes.io/docs/concepts/security/pod-security-standards/), baseline included: what a pod does not keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SYSCTLS = {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
           "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range"}  # fmt: skip


def violations(spec: Mapping) -> list[str]:
    """:param spec: of a pod"""
    return list(_violations(spec))


def _violations(spec: Mapping) -> Iterator[str]:
    pod = spec.get("securityContext", {})
    yield from (f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name))
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= VOLUMES or len(kinds) != 1:
            yield f"volume {volume['name']} is of kind {kinds}"
    yield from (f"sysctl {one['name']}" for one in pod.get("sysctls", []) if one["name"] not in SYSCTLS)
    for container in [*spec.get("initContainers", []), *spec["containers"], *spec.get("ephemeralContainers", [])]:
        for what in _of_container(container, pod):
            yield f"container {container['name']}: {what}"


def _of_container(container: Mapping, pod: Mapping) -> Iterator[str]:
    own = container.get("securityContext", {})
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "may run as root"
    if own.get("runAsUser", pod.get("runAsUser")) == 0:
        yield "runs as root"
    if own.get("seccompProfile", pod.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "has no seccomp profile"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []) or not set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}:
        yield "keeps capabilities"
    if own.get("procMount", "Default") != "Default" or own.get("seLinuxOptions") or own.get("windowsOptions"):
        yield "has other options of isolation"
    yield from (f"host port {port['hostPort']}" for port in container.get("ports", []) if port.get("hostPort"))
