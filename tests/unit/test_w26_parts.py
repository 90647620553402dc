"""People re-run a part: a tag for each part of site.yml; --start-at-task is refused with the tags to use instead."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.controller import (
    PART_PLAYBOOKS,
    PARTS,
    part_problems,
    tag_problems,
)
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
IMPORTED = [
    ROOT / "playbooks" / entry["ansible.builtin.import_playbook"]
    for entry in parse_yaml((ROOT / "playbooks/site.yml").read_text())
]
INVENTORY = """
all: {vars: {ansible_port: 1, discovery_domain: site.example}}
consul_servers: {hosts: {a: {ansible_host: 127.0.0.1}}}
docker_hosts: {hosts: {a: {}}}
load_balancers: {hosts: {a: {}}}
"""


def tags(play: dict) -> list[str]:
    return play.get("tags", [])


def test_w26_every_play_of_the_site_has_the_tags_of_its_part():
    assert {tag for path in IMPORTED for play in parse_yaml(path.read_text()) for tag in tags(play)} == set(PARTS) | {"always"}
    for path in IMPORTED:
        for play in parse_yaml(path.read_text()):
            assert tags(play), f"{path.name}: {play['name']}"
            assert ("always" in tags(play)) == (path.name == "preflight.yml"), path.name
            roles = [role["role"] for role in play.get("roles", [])]
            assert set(roles) <= set(tags(play)), f"{path.name}: a role's name is a tag"


@pytest.mark.parametrize("part", PARTS)
def test_w26_the_readme_names_every_part(part):
    assert f"`{part}`" in (ROOT / "docs/operations.md").read_text()


@pytest.mark.parametrize("asked", [["all"], ["nginx"], ["tagged"], ["typo", "consul"], ["always"], ["mine"]])
def test_w26_a_tag_of_ours_or_of_a_play_around_ours_is_fine(asked):
    assert tag_problems(asked, ["always", "preflight", "mine"]) == []


def test_w26_another_tag_is_answered_with_ours():
    (problem,) = tag_problems(["nginks"], ["always", "preflight"])
    assert problem.startswith("No part of the site has the tag nginks, so nothing but the preflight runs.")
    assert all(part in problem for part in PARTS)


def run(tmp_path, *arguments):
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", *arguments]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done, " ".join((done.stdout + done.stderr).split())


def listed(tmp_path, *arguments) -> dict[str, list[str]]:
    """Names of the tasks that would run, by play."""
    found, play = {}, ""
    for line in run(tmp_path, "--list-tasks", *arguments, "site.yml")[0].stdout.splitlines():
        if line.startswith("  play #"):
            play = line.partition("): ")[2].partition("\t")[0]
        elif line.startswith("      ") and "Validating arguments" not in line:  # these always run
            found.setdefault(play, []).append(line.strip().partition("\t")[0])
    return found


def test_w26_a_tag_runs_the_preflight_and_its_part(tmp_path):
    found, everything = listed(tmp_path, "--tags", "nginx"), listed(tmp_path)
    assert list(found) == ["Preflight of the inventory", "Preflight of the hosts", "Load balancers"]
    assert {play: tasks for play, tasks in everything.items() if play in found} == found, "all tasks of the part, its facts too"


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_w26_every_playbook_refuses_to_start_at_a_task(path):
    first = parse_yaml(path.read_text())[0]
    assert "ansible.builtin.import_playbook" in first or first["gather_facts"] == "{{ false | fewnodes.discovery.whole_run }}"


@pytest.mark.parametrize(("playbook", "task"), [("site.yml", "Remember the checked*"), ("playbooks/docker.yml", "no such task")])
def test_w26_start_at_task_is_answered_before_any_host_is_contacted(tmp_path, playbook, task):
    done, text = run(tmp_path, playbook, "--start-at-task", task)
    assert done.returncode != 0 and "unreachable=1" not in text
    assert "--start-at-task would leave out the preflight" in text and "--tags" in text and "Traceback" not in text


def test_w26_arguments_of_a_role_do_not_need_another_part():
    """Ansible compares a role's arguments with its specs whatever the tags are: these tasks have the tag always."""
    text = (ROOT / "playbooks/docker.yml").read_text()
    uses = re.findall(r"docker_cluster_store_(?:config|unit)\b[^}]*", text)
    assert len(uses) == 2 and all(" | default(" in use for use in uses), "their role is included, and has other tags"


OPERATIONS = sorted(path for path in (ROOT / "playbooks").glob("*.yml") if path.stem not in PART_PLAYBOOKS)


def test_w26_playbooks_with_tags_are_those_of_the_site():
    assert {path.stem for path in IMPORTED} | {"site"} == set(PART_PLAYBOOKS)
    assert len(OPERATIONS) > 15


@pytest.mark.parametrize("path", OPERATIONS, ids=lambda path: path.stem)
def test_w26_an_operation_with_tags_is_answered(path):
    for one in (str(path), f"fewnodes.discovery.{path.stem}"):
        (problem,) = part_problems(["consul", "dns"], [one])
        assert problem.startswith(f"{path.name} is an operation") and "--tags consul,dns" in problem
    assert part_problems(["all"], [str(path)]) == part_problems(["untagged"], [str(path)]) == []


def test_w26_playbooks_of_others_and_parts_may_have_any_tags(tmp_path):
    paths = tmp_path / "backup.yml", ROOT / "site.yml", ROOT / "playbooks/consul.yml"
    assert part_problems(["mine"], [*map(str, paths), "fewnodes.discovery.site", "other.site.backup"]) == []


def test_w26_tags_of_an_operation_end_its_run(tmp_path):
    done, text = run(tmp_path, "playbooks/backup.yml", "--tags", "consul")
    assert done.returncode != 0 and "backup.yml is an operation" in text and "Traceback" not in text
