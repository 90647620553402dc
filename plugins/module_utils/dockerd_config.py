"""daemon.json: merges our settings with those of others, and finds what dockerd would refuse. Pure."""

from __future__ import annotations

import re

# The file, and what the role wrote into it the last time; what dockerd was started with, and what it has loaded since.
DAEMON_JSON = "/etc/docker/daemon.json"
DAEMON_JSON_WRITTEN = "/var/lib/dockerd-discovery/daemon.json"
DAEMON_JSON_STARTED = "/run/dockerd-discovery/started.json"
DAEMON_JSON_LOADED = "/run/dockerd-discovery/loaded.json"

EMPTY = (None, "", [], {})

# Settings of Docker 20.10 and their types (daemon/config of moby v20.10.5): that dockerd cannot check a file itself.
# From 23.0 `dockerd --validate` does. swarm and cluster keys are valid here, whether they make sense or not.
_TEXT = """api-cors-header bip bridge cgroup-parent cluster-advertise cluster-store containerd containerd-namespace
containerd-plugin-namespace data-root default-cgroupns-mode default-gateway default-gateway-v6 default-ipc-mode default-runtime
deprecated-key-path exec-root fixed-cidr fixed-cidr-v6 graph group host-gateway-ip init-path ip log-driver log-level
metrics-addr pidfile seccomp-profile storage-driver swarm-default-advertise-addr tlscacert tlscert tlskey
userland-proxy-path userns-remap"""
_FLAG = """debug experimental icc init ip-forward ip-masq ip6tables iptables ipv6 live-restore no-new-privileges raw-logs
selinux-enabled tls tlsverify userland-proxy"""
_NUMBER = """cpu-rt-period cpu-rt-runtime max-concurrent-downloads max-concurrent-uploads max-download-attempts mtu
network-control-plane-mtu network-diagnostic-port oom-score-adjust shutdown-timeout"""
_LIST = """allow-nondistributable-artifacts authorization-plugins dns dns-opts dns-search exec-opts hosts insecure-registries
labels node-generic-resources registry-mirrors storage-opts"""
_TABLE = "builder cluster-store-opts default-ulimits features log-opts runtimes"
KINDS = {
    **dict.fromkeys(_TEXT.split(), "a text"),
    **dict.fromkeys(_FLAG.split(), "true or false"),
    **dict.fromkeys(_NUMBER.split(), "a whole number"),
    **dict.fromkeys(_LIST.split(), "a list of texts"),
    **dict.fromkeys(_TABLE.split(), "a table"),
    "default-address-pools": "a list of tables",
    "default-shm-size": "a text or a whole number",
}
# What stands before the host in a URL, and in a proxy without a scheme.
_USERINFO = re.compile(r'("https?-proxy": ?"(?:\w+://)?|://)[^"\s]*@')
_OF_TEXTS = ("cluster-store-opts", "log-opts")


def masked(content: str) -> str:
    """The text of a daemon.json for people: without the user and password of a URL or proxy."""
    return _USERINFO.sub(r"\1********@", content)


def filled(wanted: dict) -> dict:
    """What of our settings is written: those with a value."""
    return {key: value for key, value in wanted.items() if value not in EMPTY}


def merged(present: dict, wanted: dict, written: dict) -> dict:
    """What daemon.json is to hold.

    :param present: what it holds now
    :param wanted: what we want in it; an empty value is not written, so what others wrote there stays
    :param written: what we wrote the last time

    Settings of others stay, ours win, and those that we wrote and no longer want are removed. Tables are merged by key, except
    that the options of another log driver than the one that is used go with it. Order: as it is, ours after it.
    """
    result = _merged(present, filled(wanted), written)
    if "log-opts" in present and present.get("log-driver", "json-file") != result.get("log-driver", "json-file"):
        result.pop("log-opts", None)
        if wanted.get("log-opts"):
            result["log-opts"] = wanted["log-opts"]
    return result


def _merged(present: dict, wanted: dict, written: dict) -> dict:
    result = dict(present)
    for key in written:
        if key in wanted or key not in result:
            continue
        rest = _merged(result[key], {}, written[key]) if _tables(result[key], written[key]) else None
        if rest:
            result[key] = rest
        else:
            del result[key]
    for key, value in wanted.items():
        before = written.get(key)
        if _tables(value, result.get(key)):
            value = _merged(result[key], value, before if isinstance(before, dict) else {})
        result[key] = value
    return result


def _tables(*values) -> bool:
    return all(isinstance(value, dict) for value in values)


def replaced(present: dict, result: dict, written: dict) -> list[str]:
    """Settings of others, not of ours, that have another value afterwards or are gone."""
    return sorted(key for key, value in present.items() if result.get(key) != value and written.get(key) != value)


def problems(config: dict) -> list[str]:
    """What Docker 20.10 would refuse in daemon.json: settings that it does not know, and values of another kind."""
    found = []
    for key in sorted(config):
        if key not in KINDS:
            found.append(f"{key} is no setting of Docker 20.10")
        elif not _is(KINDS[key], config[key]):
            found.append(f"{key} is {config[key]!r}, but must be {KINDS[key]}")
        elif key in _OF_TEXTS:
            found += [
                f"{key}: {name} is {value!r}, but must be a text"
                for name, value in sorted(config[key].items())
                if not isinstance(value, str)
            ]
    return found


def _is(kind: str, value) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return {
        "a text": isinstance(value, str),
        "true or false": isinstance(value, bool),
        "a whole number": whole,
        "a list of texts": isinstance(value, list) and all(isinstance(item, str) for item in value),
        "a table": isinstance(value, dict),
        "a list of tables": isinstance(value, list) and all(isinstance(item, dict) for item in value),
        "a text or a whole number": isinstance(value, str) or whole,
    }[kind]
