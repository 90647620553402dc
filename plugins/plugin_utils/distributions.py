"""What differs between the distributions that the collection knows, in one table. Another distribution is another row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# What all releases of a family have in common. `packages` maps a need to the packages that fill it.
FAMILIES: dict[str, dict] = {
    "Debian": {
        "packages": {
            "acme": ["dehydrated"],
            "docker": ["docker.io", "ca-certificates"],
            "haproxy": ["haproxy"],
            "keepalived": ["keepalived"],
            "nginx": ["nginx", "libnginx-mod-stream"],
            "nftables": ["nftables", "netbase"],  # netbase: nft before 1.1 reads the names of protocols from /etc/protocols
            "resolvconf": ["resolvconf"],
            "systemd_resolved": ["systemd-resolved"],
            "dnsmasq": ["dnsmasq-base"],
            "python_requests": ["python3-requests"],
            "python_cryptography": ["python3-cryptography"],
        },
        "users": {"haproxy": "haproxy", "nginx": "www-data"},
        "paths": {
            # Target of the link /etc/resolv.conf, as the package resolvconf makes it.
            "resolv_conf_target": "../run/resolvconf/resolv.conf",
        },
        # Assumed while the package lists of a host do not name a version.
        "docker_version": "",
    }
}

# Releases by their name: the family, and what is different from it. Without `tested` the collection was not tried on it, and runs
# there only where discovery_untested_distributions says so.
RELEASES: dict[str, dict] = {
    "Debian 11": {
        "family": "Debian",
        "tested": True,
        "packages": {"systemd_resolved": []},  # part of the package systemd
        "docker_version": "20.10.5+dfsg1",
    },
    "Debian 12": {"family": "Debian", "tested": True, "docker_version": "20.10.24+dfsg1"},
    "Debian 13": {
        "family": "Debian",
        "tested": True,
        "packages": {"docker": ["docker.io", "docker-cli", "ca-certificates"]},
        "docker_version": "26.1.5+dfsg1",
    },
    "Ubuntu 22.04": {
        "family": "Debian",
        "packages": {"systemd_resolved": []},  # part of the package systemd
        "docker_version": "20.10.12-0ubuntu4",
    },
    "Ubuntu 24.04": {"family": "Debian", "docker_version": "24.0.7-0ubuntu4"},
}
# Their releases are known by the whole version: 24.10 is another one than 24.04.
WHOLE_VERSION = ("Ubuntu",)

SUPPORTED = tuple(name for name, row in RELEASES.items() if row.get("tested"))
UNTESTED = tuple(name for name in RELEASES if name not in SUPPORTED)


def release_name(facts: Mapping) -> str:
    """Distribution and version, such as "Debian 13" or "Ubuntu 24.04"; '' while the facts are not known."""
    name = facts.get("distribution", "")
    version = facts.get("distribution_version" if name in WHOLE_VERSION else "distribution_major_version", "")
    return f"{name} {version}".strip()


def distribution(facts: Mapping) -> dict:
    """The row of a host's distribution.

    :param facts: `ansible_facts` with the subset distribution; without it, or for a release that is not in the table, the row of
        the family (of Debian, where that is unknown) with supported: False
    :returns: name, supported, family, packages (need to names), users, paths, docker_version
    """
    name = release_name(facts)
    release = RELEASES.get(name, {})
    family = release.get("family") or facts.get("os_family", "")
    family = family if family in FAMILIES else "Debian"
    common = FAMILIES[family]
    return {
        "name": name,
        "supported": name in SUPPORTED,
        "family": family,
        "packages": common["packages"] | release.get("packages", {}),
        "users": common["users"] | release.get("users", {}),
        "paths": common["paths"] | release.get("paths", {}),
        "docker_version": release.get("docker_version", common["docker_version"]),
    }


def package_names(wanted: Iterable[str], facts: Mapping) -> list[str]:
    """Names of packages, each once and in order: a need of the table becomes what fills it here, another name stays."""
    known = distribution(facts)["packages"]
    return list(dict.fromkeys(name for need in wanted for name in known.get(need, [need])))
