"""Settings of the controller's Ansible without which the collection does nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ansible import constants

# Tags of the plays of site.yml.
PARTS = (
    "preflight", "leave", "firewall", "consul", "dns", "consul_dns", "docker", "dockerd", "overlay", "overlay_network",
    "registrator", "load_balancer", "balancer", "nginx", "haproxy", "floating_address", "templates", "consul_template",
)  # fmt: skip
# The playbooks that site.yml imports, and itself: their plays have these tags. Every other playbook is an operation.
PART_PLAYBOOKS = (
    "site", "preflight", "leave_groups", "firewall", "consul", "dns", "docker", "overlay", "registrator", "load_balancer",
    "consul_http", "templates", "warnings",
)  # fmt: skip
# Of a checkout; an installed collection has none.
CONFIG = Path(__file__).resolve().parents[2] / "ansible.cfg"


def controller_problems(facts_as_variables: bool) -> list[str]:
    """Why nothing may run with these settings, one text each.

    A fact has precedence over the inventory. So a host that lies would set its variables: which secrets it gets, which address
    it has, what is started on it.

    :param facts_as_variables: Ansible's INJECT_FACTS_AS_VARS, true by default
    :returns: [] when the collection may run
    """
    if not facts_as_variables:
        return []
    elsewhere = f", or ANSIBLE_CONFIG={CONFIG} from other directories than its own" if CONFIG.is_file() else ""
    return [
        "Ansible makes variables of the facts that a host returns, so a host could set any variable of itself, and get secrets"
        " that are not for it. Nothing was changed. Set inject_facts_as_vars = false in the section [defaults] of ansible.cfg,"
        f" or the environment variable ANSIBLE_INJECT_FACT_VARS=False{elsewhere}"
    ]


def tag_problems(asked: Iterable[str], given: Iterable[str]) -> list[str]:
    """What to tell somebody whose tags leave nothing of the site to do.

    :param asked: tags of the command line; Ansible gives ["all"] for none
    :param given: tags of the task that runs, also those of a playbook around ours
    """
    asked = list(asked)
    if set(asked) & {*PARTS, "all", "tagged", "untagged", *given}:
        return []
    return [
        f"No part of the site has the tag {', '.join(asked)}, so nothing but the preflight runs."
        f" Tags of its parts: {', '.join(PARTS)}"
    ]


def start_problems(task: str | None) -> list[str]:
    """Why a run may not start at a task.

    :param task: what --start-at-task names
    """
    if not task:
        return []
    return [
        f"--start-at-task would leave out the preflight and the facts that '{task}' and the tasks after it need. Nothing was"
        f" changed. Run the part with --tags instead: {', '.join(PARTS)}. A further run changes only what is not done yet"
    ]


def part_problems(asked: Iterable[str], playbooks: Iterable[str], root: Path = CONFIG.parent) -> list[str]:
    """Why an operation may not run with tags: it has no parts, so nothing of it would run, without a word.

    :param asked: tags of the command line; Ansible gives ["all"] for none
    :param playbooks: those of the command line, by path or by their names in the collection. One of somebody else that imports an
        operation may have tags around it, and leave it out on purpose
    :param root: directory of the collection
    """
    if set(asked) & {"all", "untagged"}:
        return []
    prefix = "fewnodes.discovery."
    paths = (root / f"playbooks/{one.removeprefix(prefix)}.yml" if one.startswith(prefix) else Path(one) for one in playbooks)
    ours = [path for path in paths if path.resolve().parent == (root / "playbooks").resolve() and path.stem not in PART_PLAYBOOKS]
    return [
        f"{path.name} is an operation as a whole and has no tags, so with --tags {','.join(asked)} nothing of it would run."
        " Nothing was changed. Run it without --tags"
        for path in ours
    ]


def present_controller_problems() -> list[str]:
    """`controller_problems` of the Ansible that runs."""
    return controller_problems(constants.INJECT_FACTS_AS_VARS)
