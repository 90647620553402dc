from __future__ import annotations

from ..plugin_utils.docker_cluster_store import cluster_store_problems


class FilterModule:
    def filters(self):
        return {"docker_cluster_store_problems": cluster_store_problems}
