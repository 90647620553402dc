"""The overlay network through Consul as cluster store of dockerd: what keeps it from working on a host.

Upstream has removed the cluster store in 23.0; delete this file with the role docker_cluster_store.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..module_utils.dockerd import described

SUPPORTED = (
    "Consul as cluster store is in dockerd up to 20.10 (Debian 11's docker.io 20.10.5, docker-ce 20.10), but not in Debian 12's"
    " 20.10.24"
)


def cluster_store_problems(host: str, dockerd: Mapping) -> list[str]:
    """Find what must be put right first, one message each.

    :param host: inventory name
    :param dockerd: `dockerd` of the module dockerd_facts
    :returns: [] when nothing is wrong
    """
    if "consul" not in dockerd["overlays"]:
        return [
            f"dockerd_overlay is 'consul' on {host}, whose dockerd is {described(dockerd)}: {SUPPORTED}."
            " Set discovery_overlay: swarm (recommended), or discovery_overlay: none"
        ]
    state = dockerd["swarm"]["state"]
    if state not in ("inactive", "unknown"):
        return [
            f"dockerd_overlay is 'consul' on {host}, whose dockerd is in a Swarm ({state}, node {dockerd['swarm']['node']});"
            " dockerd cannot do both: leave it (docker swarm leave), or set discovery_overlay: swarm"
        ]
    return []
