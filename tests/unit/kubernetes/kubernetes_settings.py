"""Settings for the tests: those of inventories/kubernetes; and what comes of them."""

import json
from pathlib import Path

from ansible_collections.fewnodes.discovery.plugins.plugin_utils import kubernetes_manifests as made

GOLDEN = Path(__file__).with_name("golden.json")
DIGEST = "sha256:" + "0123456789abcdef" * 4


def settings(**changes) -> dict:
    return {
        "name": "consul",
        "namespace": "consul",
        "datacenter": "dc1",
        "domain": "consul",
        "servers": 3,
        "image": f"registry.example:5000/consul@{DIGEST}",
        "image_pull_secrets": [],
        "storage_class": "",
        "storage": "2Gi",
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "client_namespaces": [],
        "host_networks": [],
        "write_networks": [],
        "dns_service_ttl": "1s",
        "log_level": "info",
        "raft_multiplier": 1,
        "response_headers": {"X-Frame-Options": "DENY"},
        "extra_config": {},
        "certificate_digest": "",
    } | changes


def golden(given) -> str:
    """All objects that hold no secret, as a text whose difference shows lines: Consul's configuration is no text in it."""
    found = [made.namespace(given), *made.manifests(given)]
    for one in found:
        if one["kind"] == "ConfigMap":
            one["data"] = {name: json.loads(text) for name, text in one["data"].items()}
    return json.dumps(found, indent=2) + "\n"
