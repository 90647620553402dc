"""The examples of the roles' READMEs, as playbooks."""

from __future__ import annotations

import re

import yaml

from tests.support.http_load import ROOT

BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# In this order each example finds what it needs on hosts that the earlier ones made.
ORDER = (
    "common", "consul", "consul_dns", "firewall", "dockerd", "docker_cluster_store", "registrator", "consul_template", "balancer",
    "haproxy", "nginx", "floating_address", "overlay_network", "scale", "shift", "drain",
)  # fmt: skip
# Roles that have no hosts.
ELSEWHERE = ("consul_kubernetes",)


def examples(role: str) -> list[list[dict]]:
    """The playbooks in a role's README. Its examples of tasks, in their order, are the tasks of one role in one play."""
    blocks = BLOCK.findall((ROOT / "roles" / role / "README.md").read_text())
    found = [content for block in blocks if isinstance(content := yaml.safe_load(block), list)]
    playbooks = [content for content in found if "hosts" in content[0]]
    tasks = [task for content in found if "hosts" not in content[0] for task in content]
    return [*playbooks, _playbook(tasks)] if tasks else playbooks


def _playbook(tasks: list[dict]) -> list[dict]:
    notified = {name for task in tasks for name in task.get("vars", {}).get("common_release_notify", [])}
    handlers = [{"name": name, "ansible.builtin.debug": {"msg": name}} for name in sorted(notified)]
    return [{"name": "Tasks of a role", "hosts": "all", "become": True, "tasks": tasks, "handlers": handlers}]
