"""Sandbox of systemd units: one base for every unit of this collection; a unit names what differs, with the reason beside it.

Directives of systemd 247 (Debian 11) and later only. docs/security.md has the exposure of every unit; the decision is
unit-sandbox.
"""

from __future__ import annotations

from collections.abc import Mapping

# A program without privileges that reads the system, talks over sockets, and writes nowhere.
BASE: dict[str, str] = {
    "CapabilityBoundingSet": "",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "NoNewPrivileges": "yes",
    "PrivateDevices": "yes",
    "PrivateTmp": "yes",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHome": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "ProtectSystem": "strict",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "SystemCallFilter": "@system-service",
    "UMask": "0077",
}
# Each of these gives a unit a mount namespace of its own.
MOUNT_NAMESPACE = frozenset(
    {"PrivateDevices", "PrivateTmp", "ProtectControlGroups", "ProtectHome", "ProtectKernelLogs"}
    | {"ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem"}
)
# What a unit may set beside them.
FURTHER = frozenset({"AmbientCapabilities", "DevicePolicy", "IPAddressAllow", "IPAddressDeny", "ReadWritePaths"})


def unit_sandbox(differences: Mapping[str, str | None], mount_namespace: bool = True) -> str:
    """Lines of a unit's [Service] section, sorted.

    :param differences: directive to value; None removes one of the base
    :param mount_namespace: False leaves the unit in the host's mount namespace
    """
    if unknown := sorted(set(differences) - set(BASE) - FURTHER):
        raise ValueError(f"directives that are neither in the base nor allowed beside it: {', '.join(unknown)}")
    base = BASE if mount_namespace else {name: value for name, value in BASE.items() if name not in MOUNT_NAMESPACE}
    return "\n".join(f"{name}={value}" for name, value in sorted({**base, **differences}.items()) if value is not None)
